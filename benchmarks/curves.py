"""Draws the curves of a run: its loss terms and how close its samples came to real images.

    python benchmarks/curves.py runs/first curves.png

Needs matplotlib (the extra `plot`). Each picture has one panel for each phase and one for the samples.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ganzoo.runs.folder import RunFolder


def series(records: list[dict], key: str) -> dict[str, tuple[list[float], list[float]]]:
    """Steps and values of every number under `key`, by name."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for record in records:
        for name, value in record.get(key, {}).items():
            if isinstance(value, float):
                steps, values = found.setdefault(name, ([], []))
                steps.append(record["step"])
                values.append(value)
    return found


def main() -> None:
    """Reads metrics.jsonl and writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    records = RunFolder(arguments.run).records()
    terms, samples = series(records, "terms"), series(records, "samples")
    phases = sorted({name.partition(".")[0] for name in terms})
    figure, panels = plt.subplots(1, len(phases) + 1, figsize=(4.2 * (len(phases) + 1), 2.8), constrained_layout=True)
    for phase, panel in zip(phases, panels, strict=False):
        for name, (steps, values) in terms.items():
            if name.partition(".")[0] == phase:
                panel.plot(steps, values, label=name.partition(".")[2], linewidth=1)
        panel.set_title(f"phase {phase}")
        panel.legend(fontsize=8)
    for name, (steps, values) in samples.items():
        panels[-1].plot(steps, values, label=name.replace("_", " "), linewidth=1)
    panels[-1].set_yscale("log")
    panels[-1].set_title("samples")
    panels[-1].legend(fontsize=8)
    for panel in panels:
        panel.set_xlabel("step")
        panel.grid(alpha=0.3)
    figure.savefig(arguments.picture, dpi=110)


if __name__ == "__main__":
    main()
