"""The page: its tabs by what there is to show, its look, and the web application around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ganzoo.studio import points
from ganzoo.studio.plots import STYLE as PLOTS
from ganzoo.studio.server import UPLOAD_BYTES, Studio
from ganzoo.studio.web import apply_tab, bench_tab, points_tab, runs_tab, sample_tab, walk_tab, zoo_tab
from ganzoo.studio.web.events import Place

STYLE = """
.gradio-container, .gradio-container > main { width: 100% !important; }
.gradio-container { max-width: 1200px !important; margin: 0 auto !important; }
.gradio-container > main, .tabs, .tabitem { min-width: 0 !important; max-width: 100% !important; }
.tabitem .table-wrap, .tabitem .table-container { max-width: 100%; overflow-x: auto; }
@media (max-width: 480px) { .tabitem .block, .tabitem .form { max-width: calc(100vw - 64px); } }
footer { display: none !important; }
img { image-rendering: auto; }
.studio-picture img { width: 100%; max-height: 75vh; object-fit: contain; }
:focus-visible { outline: 3px solid var(--color-accent) !important; outline-offset: 2px; }
.studio-command, .studio-command * { white-space: pre-wrap !important; word-break: break-word; }
.studio-frame { width: 100%; height: 80vh; border: 1px solid var(--border-color-primary); border-radius: 6px; }
#zoo-card table { display: block; overflow-x: auto; }
#zoo-card :is(td, th) { word-break: normal; overflow-wrap: normal; }
.studio-walk img { image-rendering: pixelated; }
#points-caption { font-size: .85rem; }
#walk-picture .empty::after { content: "Walk draws an animation between samples."; padding: 12px; }
#apply-picture .empty::after { content: "The picture and what becomes of it, side by side."; padding: 12px; }
@media (max-width: 480px) { .gradio-container { padding: 4px !important; } h1 { font-size: 1.3rem !important; } }
"""
Tab = Callable[[Place, Studio], None]


def tabs_of(studio: Studio) -> list[tuple[str, Tab]]:
    """Returns the titles of the tabs that have something to show, and the functions that draw them."""
    found: list[tuple[str, Tab]] = []
    if studio.shelf.able("sample"):
        found.append(("Sample", sample_tab.draw))
    if studio.shelf.able("walk"):
        found.append(("Walk", walk_tab.draw))
    if studio.shelf.able("apply"):
        found.append(("Apply", apply_tab.draw))
    if not studio.of_models_alone and points.variants_of_points(studio.registry):
        found.append(("Points", points_tab.draw))
    if studio.runs is not None:
        found.append(("Runs", runs_tab.draw))
    if studio.bench is not None:
        found.append(("Bench", bench_tab.draw))
    if not studio.of_models_alone:
        found.append(("Zoo", zoo_tab.draw))
    return found


def page(studio: Studio) -> Any:
    """Returns the Gradio page of a studio."""
    import gradio

    with gradio.Blocks(title=studio.title, analytics_enabled=False, delete_cache=(600, 3600)) as blocks:
        gradio.Markdown(f"# {studio.title}")
        with gradio.Tabs():
            for title, draw in tabs_of(studio):
                with gradio.Tab(title, id=title.lower()) as tab:
                    draw(Place(blocks, tab), studio)
    blocks.queue(default_concurrency_limit=1, max_size=64)
    return blocks


def web_application(studio: Studio) -> Any:
    """Returns the ASGI application; put it behind a `Guard`, which closes the routes that the page does not need."""
    import gradio
    from fastapi import FastAPI

    blocks = page(studio)
    blocks.has_launched = True  # only then Gradio checks that the files of a request were uploaded
    application = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    return gradio.mount_gradio_app(
        application,
        blocks,
        path="/",
        allowed_paths=[],
        show_error=True,
        max_file_size=UPLOAD_BYTES,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        theme=gradio.themes.Default(**fonts),
        css=STYLE + PLOTS,
    )
