"""The tab Bench: the report of a bench with sortable tables, plots and pictures."""

from __future__ import annotations

from ganzoo.studio import benches
from ganzoo.studio.server import Studio
from ganzoo.studio.web.events import QUIET, Place, shown


def draw(place: Place, studio: Studio) -> None:
    """Draws the tab."""
    import gradio as gr

    folder = studio.bench
    assert folder is not None  # as `tabs_of` asks
    names = list(benches.bench_folders(folder))
    with gr.Row():
        chosen = gr.Dropdown(names, value=names[0] if names else None, label="Bench")
        refresh = gr.Button("Read again", min_width=120)
    page = gr.HTML()

    def show(name: str | None) -> str:
        return str(benches.report(folder, name or ""))

    gr.on([place.tab.select, chosen.input, refresh.click], shown(show), chosen, page, **QUIET)
