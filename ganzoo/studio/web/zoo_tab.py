"""The tab Zoo: every variant, and the page of one with its equations and weights."""

from __future__ import annotations

from typing import Any

from ganzoo.studio import zoo
from ganzoo.studio.server import Studio
from ganzoo.studio.web.events import QUIET, Place, shown


def draw(place: Place, studio: Studio) -> None:
    """Draws the tab."""
    import gradio as gr

    registry = studio.registry
    names = zoo.names(registry)
    with gr.Row():
        words = gr.Textbox(label="Find", placeholder="such as: 2018 spectral", max_lines=1, min_width=240)
        chosen = gr.Dropdown(names, value=None, label="Variant", min_width=240)
    table = gr.Dataframe(
        zoo.rows(registry),
        headers=list(zoo.COLUMNS),
        column_widths=list(zoo.WIDTHS),
        interactive=False,
        wrap=True,
        max_height=360,
        label="Variants: click one to read about it",
    )
    page = gr.Markdown("Choose a variant to read about it.", elem_id="zoo-card")

    def choose(event: Any) -> Any:
        return event.row_value[0]

    choose.__annotations__["event"] = gr.SelectData  # Gradio goes by the type

    def show(name: str | None) -> str:
        return zoo.card(registry, name) if name else "Choose a variant to read about it."

    words.input(lambda text: zoo.rows(registry, text), words, table, show_progress="hidden", **QUIET)
    table.select(choose, None, chosen, show_progress="hidden", **QUIET)
    chosen.change(shown(show), chosen, page, show_progress="hidden", **QUIET)
