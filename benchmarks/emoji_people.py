"""Writes the 806 faces and people among the Noto emoji as a folder of training images.

    python benchmarks/emoji_people.py noto-emoji-png72.zip --labels labels.csv emoji-people/
    python benchmarks/emoji_people.py noto-emoji-png72.zip --labels labels.csv emoji/ --few 200

With `--few` there are three folders instead, as `few_images.py` wants them: `few` has that many of the pictures,
`held-out` the others, and no motif of `few` in another skin tone; `others` has all emoji that are no faces or people.

The zip has Noto's pictures of 72 pixels, named by their code points. `labels.csv` has the columns `codepoint`,
`subcategory` and `name` of Unicode's emoji-test.txt, and `base`, the code point without its skin tone. Taken are the
subcategories `face-*`, `person`, `person-role` and `person-gesture`, without the few that are not seen from the front.
They are put on white, 64 pixels wide.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
import zipfile
from pathlib import Path

from PIL import Image

SIZE = 64
PEOPLE = ("person", "person-role", "person-gesture")
LEFT_OUT = ("deaf", "pregnant", "breast", "baby", "feeding", "ninja", "royal_guard")


def code_of(name: str) -> str:
    """The code points in a file's name, without the variation selector, by which files and tables disagree."""
    return Path(name).stem.lower().removeprefix("emoji_u").replace("_", "-").replace("-fe0f", "").lstrip("0")


def kinds_of(archive: zipfile.ZipFile, labels: Path) -> dict[str, tuple[str, str]]:
    """Returns "faces", "people" or "others", and the motif, of every picture that the labels name.

    Those that are not seen from the front are in none of the kinds.
    """
    with labels.open(newline="") as file:
        rows = {code_of(row["codepoint"]): row for row in csv.DictReader(file)}
    found = {}
    for name in sorted(archive.namelist()):
        row = rows.get(code_of(name))
        if row is None:
            continue
        kind = "faces" if row["subcategory"].startswith("face-") else "others"
        kind = "people" if row["subcategory"] in PEOPLE else kind
        if kind == "others" or not any(word in row["name"] for word in LEFT_OUT):
            found[name] = (kind, row["base"])
    return found


def few_of(kinds: dict[str, tuple[str, str]], count: int) -> dict[str, str]:
    """Returns "few", "held-out" or "others" for every picture; motifs are drawn until `few` has `count` pictures."""
    motifs: dict[str, list[str]] = {}
    for name, (kind, motif) in kinds.items():
        if kind != "others":
            motifs.setdefault(motif, []).append(name)
    order = sorted(motifs)
    random.Random(0).shuffle(order)
    found = {name: "others" for name, (kind, _) in kinds.items() if kind == "others"}
    few = 0
    for motif in order:
        names = motifs[motif]
        wanted = few + len(names) <= count
        few += len(names) if wanted else 0
        found.update(dict.fromkeys(names, "few" if wanted else "held-out"))
    return found


def main() -> None:
    """Writes the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--few", type=int, metavar="N", help="split off N of the pictures")
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.archive) as archive:
        kinds = kinds_of(archive, arguments.labels)
        names = {name: kind for name, (kind, _) in kinds.items() if kind != "others"}
        if arguments.few:
            names = few_of(kinds, arguments.few)
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
