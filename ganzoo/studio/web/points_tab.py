"""The tab Points: a training on points in the plane, seen while it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from ganzoo.studio import files, points
from ganzoo.studio.plots import plot, plots
from ganzoo.studio.server import Studio
from ganzoo.studio.web.events import QUIET, Place, shown, shown_steps

SHOWN = ("diversity", "modes", "high-quality")
NONE = "none"
CAPTION = (
    "Black: samples. White: real points, with a circle around each mode. "
    "Blue looks real to the discriminator, red looks fake."
)


def draw(place: Place, studio: Studio) -> None:
    """Draws the tab."""
    PointsTab(place, studio)


class PointsTab:
    """The components of the tab; losses and penalties are tried out when it is opened first."""

    def __init__(self, place: Place, studio: Studio):
        import gradio as gr

        self.registry, self.studio = studio.registry, studio
        self.tried = cache(lambda kind: points.usable(studio.registry, kind, studio.shelf.computing))
        variants, data = points.variants_of_points(studio.registry), points.streams(studio.registry)
        with gr.Row():
            with gr.Column(scale=3, min_width=300):
                self.picture = gr.Image(
                    show_label=False,
                    type="filepath",
                    format="png",
                    interactive=False,
                    elem_classes="studio-picture",
                    buttons=["fullscreen"],
                    alt_text="Samples in black over real points; blue is real and red fake for the discriminator",
                )
                gr.Markdown(CAPTION, elem_id="points-caption")
                self.verdict = gr.Markdown(elem_id="points-verdict")
                self.curves = gr.HTML()
                self.command = gr.Textbox(
                    label="Trains the same", lines=2, interactive=False, buttons=["copy"], elem_id="points-command"
                )
            with gr.Column(scale=2, min_width=300):
                losses, penalties = (points.candidates(studio.registry, kind) for kind in ("losses", "regularizers"))
                with gr.Row():
                    self.variant = gr.Dropdown(variants, value=variants[0], label="Networks", min_width=140)
                    self.data = gr.Dropdown(
                        data, value="ring" if "ring" in data else data[0], label="Data", min_width=140
                    )
                self.loss = gr.Dropdown(self.losses(variants[0], losses), value=points.OWN, label="Loss")
                self.penalty = gr.Dropdown([NONE, *penalties], value=NONE, label="Penalty")
                with gr.Row():
                    self.rates = [
                        gr.Dropdown(rates, value=points.OWN, label=f"Learning rate, {role}", min_width=140)
                        for role, rates in zip(points.ROLES, self.learning_rates(variants[0]), strict=True)
                    ]
                with gr.Row():
                    self.seed = gr.Number(0, label="Seed", precision=0, minimum=0, min_width=120)
                    self.steps = gr.Number(3000, label="Steps", precision=0, minimum=1, min_width=120)
                with gr.Row():
                    self.button = gr.Button("Train", variant="primary", min_width=120)
                    self.stop = gr.Button("Stop", variant="stop", min_width=120)
        inputs = [self.variant, self.data, self.loss, self.penalty, *self.rates, self.seed, self.steps]
        outputs = [self.picture, self.verdict, self.curves, self.command]
        own_line = {**QUIET, "concurrency_id": "points", "trigger_mode": "once"}
        event = self.button.click(shown_steps(self.train), inputs, outputs, show_progress="hidden", **own_line)
        self.stop.click(None, cancels=[event], api_visibility="private")
        trials = {**QUIET, "concurrency_id": "trials"}  # they take seconds, and nothing waits for them
        place.tab.select(shown(self.start), [self.command, *inputs], outputs, show_progress="hidden", **own_line).then(
            shown(self.choices), self.variant, [self.loss, self.penalty], show_progress="hidden", **trials
        )
        self.variant.change(shown(self.own), self.variant, [self.loss, *self.rates], show_progress="hidden", **QUIET)

    def losses(self, variant: str, names: list[str]) -> list[tuple[str, str]]:
        """Returns the losses to choose as what is read and what stands for it."""
        own = self.registry.get("variants", variant).loss.name
        return [(f"{own} ({points.OWN})", points.OWN), *((name, name) for name in names if name != own)]

    def learning_rates(self, variant: str) -> list[list[tuple[str, str]]]:
        """Returns the learning rates of the generator and the discriminator to choose."""
        training = self.registry.get("variants", variant).training
        rates = [f"{rate:g}" for rate in points.RATES]
        own = [f"{getattr(training, f'{role}_lr'):g}" for role in points.ROLES]
        return [
            [(f"{one} ({points.OWN})", points.OWN), *((rate, rate) for rate in rates if rate != one)] for one in own
        ]

    def choices(self, variant: str) -> list[Any]:
        """Returns the losses and penalties that work with points."""
        import gradio as gr

        losses, penalties = self.tried("losses"), self.tried("regularizers")
        return [gr.update(choices=self.losses(variant, losses)), gr.update(choices=[NONE, *penalties])]

    def own(self, variant: str) -> list[Any]:
        """Returns the loss and the learning rates to choose, with those of the variant chosen."""
        import gradio as gr

        losses = self.losses(variant, points.candidates(self.registry, "losses"))
        return [gr.update(choices=found, value=points.OWN) for found in (losses, *self.learning_rates(variant))]

    def start(self, command: str, *chosen: Any) -> tuple[Any, ...]:
        """Shows the points before the first step, unless there is something to see."""
        import gradio as gr

        return (gr.skip(),) * 4 if command else next(self.train(*chosen))

    def train(
        self,
        variant: str,
        data: str,
        loss: str,
        penalty: str,
        generator: str,
        discriminator: str,
        seed: Any,
        steps: Any,
    ) -> Iterator[tuple[Any, str, str, str]]:
        """Trains, and yields what the page shows."""
        import gradio as gr

        request = points.Request(
            variant,
            data,
            None if loss == points.OWN else loss,
            None if penalty == NONE else penalty,
            None if generator == points.OWN else float(generator),
            None if discriminator == points.OWN else float(discriminator),
            int(seed or 0),
            int(steps or 0),
        )
        command = points.train_command(request)
        numbers: dict[str, list[tuple[float, float]]] = {}
        terms: dict[str, list[tuple[float, float]]] = {}
        for look in points.train(request, self.registry, computing=self.studio.shelf.computing):
            for found, values in ((numbers, look.numbers), (terms, look.terms)):
                for name, value in values.items():
                    found.setdefault(name, []).append((look.step, value))
            figures = [plot(name, {name: numbers[name]}) for name in SHOWN if len(numbers.get(name, [])) > 1]
            drawn = plots(plot("terms", terms), *figures)
            picture = gr.skip() if look.picture is None else files.save(self.studio.folder, look.picture, "points.png")
            yield picture, f"**Step {look.step:,}.** {look.verdict}", str(drawn), command
