"""Draws samples of a model above the training images that are nearest to them, to see what it knows by heart.

    python benchmarks/nearest_images.py projected-gan.emoji-people emoji-people/ nearest.png

Nearest is by the features of `--extractor`, among the images and their mirror images. Below each sample stands its
nearest image, and below that the one nearest by pixels. Prints the median distance of a sample from its nearest image,
relative to that of an image from its own nearest other one: far below 1, the samples are copies.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

import ganzoo
from ganzoo.data import load_images
from ganzoo.files.pictures import to_uint8
from ganzoo.metrics.features import as_images, load_extractor
from ganzoo.registry.registry import registry

BATCH = 250


def features(images: Tensor, extractor) -> Tensor:
    with torch.inference_mode():
        return torch.cat([extractor.network(batch).flatten(1) for batch in images.split(BATCH)])


def nearest(samples: Tensor, images: Tensor) -> Tensor:
    return torch.cdist(samples.flatten(1), images.flatten(1)).argmin(1)


def main() -> None:
    """Draws and prints."""
    from PIL import Image

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--extractor", default="emoji-cnn")
    parser.add_argument("-n", "--number", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model, extractor = ganzoo.load(arguments.model), load_extractor(arguments.extractor)
    shape = {"size": model.image.size, "channels": model.image.channels}
    real = as_images(load_images(arguments.data, datasets=registry().table("datasets"), **shape).images)
    samples = as_images(to_uint8(model.sample(max(arguments.number, BATCH), seed=arguments.seed)))
    candidates = torch.cat([real, real.flip(3)])
    own, theirs = features(samples, extractor), features(candidates, extractor)
    distance = torch.cdist(own, theirs).amin(1).median()
    between = torch.cdist(theirs[: len(real)], theirs[: len(real)]).fill_diagonal_(float("inf")).amin(1).median()
    print(f"median distance to the nearest image, relative to that between images: {distance / between:.2f}")
    shown = samples[: arguments.number]
    rows = [shown, candidates[nearest(own[: len(shown)], theirs)], candidates[nearest(shown, candidates)]]
    sheet = torch.cat([torch.cat(list(row), 2) for row in rows], 1)
    pixels = to_uint8(sheet[None])[0].squeeze(-1).numpy()
    Image.fromarray(pixels).save(arguments.picture, optimize=True)


if __name__ == "__main__":
    main()
