"""Prints how truncation changes brightness and variety: mean pixel, and its deviation between 256 images, in [-1, 1].

python benchmarks/truncation.py dcgan.fashion-mnist 2 1.5 1 0.7
"""

from __future__ import annotations

import sys

import torch

import ganzoo


def main() -> None:
    """One line for each truncation, the first without any."""
    source, *levels = sys.argv[1:]
    torch.set_num_threads(1)
    model = ganzoo.load(source)
    for level in [None, *map(float, levels)]:
        images = model.sample(256, seed=0, truncation=level)
        print(f"{source}  t = {level}: mean {images.mean():.2f}, deviation {images.std(0).mean():.2f}", flush=True)


if __name__ == "__main__":
    main()
