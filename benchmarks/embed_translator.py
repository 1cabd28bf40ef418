"""Makes the weights of a translator that come with a plugin: in half precision, scored on pairs that it never saw.

    python benchmarks/embed_translator.py runs/colour --tag pix2pix.line-to-colour --truth test/colour \
        --source test/line --command "ganzoo train pix2pix ..." --license MIT \
        --out plugins/ganzoo_plugins/pix2pix/files/line-to-colour

Prints the scores in float32 and as stored, those of a copy of the source, and the `Weights(...)` for the card.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ganzoo
from ganzoo.metrics.translations import TranslationScores, score_model
from ganzoo.models.model import Model
from ganzoo.registry.registry import registry

METRICS = ("psnr", "ssim", "l1")


def without_paths(facts: Any) -> Any:
    """The facts of a training without the folders of this machine."""
    if not isinstance(facts, Mapping):
        return facts
    local = [name for name, value in facts.items() if isinstance(value, str) and value.startswith(("/", "."))]
    return {name: without_paths(value) for name, value in facts.items() if name not in local}


def main() -> None:
    """Reads the command line, scores and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--tag", required=True)
    parser.add_argument("--truth", required=True, help="outputs that the run never saw")
    parser.add_argument("--source", required=True, help="their sources, of the same names")
    parser.add_argument("--command", required=True, help="the command that trained it")
    parser.add_argument("--license", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dtype", default="float16")
    chosen = parser.parse_args()

    def scored(model: Model) -> TranslationScores:
        return score_model(model, chosen.truth, registry(), source=chosen.source, metrics=METRICS)

    model = ganzoo.load(chosen.run)
    before = scored(model).model.means
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "half", dtype=chosen.dtype)
        found = scored(ganzoo.load(Path(folder) / "half"))
    after, copied = found.model.means, found.source.means
    for name in METRICS:
        print(f"{name}: {before[name]:.5g}, {after[name]:.5g} in {chosen.dtype}, {copied[name]:.5g} for the source")
    facts = {**without_paths(model.config.training), "command": chosen.command}
    rounded = {name: float(f"{after[name]:.5g}") for name in METRICS}
    model.config = replace(model.config, metrics=rounded, training=facts, license=chosen.license)
    model.save(chosen.out, dtype=chosen.dtype)
    inside = chosen.out.parts[chosen.out.parts.index("ganzoo_plugins") :]
    print(f'"{chosen.tag}": Weights(')
    print(f"    image={model.image},")
    print(f'    sha256="{model.config.weights.sha256}",')
    print(f'    license="{chosen.license}",')
    print(f'    package_file="{".".join(inside[:2])}:{"/".join(inside[2:])}",\n)')


if __name__ == "__main__":
    main()
