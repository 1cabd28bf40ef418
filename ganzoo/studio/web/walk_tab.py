"""The tab Walk: an animation through latents of a seed, and the command that makes it again."""

from __future__ import annotations

from typing import Any

from ganzoo.studio import sampling, walking
from ganzoo.studio.files import new_file
from ganzoo.studio.server import Studio
from ganzoo.studio.web.events import QUIET, Place, StopRequested, Stops, run_and_stop, shown

FORMATS = {"WebP": ".webp", "GIF": ".gif"}


def draw(place: Place, studio: Studio) -> None:
    """Draws the tab."""
    import gradio as gr

    names = studio.shelf.able("walk")
    with gr.Row():
        with gr.Column(scale=3, min_width=300):
            picture, command, download = _outputs(gr)
        with gr.Column(scale=2, min_width=300):
            model = gr.Dropdown(names, value=names[0], label="Model")
            seed = gr.Number(0, label="Seed", precision=0, minimum=0)
            number_of_stops = gr.Slider(2, walking.MOST, 4, step=1, label="Stops")
            label, truncates, truncation = _choices(gr, sampling.controls_of(studio.shelf.model(names[0])))
            kind = gr.Radio(list(FORMATS), value="WebP", label="Format")
            button, stop = run_and_stop("Walk")
    stops = Stops()

    def configure(name: str) -> list[Any]:
        with studio.shelf.computing():
            controls = sampling.controls_of(studio.shelf.model(name))
        first = controls.classes[0] if controls.classes else None
        return [
            gr.update(choices=list(controls.classes), value=first, visible=bool(controls.classes)),
            gr.update(value=False, visible=controls.truncates),
            gr.update(visible=False),
        ]

    def walk(
        name: str,
        seed: Any,
        count: Any,
        label: str | None,
        truncates: bool,
        truncation: float,
        kind: str,
        page: Any,
        progress: Any = gr.Progress(),  # noqa: B008  (Gradio looks for it there)
    ) -> tuple[Any, Any, Any]:
        def on_frame(number: int, count: int) -> None:
            stops.check(page.session_hash)
            progress((number, count), unit="frames", desc="Walking")

        stops.began(page.session_hash)
        with studio.shelf.computing():
            model = studio.shelf.model(name)
            controls = sampling.controls_of(model)
            cut = truncation if truncates and controls.truncates else None
            request = walking.Request(seed, count, label if controls.classes else None, cut)
            path = new_file(studio.folder, f"walk{FORMATS[kind]}")
            try:
                walking.write_walk(model, request, path, on_frame)
            except StopRequested:
                return gr.skip(), gr.skip(), gr.skip()
        return str(path), gr.update(value=str(path), interactive=True), walking.walk_command(name, request, path.suffix)

    walk.__annotations__["page"] = gr.Request  # Gradio goes by the type
    chosen = [label, truncates, truncation]
    inputs, outputs = [model, seed, number_of_stops, *chosen, kind], [picture, download, command]
    model.change(shown(configure), model, chosen, show_progress="hidden", **QUIET)
    truncates.input(lambda on: gr.update(visible=on), truncates, truncation, show_progress="hidden", **QUIET)
    stops.connect(stop, gr.on([button.click, seed.submit], shown(walk), inputs, outputs, **QUIET))


def _choices(gr: Any, first: sampling.Controls) -> tuple[Any, Any, Any]:
    """Draws the class and the truncation, as far as the first model has them."""
    classes = list(first.classes)
    label = gr.Dropdown(classes, value=classes[0] if classes else None, label="Class", visible=bool(classes))
    truncates = gr.Checkbox(False, label="Truncate: less variety, fewer odd samples", visible=first.truncates)
    truncation = gr.Slider(0.1, 2.0, 0.7, step=0.05, label="Truncation", visible=False)
    return label, truncates, truncation


def _outputs(gr: Any) -> tuple[Any, Any, Any]:
    """Draws the picture, the command and the download."""
    picture = gr.Image(
        show_label=False,
        type="filepath",
        interactive=False,
        elem_classes=["studio-picture", "studio-walk"],
        elem_id="walk-picture",
        buttons=["fullscreen"],
        alt_text="An animation between samples of the model",
    )
    command = gr.Textbox(
        label="Makes the same file", lines=2, interactive=False, buttons=["copy"], elem_id="walk-command"
    )
    download = gr.DownloadButton("Download the animation", interactive=False)
    return picture, command, download
