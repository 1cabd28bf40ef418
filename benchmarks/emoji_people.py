"""Writes the 806 faces and people among the Noto emoji as a folder of training images.

    python benchmarks/emoji_people.py noto-emoji-png72.zip --labels labels.csv emoji-people/

The zip has Noto's pictures of 72 pixels, named by their code points. `labels.csv` has the columns `codepoint`,
`subcategory` and `name` of Unicode's emoji-test.txt. Taken are the subcategories `face-*`, `person`, `person-role` and
`person-gesture`, without the few that are not seen from the front. They are put on white, 64 pixels wide.
"""

from __future__ import annotations

import argparse
import csv
import io
import zipfile
from pathlib import Path

from PIL import Image

SIZE = 64
PEOPLE = ("person", "person-role", "person-gesture")
LEFT_OUT = ("deaf", "pregnant", "breast", "baby", "feeding", "ninja", "royal_guard")


def code_of(name: str) -> str:
    """The code points in a file's name, without the variation selector, by which files and tables disagree."""
    return Path(name).stem.lower().removeprefix("emoji_u").replace("_", "-").replace("-fe0f", "").lstrip("0")


def chosen(archive: zipfile.ZipFile, labels: Path) -> dict[str, str]:
    """The names of the pictures to take, and "faces" or "people" for each."""
    with labels.open(newline="") as file:
        rows = {code_of(row["codepoint"]): row for row in csv.DictReader(file)}
    found = {}
    for name in sorted(archive.namelist()):
        row = rows.get(code_of(name))
        if row is None or any(word in row["name"] for word in LEFT_OUT):
            continue
        if row["subcategory"].startswith("face-"):
            found[name] = "faces"
        elif row["subcategory"] in PEOPLE:
            found[name] = "people"
    return found


def main() -> None:
    """Writes the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--labels", type=Path, required=True)
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.archive) as archive:
        names = chosen(archive, arguments.labels)
        for name, kind in names.items():
            picture = Image.open(io.BytesIO(archive.read(name))).convert("RGBA")
            white = Image.new("RGBA", picture.size, "white")
            white.alpha_composite(picture)
            (arguments.folder / kind).mkdir(parents=True, exist_ok=True)
            small = white.convert("RGB").resize((SIZE, SIZE), Image.Resampling.LANCZOS)
            small.save(arguments.folder / kind / f"{Path(name).stem}.png")
    print(f"{len(names)} pictures in {arguments.folder}")


if __name__ == "__main__":
    main()
