"""Draws what the codes of an InfoGAN run mean: one row for each category, then each continuous code from -1 to 1.

    python benchmarks/infogan_codes.py runs/infogan codes.png

Left: six latents that differ in noise only. Then, for every continuous code, six steps of it with the noise held still.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import ganzoo
from ganzoo.files.pictures import enlarged, grid, save_picture

COLUMNS = 6


def rows(model) -> torch.Tensor:
    """Latents (categories · (1 + continuous) · 6, latent_dim), row by row."""
    generator = model.generator
    noise, categories, continuous = generator.noise, generator.categories, generator.continuous
    drawn = model.latent(COLUMNS, seed=3)[:, :noise]
    latents = []
    for category in range(categories):
        code = torch.zeros(COLUMNS, categories + continuous)
        code[:, category] = 1
        latents.append(torch.cat([drawn, code], 1))
        for number in range(continuous):
            swept = code.clone()
            swept[:, categories + number] = torch.linspace(-1.0, 1.0, COLUMNS)
            latents.append(torch.cat([drawn[:1].expand(COLUMNS, -1), swept], 1))
    return torch.cat(latents)


def main() -> None:
    """Loads the run and writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    model = ganzoo.load(arguments.run)
    columns = COLUMNS * (1 + model.generator.continuous)
    save_picture(enlarged(grid(model.generate(rows(model)), columns), 1100), arguments.picture)


if __name__ == "__main__":
    main()
