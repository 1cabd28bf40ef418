"""Arranges pictures of several folders by name, a row for each folder: sources, outputs, truth.

python benchmarks/translation_sheet.py test/line drawn/ test/colour --columns 14 --every 8 --out sheet.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

GAP = 2
COLOURS = 128  # of the picture, which a page loads


def main() -> None:
    """Reads the command line and writes the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--columns", type=int, default=14)
    parser.add_argument("--every", type=int, default=1, help="take every so-many-th name")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    shared = set.intersection(*({path.name for path in folder.iterdir()} for folder in chosen.folders))
    names = sorted(shared)[:: chosen.every][: chosen.columns]
    step = chosen.size + GAP
    sheet = Image.new("RGB", (len(names) * step + GAP, len(chosen.folders) * step + GAP), "white")
    for row, folder in enumerate(chosen.folders):
        for column, name in enumerate(names):
            picture = Image.open(folder / name).convert("RGB")
            if picture.size != (chosen.size, chosen.size):
                picture = picture.resize((chosen.size, chosen.size), Image.Resampling.LANCZOS)
            sheet.paste(picture, (GAP + column * step, GAP + row * step))
    sheet.quantize(COLOURS).save(chosen.out, optimize=True)


if __name__ == "__main__":
    main()
