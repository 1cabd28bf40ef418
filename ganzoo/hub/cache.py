"""Files of the Hub in the client's cache: downloaded, checked against their hashes, removed where they are wrong.

The client stores a file under the hash that the Hub names for it, checks only its size, and returns what lies at its
place, also a folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from ganzoo.files.atomic import remove
from ganzoo.files.text import in_path, quoted
from ganzoo.hub.client import DIGEST, call_hub
from ganzoo.hub.errors import DamagedContent, HubTarget

log = logging.getLogger(__name__)

TRIES = 2
REPOSITORY_TYPES = {"model": "model", "data set": "dataset"}


def storage(target: HubTarget) -> Path:
    """Returns the folder of a repository in the Hub's cache."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"{REPOSITORY_TYPES[target.kind]}s--{target.name.replace('/', '--')}"


def cached_path(target: HubTarget, commit: str, name: str) -> Path:
    """Returns the place of a file of a commit in the Hub's cache."""
    return storage(target) / "snapshots" / commit / name


def fetch(
    name: str,
    target: HubTarget,
    commit: str,
    is_right: Callable[[Path], bool],
    *,
    bar: type | None = None,
    **bounds: Any,
) -> Path:
    """Returns a file of the commit in the cache after `is_right` holds for it; downloads it where it is not there.

    Whatever else is in its place, such as a damaged file or a folder, is removed and the file is downloaded again. A
    download that arrives damaged is repeated once. `bounds` are those of `guarded`. Raises the errors of the target.
    """
    from huggingface_hub import hf_hub_download

    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or {"\\", ":"} & set(name):
        raise target.failed(f"The Hub lists a file of {target} outside of it, {quoted(name)}: it is not downloaded.")
    path, shown = cached_path(target, commit, name), f"{in_path(name)} of {target}"
    if os.path.lexists(path):
        if is_right(path):
            return path
        log.warning(f"{shown} is damaged in the cache: it is fetched again.")
        remove_entry(path, target)
    _clear_way(path, target)
    place = {"repo_type": REPOSITORY_TYPES[target.kind], "revision": commit, "cache_dir": storage(target).parent}
    download = partial(hf_hub_download, target.name, name, tqdm_class=bar, **place)
    cause = "its size or hash differs from what is stated"
    for _ in range(TRIES):
        try:
            call_hub(
                partial(download, cache_dir=storage(target).parent, tqdm_class=bar), target, commit=commit, **bounds
            )
        except DamagedContent as error:
            cause = str(error)
            continue
        if is_right(path):
            return path
        remove_entry(path, target)
    raise target.failed(f"{shown} arrives damaged: {cause}. It was deleted; try later.")


def is_regular(
    path: Path,
    size: int | None,
    digest: str | None,
    limit: int,
    is_verified: Callable[[os.stat_result, str], bool] = lambda facts, digest: False,
) -> bool:
    """True if a file of the cache has the stated size and hash, and the hash that the cache named it by.

    `is_verified` knows files that need not be hashed again.
    """
    named = _content(path).name
    digests = {digest for digest in (digest, named if DIGEST.fullmatch(named) else None) if digest is not None}
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > limit or size not in (None, facts.st_size):
            return False
        if len({len(digest) for digest in digests}) < len(digests):
            return False  # two hashes of one kind
        return all(is_verified(facts, digest) or hash_like(digest, path) == digest for digest in digests)
    except OSError:
        return False


def hash_like(digest: str, path: Path) -> str:
    """Hashes a file as the Hub does: git's hash of 40 digits for small files, sha256 for large ones."""
    with open(path, "rb") as file:
        if len(digest) == 64:
            return hashlib.file_digest(file, "sha256").hexdigest()
        header = b"blob %d\0" % os.fstat(file.fileno()).st_size
        return hashlib.file_digest(file, lambda: hashlib.sha1(header, usedforsecurity=False)).hexdigest()


def remove_entry(path: Path, target: HubTarget) -> None:
    """Deletes what is in the place of a file of the cache, and the content that it links to if that is the cache's."""
    root, content = Path(os.path.realpath(storage(target))), _content(path)
    inside = root in Path(os.path.realpath(path.parent)).parents
    own = content != path and os.path.realpath(content.parent) == str(root / "blobs")
    for entry in ([path] if inside else []) + ([content] if own else []):
        with contextlib.suppress(OSError):
            remove(entry)


def _content(path: Path) -> Path:
    """Returns the file that a link of the cache names; it may be a link itself, to a store of several caches."""
    try:
        return Path(os.path.normpath(os.path.join(os.path.realpath(path.parent), os.readlink(path))))
    except OSError:
        return path


def _clear_way(path: Path, target: HubTarget) -> None:
    """Deletes files in the place of folders that a file of the cache needs; links, as to another disk, are left."""
    root = storage(target)
    for folder in (root / "blobs", root, *(folder for folder in path.parents if root in folder.parents)):
        with contextlib.suppress(OSError):
            if stat.S_ISREG(folder.lstat().st_mode):
                folder.unlink()
