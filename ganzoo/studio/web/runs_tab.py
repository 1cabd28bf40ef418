"""The tab Runs: the runs of a folder with their health, and curves and samples as they come."""

from __future__ import annotations

from typing import Any

from ganzoo.curves.series import LARGEST_RUNS
from ganzoo.studio import watching
from ganzoo.studio.server import Studio
from ganzoo.studio.web.events import QUIET, Place, shown

EVERY = 5.0  # seconds


def draw(place: Place, studio: Studio) -> None:
    """Draws the tab."""
    import gradio as gr

    folder = studio.runs
    assert folder is not None  # as `tabs_of` asks
    with gr.Row():
        live = gr.Checkbox(True, label=f"Look every {EVERY:g} seconds")
        refresh = gr.Button("Look now", min_width=120)
    table = gr.Dataframe(
        headers=list(watching.COLUMNS), interactive=False, wrap=True, max_height=320, label="Runs: click one to show it"
    )
    chosen = gr.Dropdown([], value=[], multiselect=True, label="Show", max_choices=LARGEST_RUNS)
    page = gr.HTML()
    timer = gr.Timer(EVERY)
    seen = gr.State("")

    def look(names: list[str] | None) -> tuple[Any, Any]:
        rows = watching.rows(folder)
        return rows, gr.update(choices=[row[0] for row in rows])

    def newest() -> Any:
        found = list(watching.run_folders(folder))
        return gr.update(choices=found, value=found[:1])

    def choose(event: Any) -> Any:
        return [event.row_value[0]]

    choose.__annotations__["event"] = gr.SelectData  # Gradio goes by the type

    def curves(names: list[str] | None, before: str) -> tuple[Any, str]:
        stamp = watching.stamp(folder, names or [])
        return (gr.skip(), before) if stamp == before else (str(watching.curves(folder, names or [])), stamp)

    for event in (place.tab.select, refresh.click, timer.tick):
        event(shown(look), chosen, [table, chosen], show_progress="hidden", **QUIET).then(
            shown(curves), [chosen, seen], [page, seen], show_progress="hidden", **QUIET
        )
    place.page.load(shown(newest), None, chosen, show_progress="hidden", **QUIET)
    table.select(choose, None, chosen, show_progress="hidden", **QUIET)
    chosen.change(shown(curves), [chosen, seen], [page, seen], **QUIET)
    live.input(lambda on: gr.Timer(active=on), live, timer, show_progress="hidden", **QUIET)
