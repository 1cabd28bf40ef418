"""Pairs the pictures of two sources by name, or cuts pictures that hold both sides, and lists all that do not fit."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from PIL import Image

from ganzoo.data.archives import FileSet
from ganzoo.data.decode import SUFFIXES, BadImage, open_header, open_picture, rectangle
from ganzoo.data.image_files import image_source
from ganzoo.data.prepare import array_picture, channels_of, count_of
from ganzoo.data.sources import ArraySource, EncodedSource, HubSource, PairedSource
from ganzoo.data.splits import FOLDER, canonical
from ganzoo.errors import DataError, UsageError, did_you_mean
from ganzoo.files.text import quoted

log = logging.getLogger(__name__)

Side = ArraySource | EncodedSource
NAMED = 5
LOOKED_AT = 64
TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
ORIENTATION = 0x0112


def local_side(found: Side | HubSource, option: str) -> Side:
    """Returns the source if it can be one side of pairs; UsageError for one on the Hub."""
    if isinstance(found, HubSource):
        raise UsageError(
            f"{option} names a data set on the Hub, whose rows have no names to pair: download it and give folders,"
            " or add --unpaired."
        )
    return found


def pair_up(source: Side, output: Side, scale: int | None, skip: bool) -> PairedSource:
    """Pairs two sources: files by name, arrays by row; labels and the order are those of the output.

    The output of each pair is `scale` times as large as its source, or None times as large as in most pairs, which is
    once if nothing else is the case. DataError for files without a partner, unless `skip`, which leaves them out; it
    also counts the pairs of other sizes.
    """
    if isinstance(source, EncodedSource) and isinstance(output, EncodedSource):
        rows = _paired_files(source, output, scale, skip)
    elif isinstance(source, ArraySource) and isinstance(output, ArraySource):
        rows = _paired_arrays(source, output)
    else:
        raise UsageError(
            f"Arrays have no names to pair with files: give two folders or archives, or two arrays, for"
            f" {quoted(source.name)} and {quoted(output.name)}."
        )
    sides, ratio = (source, output), _ratio(source, output, rows, scale)
    if scale is None and ratio != 1:
        log.info(f"outputs are {ratio} times as large as their sources; both are resized to one size")
    open_source, open_output = _opened(source), _opened(output)

    def both(number: int) -> tuple[Image.Image, Image.Image]:
        pair = open_source(rows[number][0]), open_output(rows[number][1])
        if not _fits(pair[0].size, pair[1].size, ratio):
            raise BadImage(_sizes_line(pair[0].size, pair[1].size, ratio))
        return pair

    names = output.names if isinstance(output, EncodedSource) else range(len(output.images))
    labels = None if output.labels is None else output.labels[[row for _, row in rows]]
    return PairedSource(
        names=[str(names[row]) for _, row in rows],
        open=both,
        channels=(channels_of(source), channels_of(output)),
        labels=labels,
        classes=output.classes,
        identity=f"pairs {' | '.join(side.identity for side in sides)} {ratio}",
        name=output.name,
        exact=ratio != 1,
    )


def _opened(side: Side) -> Callable[[int], Image.Image]:
    if isinstance(side, EncodedSource):
        return lambda row: open_picture(side.read(row))
    return lambda row: array_picture(side, row)


def _paired_arrays(source: ArraySource, output: ArraySource) -> list[tuple[int, int]]:
    if len(source.images) != len(output.images):
        raise DataError(
            f"Arrays are paired row by row: {quoted(source.name)} has {len(source.images)} images and"
            f" {quoted(output.name)} has {len(output.images)}."
        )
    return [(row, row) for row in range(len(output.images))]


def _ratio(source: Side, output: Side, rows: list[tuple[int, int]], scale: int | None) -> Fraction:
    """How many times as large as its source an output is: as stated, or in most of up to 64 pairs."""
    if scale is not None:
        return Fraction(scale)
    looked_at = min(len(rows), LOOKED_AT)
    ratios: Counter[Fraction] = Counter()
    for place in range(looked_at):
        first, second = rows[place * len(rows) // looked_at]
        try:
            small, large = _size_of(source, first), _size_of(output, second)
        except Exception:  # decoding will meet it again and report it
            continue
        if small[0] * large[1] == small[1] * large[0]:
            ratios[Fraction(large[0], small[0])] += 1
    return ratios.most_common(1)[0][0] if ratios else Fraction(1)


def _size_of(side: Side, row: int) -> tuple[int, int]:
    """The width and height of a picture as it is seen, of a file by its header."""
    if isinstance(side, EncodedSource):
        return _seen_size(side.read(row))
    return side.images.shape[2], side.images.shape[1]


def _paired_files(source: EncodedSource, output: EncodedSource, scale: int | None, skip: bool) -> list[tuple[int, int]]:
    """The rows of each pair, in the order of the output."""
    keys = _keys(source.names), _keys(output.names)
    if _are_flat(keys[0]) != _are_flat(keys[1]):  # folders of one side are its labels
        keys = [key.rpartition("/")[2] for key in keys[0]], [key.rpartition("/")[2] for key in keys[1]]
    mistakes = [
        f"{quoted(name)} of {where} has the name of another file but for its suffix"
        for side, (own, where) in enumerate([(source, "the source"), (output, "the output")])
        for name in _doubled(own.names, keys[side])
    ]
    found = {key: row for row, key in reversed(list(enumerate(keys[0])))}
    rows = [(found[key], row) for row, key in enumerate(keys[1]) if key in found]
    known = set(keys[1])
    alone = [f"{quoted(output.names[row])} has no source" for row, key in enumerate(keys[1]) if key not in found]
    alone += [f"{quoted(source.names[row])} has no output" for row, key in enumerate(keys[0]) if key not in known]
    if not rows:
        raise DataError(
            f"No file of the source {quoted(source.name)} has the name of one of {quoted(output.name)}: the first are"
            f" called {quoted(source.names[0])} and {quoted(output.names[0])}."
        )
    if mistakes or (alone and not skip):
        listed = [*mistakes, *alone, *_differing(source, output, rows, _ratio(source, output, rows, scale))]
        raise DataError(_mismatch_line(listed, source, output, skippable=not mistakes))
    if alone:
        log.warning(f"left out {len(alone)} files without a partner, first {alone[0]}")
    return rows


def _keys(names: Sequence[str]) -> list[str]:
    """The names by which files are paired: without the folders that hold all of them, and without suffixes."""
    paths = [name.split("/") for name in names]
    depth = 0
    while all(len(path) > depth + 1 for path in paths) and len({path[depth] for path in paths}) == 1:
        depth += 1
    keys = ["/".join(path[depth:]) for path in paths]
    return [key.rpartition(".")[0] if key.lower().endswith(SUFFIXES) else key for key in keys]


def _are_flat(keys: Sequence[str]) -> bool:
    return not any("/" in key for key in keys)


def _doubled(names: Sequence[str], keys: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    return [name for name, key in zip(names, keys, strict=True) if key in seen or seen.add(key)]  # type: ignore[func-returns-value]


def _differing(source: EncodedSource, output: EncodedSource, rows: list[tuple[int, int]], ratio: Fraction) -> list[str]:
    """One text for each pair whose headers state sizes that do not fit; unreadable files are not among them."""
    found = []
    for first, second in rows:
        try:
            sizes = _seen_size(source.read(first)), _seen_size(output.read(second))
        except Exception:  # the files cannot be paired anyway, and the next attempt reports this one
            continue
        if not _fits(*sizes, ratio):
            found.append(f"{quoted(output.names[second])} ({_sizes_line(*sizes, ratio)})")
    return found


def _seen_size(data: bytes) -> tuple[int, int]:
    """The width and height of an encoded image as it is seen, by its header."""
    image = open_header(data)
    return image.size[::-1] if image.getexif().get(ORIENTATION) in TURNED else image.size


def _fits(source: tuple[int, int], output: tuple[int, int], ratio: Fraction) -> bool:
    return output[0] == ratio * source[0] and output[1] == ratio * source[1]


def _sizes_line(source: tuple[int, int], output: tuple[int, int], ratio: Fraction) -> str:
    times = f", which is not {ratio} times as many" if ratio != 1 else ""
    return f"the source has {source[0]} x {source[1]} pixels, the output {output[0]} x {output[1]}{times}"


def _mismatch_line(listed: Sequence[str], source: Side, output: Side, skippable: bool) -> str:
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    advice = ", or leave them out with --on-bad-image skip" if skippable else ""
    return (
        f"{len(listed)} files of {quoted(source.name)} and {quoted(output.name)} do not pair up by name and size:"
        f" {', '.join(listed[:NAMED])}{more}. Mend or remove them{advice}."
    )


# -- both sides in one picture -------------------------------------------------------------------------------------


def side_by_side(found: Side, size: tuple[int, int], reverse: bool) -> PairedSource:
    """Pairs of pictures A|B, of which the left half is the source, or with `reverse` the output."""
    height, width = rectangle(size)
    open_both = _opened(found)

    def both(number: int) -> tuple[Image.Image, Image.Image]:
        picture = open_both(number)
        half = picture.width // 2
        if picture.width != 2 * half or half * height != picture.height * width:
            raise BadImage(
                f"{picture.width} x {picture.height} pixels are not two pictures of {width} x {height} side by side"
            )
        left = picture.crop((0, 0, half, picture.height))
        right = picture.crop((half, 0, picture.width, picture.height))
        return (right, left) if reverse else (left, right)

    names = found.names if isinstance(found, EncodedSource) else [str(row) for row in range(count_of(found))]
    channels = channels_of(found)
    identity = f"side by side {found.identity} {'BtoA' if reverse else 'AtoB'}"
    return PairedSource(names, both, (channels, channels), found.labels, found.classes, identity, found.name)


# -- folders of two domains ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Domain:
    """A folder of one side: its split, if its name states one, and "a" or "b"."""

    split: str | None
    letter: str


def domain_in(name: str) -> Domain | None:
    """The first folder of a file's path that names a domain, as "trainA", "val_b", "A" and "B" do."""
    for part in name.split("/")[:-1]:
        if part in ("A", "B"):
            return Domain(None, part.lower())
        match = FOLDER.fullmatch(part)
        if match and match["domain"]:
            return Domain(canonical(match["base"]), match["domain"].lower())
    return None


def two_domains(files: FileSet, split: str | None) -> tuple[EncodedSource, EncodedSource]:
    """The sources A and B among the files: those in folders trainA and trainB, or A and B with splits below them.

    UsageError if there are no such folders, or none of the split.
    """
    domains = {name: domain_in(name) for name in files.names if name.lower().endswith(SUFFIXES)}
    found = {domain for domain in domains.values() if domain}
    if not found:
        raise UsageError(
            f"{files.where} has one side alone: give the other with --source, put both into folders trainA and trainB,"
            " or give pictures side by side with --pairs."
        )
    splits = {domain.split for domain in found if domain.split}
    wanted = canonical(split or "train")
    if splits and wanted not in splits:
        known = sorted(splits)
        named = ", ".join(quoted(name) for name in known)
        raise UsageError(f"{files.where} has no split {quoted(wanted)}; it has {named}.{did_you_mean(wanted, known)}")
    sides = []
    for letter in "ab":
        own = Domain(wanted if splits else None, letter)
        names = [name for name, domain in domains.items() if domain == own]
        if not names:
            folder = f"{wanted}{letter.upper()}" if splits else letter.upper()
            raise DataError(f"{files.where} has no images in a folder {quoted(folder)}: one side is empty.")
        sides.append(image_source(replace(files, names=names), None if splits else split))
    return sides[0], sides[1]
