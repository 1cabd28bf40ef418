"""The tab Apply: one picture is uploaded, and the model's output is compared with it by a slider."""

from __future__ import annotations

from typing import Any

from ganzoo.studio import applying
from ganzoo.studio.server import Studio
from ganzoo.studio.web.events import QUIET, Place, StopRequested, Stops, run_and_stop, shown

OWN = "own"
SCALES = {OWN: None, "1": 1.0, "2": 2.0, "3": 3.0, "4": 4.0}


def draw(place: Place, studio: Studio) -> None:
    """Draws the tab."""
    import gradio as gr

    names = studio.shelf.able("apply")
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            model, about, picture, scale, label = _inputs(gr, names)
            button, stop = run_and_stop("Apply")
        with gr.Column(scale=3, min_width=300):
            compared, line, download, command = _outputs(gr)
    stops = Stops()

    def configure(name: str, before: str | None) -> list[Any]:
        chosen = studio.shelf.model(name)
        classes = chosen.class_names if chosen.image.classes else []
        value = before if before in classes else classes[0] if classes else None
        return [
            applying.about(chosen),
            gr.update(choices=_scales(f"{float(chosen.geometry.scale):g}")),
            gr.update(choices=classes, value=value, visible=bool(classes)),
        ]

    def apply(
        name: str,
        path: str | None,
        scale: str,
        label: str | None,
        page: Any,
        progress: Any = gr.Progress(),  # noqa: B008  (Gradio looks for it there)
    ) -> tuple[Any, Any, Any, Any]:
        def check() -> None:
            stops.check(page.session_hash)

        def on_tile(number: int, count: int) -> None:
            progress((number, count), unit="tiles", desc="Applying")

        stops.began(page.session_hash)
        if path is None:
            raise gr.Error("Choose a picture first.", duration=10, title="Error", print_exception=False)
        with studio.shelf.computing():
            model = studio.shelf.model(name)
            request = applying.Request(path, SCALES.get(scale), label if model.image.classes else None)
            progress(0, desc="Applying")
            try:
                found = applying.apply(model, request, studio.folder, on_tile, check)
            except StopRequested:
                return gr.skip(), gr.skip(), gr.skip(), gr.skip()
        file = path.replace("\\", "/").rpartition("/")[2]
        return (
            (found.before, found.after),
            found.line,
            gr.update(value=found.output, interactive=True),
            applying.apply_command(name, request, file),
        )

    apply.__annotations__["page"] = gr.Request  # Gradio goes by the type
    chosen = [about, scale, label]
    gr.on([place.tab.select, model.change], shown(configure), [model, label], chosen, show_progress="hidden", **QUIET)
    inputs, outputs = [model, picture, scale, label], [compared, line, download, command]
    stops.connect(stop, gr.on([button.click, picture.upload], shown(apply), inputs, outputs, **QUIET))


def _inputs(gr: Any, names: list[str]) -> tuple[Any, Any, Any, Any, Any]:
    """Draws the choice of a model and what it is about, the upload, the size and the class."""
    model = gr.Dropdown(names, value=names[0], label="Model")
    about = gr.Markdown()
    millions = applying.PIXELS / 1e6
    picture = gr.File(
        label=f"A picture, at most {applying.UPLOAD_BYTES // 2**20} MiB and {millions:g} million pixels",
        file_types=["image"],
        type="filepath",
        height=170,
    )
    scale = gr.Dropdown(_scales("own"), value=OWN, label="Times as large as the picture")
    label = gr.Dropdown([], label="Class", visible=False)
    return model, about, picture, scale, label


def _scales(own: str) -> list[tuple[str, str]]:
    """Returns the sizes to choose: what is read, and what stands for it."""
    return [(f"{own}, as the network makes it", OWN), *((size, size) for size in SCALES if size != OWN)]


def _outputs(gr: Any) -> tuple[Any, Any, Any, Any]:
    """Draws the comparison, a line, the download and the command."""
    compared = gr.ImageSlider(
        label="Before and after",
        type="filepath",
        interactive=False,
        buttons=["fullscreen"],
        max_height=600,
        elem_id="apply-picture",
    )
    line = gr.Markdown()
    download = gr.DownloadButton("Download out.png", interactive=False)
    command = gr.Textbox(
        label="Makes the same file", lines=2, interactive=False, buttons=["copy"], elem_id="apply-command"
    )
    return compared, line, download, command
