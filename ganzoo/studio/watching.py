"""Lists the runs of a folder with their health, and shows their curves and samples."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from ganzoo.bench.report.markup import Markup, tag
from ganzoo.curves.page import render
from ganzoo.curves.series import LARGEST_RUNS, read_runs
from ganzoo.errors import GanzooError, UsageError
from ganzoo.files.text import one_line, quoted
from ganzoo.runs.collapse import LEAST_DIVERSITY, WARM_UP
from ganzoo.runs.folder import RunFolder
from ganzoo.runs.modalities import LEAST_COVERAGE

MOST_RUNS = 200
SILENT = 120.0  # seconds without a record after which a run is not going on
COLUMNS = ("run", "variant", "data", "step", "of", "state", "diversity", "last news")


@dataclass(frozen=True)
class Health:
    """A run as a row: how far it is, and how it does."""

    name: str
    variant: str = ""
    data: str = ""
    step: int = 0
    steps: int = 0
    state: str = ""
    diversity: float | None = None
    seconds_ago: float | None = None

    def row(self) -> list[str | int | float | None]:
        """Returns the values of `COLUMNS`."""
        ago = None if self.seconds_ago is None else _ago(self.seconds_ago)
        diversity = None if self.diversity is None else round(self.diversity, 3)
        return [self.name, self.variant, self.data, self.step, self.steps, self.state, diversity, ago]


def run_folders(folder: Path) -> dict[str, Path]:
    """Returns the runs in a folder and in its folders by name, the newest first; links are not followed."""
    found: dict[str, tuple[float, Path]] = {}
    for place in [folder, *_folders(folder)]:
        for inner in [place] if place == folder else [place, *_folders(place)]:
            config = inner / "config.json"
            if inner.name != "checkpoints" and config.is_file() and (inner / "metrics.jsonl").is_file():
                name = inner.relative_to(folder).as_posix() if inner != folder else folder.absolute().name
                found[name] = (inner / "metrics.jsonl").stat().st_mtime, inner
    newest = sorted(found.items(), key=lambda item: -item[1][0])[:MOST_RUNS]
    return {name: path for name, (_, path) in newest}


def _folders(folder: Path) -> list[Path]:
    try:
        return [one for one in folder.iterdir() if not one.is_symlink() and one.is_dir()]
    except OSError:
        return []


def health(name: str, path: Path, now: float | None = None) -> Health:
    """Reads how a run does; a damaged one is a row with the reason."""
    folder = RunFolder(path)
    try:
        config, records = folder.read_config(), folder.records()
        ago = max(0.0, (time.time() if now is None else now) - folder.metrics.stat().st_mtime)
    except (GanzooError, OSError) as error:
        return Health(name, state=f"damaged: {one_line(error)[:200]}")
    looks = [record["samples"] for record in records if isinstance(record.get("samples"), dict)]
    found = looks[-1].get("diversity") if looks else None
    diversity = float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None
    step = max((record["step"] for record in records), default=0)
    steps = config.variant.training.steps
    least = LEAST_DIVERSITY if config.image.output.kind == "image" else LEAST_COVERAGE
    state = _state([str(record["event"]) for record in records if "event" in record], step, steps, ago)
    if diversity is not None and diversity < least and step > WARM_UP and not state.startswith("diverged"):
        state += ", collapsed"
    return Health(name, config.variant.name, config.data.name, step, steps, state, diversity, ago)


def _state(events: list[str], step: int, steps: int, ago: float) -> str:
    """Says whether a run is going on, from its events, its length and the time since its last record."""
    if "diverged" in events[-3:]:
        return "diverged"
    if step >= steps:
        return "finished"
    if events and events[-1] == "interrupted":
        return "stopped"
    return "training" if ago < SILENT else "no news"


def _ago(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} seconds ago"


def rows(folder: Path) -> list[list[str | int | float | None]]:
    """Returns a row for each run of a folder, the newest first."""
    return [health(name, path).row() for name, path in run_folders(folder).items()]


def stamp(folder: Path, names: list[str]) -> str:
    """Returns a text that changes when a run of these names has news."""
    found = run_folders(folder)
    times = [f"{name} {found[name] / 'metrics.jsonl'} {_changed(found[name])}" for name in names if name in found]
    return "\n".join([*names, *times])


def _changed(path: Path) -> tuple[float, ...]:
    try:
        return tuple((path / name).stat().st_mtime for name in ("metrics.jsonl", "samples"))
    except OSError:
        return ()


def curves(folder: Path, names: list[str]) -> Markup:
    """Returns the page of curves and samples of runs as an element; UsageError for names that the folder lacks."""
    found = run_folders(folder)
    if not names:
        return framed("", "Curves")
    if unknown := [name for name in names if name not in found]:
        raise UsageError(f"{quoted(unknown[0])} is no run of this folder.")
    if len(names) > LARGEST_RUNS:
        raise UsageError(f"{len(names)} runs are too many for one figure: choose at most {LARGEST_RUNS}.")
    return framed(render(read_runs([found[name] for name in names])), f"Curves of {', '.join(names)}")


def framed(page: str, title: str) -> Markup:
    """Returns a whole page as an element of its own, which can reach nothing of the page around it."""
    if not page:
        return tag("p", "Choose one or more.")
    return tag("iframe", srcdoc=Markup(_attribute(page)), sandbox="allow-scripts", title=title, class_="studio-frame")


def _attribute(page: str) -> str:
    return page.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
