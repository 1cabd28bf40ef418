"""The tab Apply: one picture is uploaded, and the model's output is compared with it by a slider."""

from __future__ import annotations

from typing import Any

from ganzoo.studio import applying
from ganzoo.studio.server import Studio
from ganzoo.studio.web.events import QUIET, Place, shown

OWN_SCALE = "that of the network"
SCALES = {OWN_SCALE: None, "1": 1.0, "2": 2.0, "3": 3.0, "4": 4.0}


def draw(place: Place, studio: Studio) -> None:
    """Draws the tab."""
    import gradio as gr

    names = studio.shelf.able("apply")
    millions = applying.PIXELS / 1e6
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            model = gr.Dropdown(names, value=names[0], label="Model")
            picture = gr.File(
                label=f"A picture, at most {applying.UPLOAD_BYTES // 2**20} MiB and {millions:g} million pixels",
                file_types=["image"],
                type="filepath",
                height=130,
            )
            scale = gr.Dropdown(list(SCALES), value=OWN_SCALE, label="Size of the output in sizes of the picture")
            label = gr.Dropdown([], label="Class", visible=False)
            button = gr.Button("Apply", variant="primary")
        with gr.Column(scale=3, min_width=300):
            compared, line, download, command = _outputs(gr)

    def configure(name: str) -> Any:
        classes = [] if not studio.shelf.model(name).image.classes else studio.shelf.model(name).class_names
        return gr.update(choices=classes, value=classes[0] if classes else None, visible=bool(classes))

    def apply(
        name: str,
        path: str | None,
        scale: str,
        label: str | None,
        progress: Any = gr.Progress(),  # noqa: B008  (Gradio looks for it there)
    ) -> tuple[Any, Any, Any, Any]:
        if path is None:
            raise gr.Error("Choose a picture first.", duration=10, title="Error", print_exception=False)
        with studio.shelf.computing():
            model = studio.shelf.model(name)
            request = applying.Request(path, SCALES.get(scale), label if model.image.classes else None)
            progress(0, desc="Reading the picture")
            found = applying.apply(
                model,
                request,
                studio.folder,
                lambda number, count: progress((number, count), unit="tiles", desc="Applying"),
            )
        file = path.replace("\\", "/").rpartition("/")[2]
        return (
            (found.before, found.after),
            found.line,
            gr.update(value=found.output, interactive=True),
            applying.apply_command(name, request, file),
        )

    gr.on([place.tab.select, model.change], shown(configure), model, label, show_progress="hidden", **QUIET)
    gr.on(
        [button.click, picture.upload],
        shown(apply),
        [model, picture, scale, label],
        [compared, line, download, command],
        **QUIET,
    )


def _outputs(gr: Any) -> tuple[Any, Any, Any, Any]:
    """Draws the comparison, a line, the download and the command."""
    compared = gr.ImageSlider(
        label="Before and after", type="filepath", interactive=False, buttons=["fullscreen"], max_height=600
    )
    line = gr.Markdown()
    download = gr.DownloadButton("Download out.png", interactive=False)
    command = gr.Textbox(
        label="Makes the same file", lines=2, interactive=False, buttons=["copy"], elem_id="apply-command"
    )
    return compared, line, download, command
