"""Prints the table of docs/pretrained.md: each generator that comes with a plugin, as its config.json describes it.

python benchmarks/pretrained_table.py
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import ganzoo
from ganzoo.metrics import named
from ganzoo.models.config import read_model_config

COLUMNS = ("frechet", "precision", "recall", "density", "coverage", "modes")


def main() -> None:
    """Prints Markdown."""
    print(
        "| tag | images | parameters | file | "
        + " | ".join(COLUMNS)
        + " |\n| --- " * 1
        + "| --- " * (3 + len(COLUMNS))
        + "|"
    )
    commands = []
    for variant in ganzoo.variants():
        for tag, weights in sorted(variant.weights.items()):
            if weights.package_file is None or weights.image.sources:
                continue
            package, _, inside = weights.package_file.partition(":")
            config = read_model_config(Path(str(resources.files(package))) / inside / "config.json")
            if named("frechet", "fashion-cnn") not in config.metrics:  # emoji, which another extractor scores
                continue
            count = sum(p.numel() for p in ganzoo.load(tag).generator.parameters())
            numbers = [f"{config.metrics[named(column, 'fashion-cnn')]:.3g}" for column in COLUMNS]
            size = f"{config.image.size}×{config.image.size}"
            print(
                f"| `{tag}` | {size} | {count:,} | {config.weights.size / 1e6:.1f} MB | " + " | ".join(numbers) + " |"
            )
            commands.append(config.training["command"])
    print("\n```console\n" + "\n".join(f"$ {command}" for command in commands) + "\n```")


if __name__ == "__main__":
    main()
