"""Reads runs for `ganzoo curves`: panels of lines, and the pictures of each run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganzoo.errors import UsageError
from ganzoo.files.text import quoted
from ganzoo.runs.animate import NAME, read_picture
from ganzoo.runs.collapse import LEAST_DIVERSITY
from ganzoo.runs.folder import RunFolder
from ganzoo.runs.modalities import LEAST_COVERAGE

Line = list[tuple[float, float]]
LARGEST_RUNS = 12
MOST_POINTS = 500  # of a line: more are no wider than a pixel
MOST_PICTURES = 8  # of a run, evenly spaced
PICTURE_WIDTH = 320
FIRST = ("diversity", "energy_distance", "l1")


@dataclass(frozen=True)
class Series:
    """A line of a panel with its name and the number of its colour."""

    name: str
    place: int
    line: Line


@dataclass(frozen=True)
class Panel:
    """Lines that share their axes, and horizontal marks with a label each."""

    title: str
    series: tuple[Series, ...]
    marks: tuple[tuple[float, str], ...] = ()

    @property
    def named(self) -> tuple[Series, ...]:
        """The lines of the legend: all but a single one that the title names."""
        return () if [series.name for series in self.series] == [self.title] else self.series


@dataclass(frozen=True)
class Run:
    """The records and pictures of a run; `summary` says what it trains, `events` lists (step, kind, text).

    Below `least_diversity` its samples are all alike.
    """

    name: str
    summary: str
    least_diversity: float
    records: Sequence[dict[str, Any]]
    events: tuple[tuple[int, str, str], ...]
    pictures: tuple[tuple[str, Path], ...]


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Reads the runs; UsageError or CheckpointError for a folder that is none, and for too many."""
    if len(folders) > LARGEST_RUNS:
        raise UsageError(f"{len(folders)} runs are too many for one figure: give at most {LARGEST_RUNS}.")
    names = _names(folders)
    return [_read(folder, name) for folder, name in zip(folders, names, strict=True)]


def _names(folders: Sequence[Path]) -> list[str]:
    """The names of the folders, or their whole paths where names are alike."""
    names = [folder.absolute().name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    if len(set(names)) < len(names):
        raise UsageError(f"Give each run once, not {', '.join(quoted(name) for name in names)}.")
    return names


def _read(path: Path, name: str) -> Run:
    folder = RunFolder(path)
    if not folder.config.exists():
        raise UsageError(f"{path} is no run: it holds no config.json.")
    config = folder.read_config()
    records = folder.sound_records()
    events = tuple(
        (record["step"], str(record["event"]), str(record.get("text", "")))
        for record in records
        if record.get("event") in ("collapse", "diverged", "rollback", "interrupted")
    )
    summary = f"{config.variant.name} on {config.data.name}, seed {config.seed}"
    least = LEAST_DIVERSITY if config.image.output.kind == "image" else LEAST_COVERAGE
    return Run(name, summary, least, records, events, _pictures(folder))


def _pictures(folder: RunFolder) -> tuple[tuple[str, Path], ...]:
    """Captions and paths of the real grid and of evenly spaced grids of samples."""
    try:
        paths = sorted(path for path in folder.samples.iterdir() if NAME.fullmatch(path.name))
    except OSError:
        paths = []
    steps = [(int(re.sub(r"\D", "", path.name)), path) for path in paths]
    if len(steps) > MOST_PICTURES:
        gap = (len(steps) - 1) / (MOST_PICTURES - 1)
        steps = [steps[round(number * gap)] for number in range(MOST_PICTURES)]
    real = folder.samples / "real.png"
    return (*([("real", real)] if real.exists() else []), *((f"step {step:,}", path) for step, path in steps))


def picture_of(path: Path) -> Any:
    """Reads one picture of a run in colour, at most 320 pixels wide."""
    return read_picture(path, PICTURE_WIDTH).convert("RGB")


def panels(runs: Sequence[Run]) -> list[Panel]:
    """Returns a panel for each phase of one run, or for each term of several, then one for each measurement."""
    if not any("terms" in record or "samples" in record for run in runs for record in run.records):
        raise UsageError("No record yet: a run writes its first after 50 steps.")
    terms = [_lines(run, "terms") for run in runs]
    found: list[Panel] = []
    if len(runs) == 1:
        for phase in dict.fromkeys(name.partition(".")[0] for name in terms[0]):
            own = [(name, line) for name, line in terms[0].items() if name.partition(".")[0] == phase]
            lines = tuple(Series(name.partition(".")[2], place, line) for place, (name, line) in enumerate(own))
            found.append(Panel(f"terms of phase {phase}", lines))
    else:
        found += [_shared(f"term {name}", name, runs, terms) for name in dict.fromkeys(n for own in terms for n in own)]
    samples = [_lines(run, "samples") for run in runs]
    least = max(run.least_diversity for run in runs)
    marks = {"diversity": ((1.0, "real"), (least, "collapse")), "energy_distance": ((0.0, "real"),)}
    names = list(dict.fromkeys(name for own in samples for name in own))
    for name in [*(name for name in FIRST if name in names), *(name for name in names if name not in FIRST)]:
        found.append(_shared(name.replace("_", " "), name, runs, samples, marks.get(name, ())))
    return found


def _shared(
    title: str,
    name: str,
    runs: Sequence[Run],
    lines: Sequence[dict[str, Line]],
    marks: tuple[tuple[float, str], ...] = (),
) -> Panel:
    pairs = enumerate(zip(runs, lines, strict=True))
    names = [run.name for run in runs] if len(runs) > 1 else [title]
    series = (Series(names[place], place, own[name]) for place, (_, own) in pairs if name in own)
    return Panel(title, tuple(series), marks)


def _lines(run: Run, kind: str) -> dict[str, Line]:
    """The finite numbers of a kind of records by name."""
    found: dict[str, Line] = {}
    for record in run.records:
        values = record.get(kind)
        for name, value in values.items() if isinstance(values, dict) else ():
            if type(value) in (int, float) and abs(value) < 1e300:
                found.setdefault(name, []).append((record["step"], float(value)))
    return {name: _thinned(line) for name, line in found.items()}


def _thinned(line: Line) -> Line:
    """A line of at most 500 points and the last one: means of neighbours."""
    size = -(-len(line) // MOST_POINTS)
    groups = [line[start : start + size] for start in range(0, len(line), size)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]
