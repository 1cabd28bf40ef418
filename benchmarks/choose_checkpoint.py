"""Scores every checkpoint of a run against images that it was not trained on, to choose which one to keep.

    python benchmarks/choose_checkpoint.py runs/dcgan --data fashion-mnist-test --images 10000 --json scores.json

One row a checkpoint, and first, with `--reference SOURCE` (the training images, say), a row for as many images of
that source: what a perfect generator would get. A categorical code, as InfoGAN has, is held against the classes that
the extractor sees.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

import ganzoo
from ganzoo.checkpoints.checkpoint import list_checkpoints
from ganzoo.data import ImageData, load_images
from ganzoo.errors import CheckpointError, GanzooError, UsageError
from ganzoo.files.atomic import write_atomically
from ganzoo.metrics import named
from ganzoo.metrics.classes import code_agreement
from ganzoo.metrics.features import as_images, extract_features, load_extractor, needs_of
from ganzoo.metrics.score import measure, reference_features, samples
from ganzoo.registry.registry import registry

COLUMNS = ("frechet", "precision", "recall", "density", "coverage", "modes", "modes-tenth", "class-divergence")
CODES = ("code-accuracy", "code-information")
BATCH = 250


def prepared(source: str, model, root: Path | None) -> ImageData:
    datasets = registry().table("datasets")
    return load_images(source, size=model.image.size, channels=model.image.channels, datasets=datasets, root=root)


def score_codes(model, logits: torch.Tensor, seed: int, extractor) -> dict[str, float]:
    """How well the first categorical code of the latents, if any, predicts the classes in the logits (N, K)."""
    code = next((code for code in model.generator.codes if code.kind == "categorical"), None)
    if code is None:
        return {}
    drawn = model.latent(len(logits), seed)[:, code.start : code.start + code.size].argmax(1)
    found = code_agreement(drawn, logits.argmax(1), code.size, len(extractor.classes))
    return {named(CODES[0], extractor.name): found.accuracy, named(CODES[1], extractor.name): found.information}


def score_all(arguments, show) -> list[dict]:
    """One record for the reference and for every checkpoint, oldest first."""
    extractor = load_extractor(arguments.extractor)
    checkpoints = sorted(list_checkpoints(arguments.run / "checkpoints"))
    if not checkpoints:
        raise UsageError(f"{arguments.run} has no checkpoints.")
    model = ganzoo.load(checkpoints[-1][1])
    data = prepared(arguments.data, model, arguments.data_root)
    names = ("frechet", "precision-recall", *(["classes"] if extractor.classes and extractor.suits(data) else []))
    metrics = {name: registry().get("metrics", name) for name in names}
    needs = needs_of(metrics, extractor)
    real = reference_features(data, extractor, needs)
    records = []
    if arguments.reference:
        data = prepared(arguments.reference, model, arguments.data_root)
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(arguments.seed))[: arguments.images]
        seen = extract_features((as_images(data.images[part]) for part in order.split(BATCH)), extractor, needs)
        records.append({"what": arguments.reference, **measure(real, seen, extractor, metrics, arguments.seed)})
        show(records[-1])
    for step, path in checkpoints:
        try:
            model = ganzoo.load(path, average=arguments.average)
        except CheckpointError as error:  # damaged, or a training that still goes on has removed it
            warn(f"left out: {error}")
            continue
        seen = extract_features(samples(model, arguments.images, arguments.seed, BATCH), extractor, needs)
        record = {"what": path.name, "step": step, **measure(real, seen, extractor, metrics, arguments.seed)}
        codes = {} if seen.logits is None else score_codes(model, seen.logits, arguments.seed, extractor)
        records.append(record | codes)
        show(records[-1])
    return records


def row(record: dict, extractor: str) -> str:
    values = [record.get(named(column, extractor)) for column in COLUMNS + CODES]
    return f"{record['what']:>20}" + "".join(f"{'' if value is None else f'{value:.4g}':>17}" for value in values)


def warn(line: str) -> None:
    print(line, file=sys.stderr)


def main() -> None:
    """Prints the table and the best checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", default="fashion-mnist-test", help="images that the run was not trained on")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--reference", help="another source, to be scored like samples")
    parser.add_argument("--extractor", default="fashion-cnn")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--average",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="take the moving average, if there is one",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the rows there")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{arguments.images} images of seed {arguments.seed} against {arguments.data}, seen by {arguments.extractor}")
    print(f"{'':>20}" + "".join(f"{column:>17}" for column in COLUMNS + CODES), flush=True)
    try:
        records = score_all(arguments, lambda record: print(row(record, arguments.extractor), flush=True))
        label = named("frechet", arguments.extractor)
        scored = [record for record in records if "step" in record]
        if scored:
            print(f"least {label}: {min(scored, key=lambda record: record[label])['what']}")
        if arguments.json:
            write_atomically(arguments.json, json.dumps(records, indent=1) + "\n")
    except GanzooError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
