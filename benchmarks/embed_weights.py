"""Makes the weights that come with a plugin from a checkpoint: in half precision, scored before and after, described.

    python benchmarks/embed_weights.py runs/dcgan/checkpoints/step-000004000 --tag dcgan.fashion-mnist \
        --command "ganzoo train dcgan ..." --out plugins/ganzoo_plugins/dcgan/files/fashion-mnist

The scores are of 10,000 images of seed 0 against `--data`, which must be images that the run was not trained on. It
refuses to write weights whose distance in half precision is more than `--tolerance` away from that in single
precision, prints how many pixels changed, and the `Weights(...)` for the variant's card.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

import ganzoo
from ganzoo.data import load_images
from ganzoo.errors import GanzooError, UsageError
from ganzoo.files.pictures import to_uint8
from ganzoo.metrics import named
from ganzoo.metrics.features import load_extractor
from ganzoo.metrics.score import score
from ganzoo.registry.registry import registry

METRICS = ("frechet", "precision-recall", "classes")


def scored(model, data, extractor, images: int) -> dict[str, float]:
    names = [name for name in METRICS if name != "classes" or (extractor.classes and extractor.suits(data))]
    metrics = {name: registry().get("metrics", name) for name in names}
    return score(model, data, extractor, metrics, images=images, seed=0)


def embed(arguments) -> None:
    """Scores the checkpoint, stores it, scores what was stored, and writes the folder."""
    model = ganzoo.load(arguments.checkpoint, average=arguments.average)
    extractor = load_extractor(arguments.extractor)
    data = load_images(
        arguments.data, size=model.image.size, channels=model.image.channels, datasets=registry().table("datasets")
    )
    label = named("frechet", extractor.name)
    before = scored(model, data, extractor, arguments.images)
    with tempfile.TemporaryDirectory() as folder:
        half = Path(folder) / "half"
        model.save(half, dtype=arguments.dtype)
        stored = ganzoo.load(half)
        after = scored(stored, data, extractor, arguments.images)
        changed = (to_uint8(model.sample(256)).int() - to_uint8(stored.sample(256)).int()).abs()
    print(f"{label}: {before[label]:.4f} in float32, {after[label]:.4f} in {arguments.dtype}")
    print(f"pixels: {changed.gt(0).float().mean():.3%} changed, by at most {changed.max()} of 255")
    if abs(after[label] - before[label]) > arguments.tolerance * before[label]:
        raise UsageError(
            f"{label} changes by more than {arguments.tolerance:.1%}: nothing was written; try another --dtype."
        )
    facts = {key: value for key, value in model.config.training.items()} | {
        "command": arguments.command,
        "scored_on": arguments.data_name or arguments.data,
    }
    rounded = {name: float(f"{value:.6g}") for name, value in after.items()}
    model.config = replace(model.config, metrics=rounded, training=facts, license=arguments.license)
    model.save(arguments.out, dtype=arguments.dtype)
    image = model.image
    inside = arguments.out.parts[arguments.out.parts.index("ganzoo_plugins") :]
    print(f'"{arguments.tag}": Weights(')
    print(f"    image=ImageSpec({image.size}, {image.channels}{f', {image.classes}' if image.classes else ''}),")
    print(f'    sha256="{model.config.weights.sha256}",')
    print(f'    license="{arguments.license}",')
    print(f'    package_file="{".".join(inside[:2])}:{"/".join(inside[2:])}",\n)')


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--tag", required=True)
    parser.add_argument("--command", required=True, help="the command that trained it")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--data", default="fashion-mnist-test")
    parser.add_argument("--extractor", default="fashion-cnn")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--dtype", default="float16", choices=("float32", "float16", "bfloat16"))
    parser.add_argument("--tolerance", type=float, default=0.02)
    parser.add_argument(
        "--average",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="take the moving average, if there is one",
    )
    parser.add_argument("--license", default="MIT")
    parser.add_argument("--data-name", help="what the model card calls --data")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        embed(arguments)
    except GanzooError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
