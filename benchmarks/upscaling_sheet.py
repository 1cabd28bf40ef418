"""Arranges small pictures, a column each: enlarged by bicubic interpolation above, and what a model made below.

ganzoo apply real-esrgan.animevideo docs/pictures/small --out large
python benchmarks/upscaling_sheet.py docs/pictures/small large --out docs/pictures/upscaled.jpg
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

GAP = 4
QUALITY = 88  # of the JPEG: a palette shows bands in photographs


def main() -> None:
    """Reads the command line and writes the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("small", type=Path, help="folder of small pictures")
    parser.add_argument("large", type=Path, help="folder of the enlarged pictures, of the same names")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    columns = []
    for path in sorted(chosen.small.iterdir()):
        large = Image.open(chosen.large / f"{path.stem}.png").convert("RGB")
        small = Image.open(path).convert("RGB").resize(large.size, Image.Resampling.BICUBIC)
        columns.append((small, large))
    width = sum(large.width for _, large in columns) + GAP * (len(columns) - 1)
    height = max(large.height for _, large in columns)
    sheet = Image.new("RGB", (width, 2 * height + GAP), "white")
    left = 0
    for small, large in columns:
        sheet.paste(small, (left, 0))
        sheet.paste(large, (left, height + GAP))
        left += large.width + GAP
    sheet.save(chosen.out, quality=QUALITY, optimize=True)


if __name__ == "__main__":
    main()
