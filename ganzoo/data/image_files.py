"""Makes a source of the image files in a folder or archive: their split, their labels, and the files left out."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from ganzoo.data.archives import FileSet, folder_files, joined, tar_files, zip_files
from ganzoo.data.decode import MISSING_PLUGINS, SUFFIXES
from ganzoo.data.label_files import find_labels
from ganzoo.data.labels import folder_labels, named_labels
from ganzoo.data.sources import EncodedSource
from ganzoo.data.splits import canonical, choose_folders, split_in
from ganzoo.errors import DataError, UsageError, did_you_mean
from ganzoo.files.text import quoted

log = logging.getLogger(__name__)

# Files that may be images or hold them: one that is left out is probably missed.
MISSED = (
    *".avif .heic .heif .jxl .jp2 .j2k .jpx .psd .raw .cr2 .cr3 .nef .arw .dng .orf .svg .ico .tga .exr .hdr .qoi .eps"
    " .pcx .dcm .nii .npy .npz .mat .mp4 .avi .mov .mkv .webm .zip .tar .gz .tgz .7z .rar .parquet".split(),
)
NAMED = 8


def image_source(files: FileSet, split: str | None = None, shards: bool = False) -> EncodedSource:
    """The images of a split among the files, in the order of their names.

    Labels are those of a file of labels if there is one, else the folders. With `shards`, the first folder is the
    archive that holds the images, which says nothing about them.
    """
    images = [name for name in files.names if name.lower().endswith(SUFFIXES)]
    if not images:
        raise DataError(f"{files.where} holds no images{_but(files.names)}; known are {', '.join(SUFFIXES)}.")
    inner = [name.partition("/")[2] for name in images] if shards else images
    chosen = choose_folders(inner, split, files.where)
    if chosen.note:
        log.info(chosen.note)
    kept = set(chosen.names)
    names = [name for name, short in zip(images, inner, strict=True) if short in kept]
    values, labelled_by, used = find_labels(files, names)
    if values is not None:
        labels, classes = named_labels(values, files.where)
    elif labelled_by is not None:
        labels, classes = None, ()
    else:
        labels, classes = folder_labels(chosen.paths, files.where)
    if labelled_by is not None:
        log.info(f"{files.where}: {len(classes) or 'no'} classes from {quoted(labelled_by)}")
    _report_left_out(files, set(images) | used)
    return EncodedSource(
        names=names,
        read=lambda number: files.read(names[number]),
        labels=labels,
        classes=classes,
        identity=files.identity,
        name=files.name,
    )


def folder_source(folder: Path, files: dict, split: str | None = None) -> EncodedSource:
    """The images of a folder whose files were listed."""
    return image_source(folder_files(folder, files), split)


def archive_source(path: Path, split: str | None = None) -> EncodedSource:
    """The images of a zip or tar archive."""
    return image_source(zip_files(path) if path.name.lower().endswith(".zip") else tar_files(path), split)


def shards_source(folder: Path, names: Iterable[str], split: str | None = None) -> EncodedSource:
    """The images of the tar archives of these names in a folder, which are the shards of one data set."""
    where, names = quoted(folder), sorted(names)
    stated = {name: split_in(name.partition(".tar")[0]) for name in names}
    known = sorted({found for found in stated.values() if found})
    if known:
        wanted = canonical(split or "train")
        if wanted not in known:
            listed = ", ".join(map(quoted, known))
            raise UsageError(
                f"{where} has no split {quoted(wanted)}; its archives are of {listed}: choose one with --split."
                f"{did_you_mean(wanted, known)}"
            )
        names = [name for name in names if stated[name] == wanted]
        log.info(f"{where} has archives of the splits {', '.join(known)}: using {len(names)} of {wanted!r}")
        split = None
    shards = {name.replace("/", "\\"): tar_files(folder / name) for name in names}
    return image_source(joined(shards, folder.resolve().name, where), split, shards=True)


def _but(names: Sequence[str]) -> str:
    return f", but {_kinds(names)}" if names else ""


def _kinds(names: Iterable[str]) -> str:
    """How many files of which kind there are, as "4 .heic, 2 .txt", and what to install for them."""
    kinds = Counter(_suffix(name) for name in names)
    listed = [f"{count} {kind}" for kind, count in kinds.most_common(NAMED)]
    more = f" and {len(kinds) - NAMED} other kinds" if len(kinds) > NAMED else ""
    return f"{', '.join(listed)}{more}{_advice(kinds)}"


def _suffix(name: str) -> str:
    base = name.rpartition("/")[2]
    return f".{base.rpartition('.')[2].lower()}"[:20] if "." in base else "without suffix"


def _advice(kinds: Iterable[str]) -> str:
    missing = sorted({MISSING_PLUGINS[kind] for kind in kinds if kind in MISSING_PLUGINS})
    return f" (install {' and '.join(missing)} to read more of them)" if missing else ""


def _report_left_out(files: FileSet, used: set[str]) -> None:
    """Says how many files of which kind are not read: a warning for kinds that may be images."""
    left = [name for name in files.names if name not in used]
    missed = [name for name in left if _suffix(name) in MISSED]
    for log_line, names in ((log.warning, missed), (log.info, [name for name in left if name not in set(missed)])):
        if names:
            log_line(f"{files.where}: left out {len(names)} files that are not read: {_kinds(names)}")
