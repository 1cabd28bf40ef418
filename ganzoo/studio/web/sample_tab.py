"""The tab Sample: a seed, a class, truncation and sliders; a grid and the command that makes it again."""

from __future__ import annotations

import random
from typing import Any

from ganzoo.studio import files, sampling
from ganzoo.studio.server import Studio
from ganzoo.studio.web.events import QUIET, Place, shown

SLIDERS = 12


class SampleTab:
    """The components of the tab and what they do; the first model is sampled as soon as the page is there."""

    def __init__(self, place: Place, studio: Studio):
        import gradio as gr

        self.studio = studio
        names = studio.shelf.able("sample")
        first = sampling.controls_of(studio.shelf.model(names[0]))
        with gr.Row():
            with gr.Column(scale=3, min_width=300):
                self.picture = gr.Image(
                    show_label=False,
                    type="filepath",
                    format="png",
                    interactive=False,
                    elem_classes="studio-picture",
                    buttons=["fullscreen"],
                    alt_text="A grid of samples of the model",
                )
                self.command = gr.Textbox(
                    label="Makes the same file", lines=2, interactive=False, buttons=["copy"], elem_id="sample-command"
                )
                self.download = gr.DownloadButton("Download grid.png", interactive=False)
            with gr.Column(scale=2, min_width=300):
                self.model = gr.Dropdown(names, value=names[0], label="Model")
                self._draw_choices(gr, first.count)
        self._connect(gr, place.page)

    def _draw_choices(self, gr: Any, count: int) -> None:
        with gr.Row():
            most = sampling.LARGEST_SEED
            self.seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=most, min_width=120)
            self.count = gr.Number(count, label="Samples", precision=0, minimum=1, min_width=120)
        with gr.Row():
            self.button = gr.Button("Sample", variant="primary", min_width=120)
            self.another = gr.Button("New seed", min_width=120)
        every = sampling.EVERY_CLASS
        self.label = gr.Dropdown([every], value=every, label="Class", visible=False)
        self.truncates = gr.Checkbox(False, label="Truncate: less variety, fewer odd samples", visible=False)
        self.truncation = gr.Slider(0.1, 2.0, 0.7, step=0.05, label="Truncation", visible=False)
        self.fixed = gr.CheckboxGroup([], label="Codes to set", visible=False)
        self.sliders = [
            gr.Slider(-3, 3, 0, step=0.1, label=f"Direction {number + 1}", visible=False) for number in range(SLIDERS)
        ]

    def _connect(self, gr: Any, blocks: Any) -> None:
        inputs = [self.model, self.seed, self.count, self.label, self.truncates, self.truncation, self.fixed]
        inputs += self.sliders
        outputs = [self.picture, self.download, self.command]
        chosen = [self.count, self.label, self.truncates, self.truncation, self.fixed, *self.sliders]
        for start in (blocks.load, self.model.change):
            start(shown(self.configure), self.model, chosen, show_progress="hidden", **QUIET).then(
                shown(self.sample), inputs, outputs, **QUIET
            )
        again = [self.button.click, self.seed.submit, self.count.submit, self.label.input, self.truncation.input]
        again += [slider.input for slider in self.sliders]
        gr.on(again, shown(self.sample), inputs, outputs, **QUIET)
        self.another.click(self.new_seed, None, self.seed, show_progress="hidden", **QUIET).then(
            shown(self.sample), inputs, outputs, **QUIET
        )
        visible = [self.truncation, *self.sliders]
        gr.on(
            [self.truncates.input, self.fixed.input],
            shown(self.reveal),
            [self.model, self.truncates, self.fixed],
            visible,
            show_progress="hidden",
            **QUIET,
        ).then(shown(self.sample), inputs, outputs, **QUIET)

    def new_seed(self) -> int:
        """Returns a seed that a person can type again."""
        return random.randrange(100_000)

    def configure(self, name: str) -> list[Any]:
        """Returns the components for another model: its classes, sliders and number of samples."""
        import gradio as gr

        with self.studio.shelf.computing():
            controls = sampling.controls_of(self.studio.shelf.model(name))
        codes = [slider.name for slider in controls.sliders if slider.kind != "direction"][:SLIDERS]
        classes = [sampling.EVERY_CLASS, *controls.classes]
        found = [
            controls.count,
            gr.update(choices=classes, value=sampling.EVERY_CLASS, visible=bool(controls.classes)),
            gr.update(value=False, visible=controls.truncates),
            gr.update(visible=False),
            gr.update(choices=codes, value=[], visible=bool(codes)),
        ]
        for number in range(SLIDERS):
            if number >= len(controls.sliders):
                found.append(gr.update(visible=False, value=0))
                continue
            slider = controls.sliders[number]
            moves = slider.kind == "direction"
            whole = slider.kind == "categorical"
            found.append(
                gr.update(
                    minimum=slider.low,
                    maximum=slider.high,
                    value=0 if moves or whole else (slider.low + slider.high) / 2,
                    step=1 if whole else (slider.high - slider.low) / 60,
                    label=f"Direction {slider.name}" if moves else slider.name,
                    visible=moves,
                )
            )
        return found

    def reveal(self, name: str, truncates: bool, fixed: list[str]) -> list[Any]:
        """Shows the truncation and the sliders of codes that are set."""
        import gradio as gr

        found = sampling.controls_of(self.studio.shelf.model(name)).sliders[:SLIDERS]
        seen = [slider.kind == "direction" or slider.name in fixed for slider in found]
        seen += [False] * (SLIDERS - len(seen))
        return [gr.update(visible=truncates), *(gr.update(visible=one) for one in seen)]

    def sample(
        self,
        name: str,
        seed: Any,
        count: Any,
        label: str,
        truncates: bool,
        truncation: float,
        fixed: list[str],
        *values: float,
    ) -> tuple[str, Any, str]:
        """Samples; returns the picture, the download and the command."""
        import gradio as gr

        with self.studio.shelf.computing():
            model = self.studio.shelf.model(name)
            controls = sampling.controls_of(model)
            moves = {
                slider.name: value
                for slider, value in zip(controls.sliders, values, strict=False)
                if slider.kind == "direction" or slider.name in fixed
            }
            request = sampling.Request(
                seed,
                count,
                None if label == sampling.EVERY_CLASS or not controls.classes else label,
                truncation if truncates and controls.truncates else None,
                moves,
            )
            path = files.save(self.studio.folder, sampling.grid(model, request), "grid.png")
        return path, gr.update(value=path, interactive=True), sampling.grid_command(name, model, request)


def draw(place: Place, studio: Studio) -> None:
    """Draws the tab."""
    SampleTab(place, studio)
