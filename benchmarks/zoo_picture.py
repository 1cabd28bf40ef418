"""Draws docs/pictures/zoo.png: a column for each generator in the package, the first six images of seed 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import ganzoo

ROOT = Path(__file__).resolve().parents[1]
TAGS = [
    tag
    for variant in ganzoo.variants()
    for tag, weights in variant.weights.items()
    if weights.package_file and not weights.image.sources
]
TILE, GAP, ROWS, TITLE = 64, 4, 6, 24
FONTS = [ImageFont.load_default(size) for size in range(13, 8, -1)]  # the largest that fits a column


def main() -> None:
    sheet = Image.new("RGBA", (len(TAGS) * (TILE + GAP) - GAP, TITLE + ROWS * (TILE + GAP) - GAP))
    draw = ImageDraw.Draw(sheet)
    for column, tag in enumerate(TAGS):
        left = column * (TILE + GAP)
        name = tag.partition(".")[0]
        font = next(font for font in FONTS if font.getlength(name) < TILE + GAP or font is FONTS[-1])
        draw.text((left + TILE // 2, TITLE - 8), name, fill=(128, 128, 128, 255), font=font, anchor="ms")
        images = ((ganzoo.load(tag).sample(ROWS, seed=0) + 1) * 127.5).round().byte().numpy()
        for row, image in enumerate(images):
            tile = Image.fromarray(np.moveaxis(image, 0, -1).squeeze()).resize((TILE, TILE), Image.Resampling.BICUBIC)
            sheet.paste(tile, (left, TITLE + row * (TILE + GAP)))
    sheet.save(ROOT / "docs" / "pictures" / "zoo.png", optimize=True)


if __name__ == "__main__":
    main()
