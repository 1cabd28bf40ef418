"""Finds the splits of a published data set in the names of its folders, and chooses one: splits are no classes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ganzoo.errors import UsageError, did_you_mean
from ganzoo.files.text import quoted

FOLDER = re.compile(
    r"(?P<base>training|train|validation|valid|val|testing|test|dev|eval|holdout)"
    r"([-_](set|data|images))?([-_]?((?P<domain>[ab])|(?P<year>(19|20)\d\d)))?",
    re.IGNORECASE,
)
IN_NAME = re.compile(r"(?:^|[-_.])(training|train|validation|valid|val|testing|test|dev)(?=[-_.\d]|$)", re.IGNORECASE)
ALIASES = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}


@dataclass(frozen=True)
class Chosen:
    """The files of one split: their names, and the paths without the split, of which labels are read.

    `note` says which split was chosen; it is empty if there are no splits.
    """

    names: list[str]
    paths: list[str]
    note: str = ""


def base_of(folder: str) -> str | None:
    """The split that a folder's name states ("train" of "training", "trainA" or "train2017"), or None."""
    match = FOLDER.fullmatch(folder)
    return canonical(match["base"]) if match else None


def canonical(split: str) -> str:
    return ALIASES.get(split.lower(), split.lower())


def split_in(name: str) -> str | None:
    """The split that the name of an archive states, as "set-train-0001.tar" does, or None."""
    found = IN_NAME.search(name)
    return canonical(found[1]) if found else None


def choose_folders(names: Sequence[str], split: str | None, where: str) -> Chosen:
    """The files of the split, by default "train"; all of them if no level of their folders holds splits.

    Splits may lie above the classes (train/cat), below them (cat/train), or be joined with a domain (trainA, trainB),
    which then is the class. UsageError if there is no such split, or no "train" and none is requested.
    """
    paths = [name.split("/") for name in names]
    level = _level(paths, bool(split))
    if level is None:
        if split:
            raise UsageError(f"{where} has no split {quoted(split)}: none of its folders is called train, val or test.")
        return Chosen(list(names), list(names))
    folders = sorted({path[level] for path in paths})
    known = ", ".join(quoted(folder) for folder in folders)
    wanted = split or "train"
    chosen = [folder for folder in folders if folder == wanted]
    chosen = chosen or [folder for folder in folders if base_of(folder) == canonical(wanted)]
    if not chosen and not split:
        raise UsageError(f"{where} has the splits {known} and no 'train': choose one with --split.")
    if not chosen:
        raise UsageError(f"{where} has no split {quoted(wanted)}; it has {known}.{did_you_mean(wanted, folders)}")
    matches = {folder: FOLDER.fullmatch(folder) for folder in chosen}
    if len({match["year"] for match in matches.values() if match}) > 1:
        raise UsageError(f"{where} has several splits {quoted(wanted)}, of {known}: choose one with --split.")
    domains = len(chosen) > 1 and all(match and match["domain"] for match in matches.values())
    kept, short = [], []
    for name, path in zip(names, paths, strict=True):
        if path[level] in chosen:
            match = matches[path[level]]
            middle = [match["domain"].upper()] if domains and match else []
            kept.append(name)
            short.append("/".join([*path[:level], *middle, *path[level + 1 :]]))
    taken = " and ".join(quoted(folder) for folder in chosen)
    note = f"{where} has the splits {known}: using {taken}, {len(kept)} of {len(names)} images"
    note += "" if split else " (--split chooses another)"
    return Chosen(kept, short, note if len(folders) > len(chosen) or split else "")


def _level(paths: Sequence[list[str]], asked: bool) -> int | None:
    """The first level of folders that are splits: all of them, or a training split beside a held-out one."""
    depth = 0
    while all(len(path) > depth + 1 for path in paths):
        folders = {path[depth] for path in paths}
        bases = {base_of(folder) for folder in folders}
        if None not in bases and (len(folders) > 1 or asked):
            return depth
        if "train" in bases and bases & {"val", "test", "dev"}:
            return depth
        depth += 1
    return None
