"""Downloads models from the Hugging Face Hub: one pinned commit, only config.json and weights, every byte checked."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ganzoo.errors import GanzooError, UsageError
from ganzoo.files.atomic import write_atomically
from ganzoo.files.strict_json import read_bytes, read_json
from ganzoo.files.text import quoted
from ganzoo.hub.cache import cached_path, fetch, is_regular, remove_entry, storage
from ganzoo.hub.client import COMMIT, call_hub
from ganzoo.hub.errors import HubError, HubTarget, Unreachable
from ganzoo.models import hash_cache
from ganzoo.models.config import (
    CONFIG_BYTES,
    DISCRIMINATOR_FILE,
    GENERATOR_FILE,
    ModelConfig,
    WeightsFile,
    read_model_config,
)

log = logging.getLogger(__name__)

CONFIG_FILE = "config.json"
WEIGHTS_BYTES = 2 * 10**9
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
REVISION = re.compile(r"(?!.*(\.\.|//))[A-Za-z0-9][\w./-]{0,199}", re.ASCII)


@dataclass(frozen=True)
class Pulled:
    """A model of the Hub in the local cache: the folder with its files, and their commit."""

    folder: Path
    commit: str


@dataclass(frozen=True)
class Entry:
    """One file as the Hub lists it: its size, and its git or LFS hash (40 or 64 hex digits)."""

    size: int | None
    digest: str | None


@dataclass(frozen=True)
class Contents:
    """One commit as the Hub lists it."""

    commit: str
    files: dict[str, Entry]
    library: str | None = None


def pull(
    repo: str,
    revision: str | None = None,
    *,
    sha256: str | None = None,
    discriminator: bool = False,
    limit: int = WEIGHTS_BYTES,
) -> Pulled:
    """Downloads the model `repo` ("owner/name") at a branch, tag or commit (None: main), or finds it in the cache.

    The revision is resolved to one commit. Only config.json and model.safetensors (with `discriminator` also its
    weights) are downloaded, at most `limit` bytes each, into the cache that all programs share for the Hub. Size and
    sha256 must be those that config.json, the Hub and `sha256` state; damaged files are deleted. A full commit hash
    that is in the cache needs no network. If a branch or tag cannot be resolved, the last known commit is used, with a
    warning. Raises UsageError, HubError or CheckpointError with one line.
    """
    if not REPOSITORY.fullmatch(repo) or not REVISION.fullmatch(revision or "main"):
        named = repo if revision is None else f"{repo}@{revision}"
        raise UsageError(f"{quoted(named)} names no model on the Hub: write owner/name@revision.")
    target = HubTarget("model", repo, revision or "main")
    try:
        contents = _pinned(target, revision or "main")
    except (Unreachable, UsageError) as error:
        if sha256 is not None or os.path.exists(repo):
            raise
        raise type(error)(f"{error} There is no folder {quoted(repo)} here either.") from None
    try:
        return Pulled(_checked_folder(target, contents, sha256, discriminator, limit), contents.commit)
    except GanzooError:
        _remove_damaged(target, contents.commit)
        raise


def _checked_folder(target: HubTarget, contents: Contents, sha256: str | None, discriminator: bool, limit: int) -> Path:
    """Returns the folder in the cache after every wanted file of the commit is in it and checked."""
    fetch_file = partial(_fetch, target=target, contents=contents)
    config, folder = _config_of(fetch_file, target, contents)
    assert config.weights is not None  # as `checked_config` requires
    names = {GENERATOR_FILE: config.weights}
    if discriminator:
        if config.discriminator_weights is None:
            raise UsageError(f"Model {quoted(target.name)} has no discriminator.")
        names[DISCRIMINATOR_FILE] = config.discriminator_weights
    if sha256 is not None and config.weights.sha256 != sha256:
        raise HubError(
            f"The weights of {target} are not those that were registered: "
            f"their sha256 is {config.weights.sha256}, not {sha256}."
        )
    for name, weights in names.items():
        _refuse_other(target, contents, name, weights, limit)
        fetch_file(name, size=weights.size, digest=weights.sha256, limit=weights.size)
    return folder


def _remove_damaged(target: HubTarget, commit: str) -> None:
    """Removes files from the cache that differ from the hash that the cache named them by."""
    for name in (CONFIG_FILE, GENERATOR_FILE, DISCRIMINATOR_FILE):
        path = cached_path(target, commit, name)
        if os.path.lexists(path) and not _is_right(path, None, None, WEIGHTS_BYTES):
            remove_entry(path, target)


def _pinned(target: HubTarget, revision: str) -> Contents:
    """Resolves the revision to a commit, with the list of files if the Hub was reached."""
    if COMMIT.fullmatch(revision):
        return Contents(revision, {})
    reference = storage(target) / "refs" / revision
    try:
        contents = read_contents(target)
    except Unreachable as error:
        commit = _recorded(reference)
        if commit is None:
            raise
        log.warning(f"{error} Using commit {commit}, which was the newest when the Hub was last reached.")
        return Contents(commit, {})
    if _recorded(reference) != contents.commit:
        with contextlib.suppress(OSError, GanzooError):  # a cache that cannot be written still serves what it has
            reference.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(reference, contents.commit)
    return contents


def read_contents(target: HubTarget) -> Contents:
    """Asks the Hub for the commit and the files of a revision."""
    from huggingface_hub import HfApi

    def ask() -> Contents:
        info = HfApi().model_info(target.name, revision=target.revision, files_metadata=True)
        files = {
            file.rfilename: Entry(file.size, getattr(file.lfs, "sha256", None) or file.blob_id)
            for file in info.siblings or []
        }
        return Contents(info.sha or "", files, info.library_name if isinstance(info.library_name, str) else None)

    contents = call_hub(ask, target)
    if not COMMIT.fullmatch(contents.commit):
        raise HubError(f"The Hub names no commit for {target} but {quoted(contents.commit)}: nothing of it is used.")
    return contents


def _recorded(reference: Path) -> str | None:
    """Reads the commit in a record of the cache; None if there is none."""
    try:
        text = read_bytes(reference, 100).decode("ascii", "replace").strip()
    except GanzooError:
        return None
    return text if COMMIT.fullmatch(text) else None


def _config_of(fetch_file: Callable[..., Path], target: HubTarget, contents: Contents) -> tuple[ModelConfig, Path]:
    """Downloads and checks the config.json of the commit; returns it with its folder."""
    library = (
        f" The Hub says that it is for {quoted(contents.library)}." if contents.library not in (None, "ganzoo") else ""
    )
    none = f"{quoted(target.name)} is no ganzoo model"
    if contents.files and CONFIG_FILE not in contents.files:
        raise HubError(f"{none}: it has no {CONFIG_FILE}.{library}")
    entry = contents.files.get(CONFIG_FILE, Entry(None, None))
    path = fetch_file(CONFIG_FILE, size=entry.size, digest=entry.digest, limit=CONFIG_BYTES)
    try:
        return read_model_config(path), path.parent
    except GanzooError as error:
        mine = contents.library == "ganzoo" or _names_a_variant(path)
        start = f"{target.name} cannot be used" if mine else none
        raise HubError(f"{start}: {str(error).replace(str(path), CONFIG_FILE)}{library}") from error


def _names_a_variant(path: Path) -> bool:
    """True if a configuration that cannot be read is at least one of ganzoo."""
    with contextlib.suppress(GanzooError):
        found = read_json(path, limit=CONFIG_BYTES, depth=16)
        return isinstance(found, dict) and "variant" in found
    return False


def _refuse_other(target: HubTarget, contents: Contents, name: str, weights: WeightsFile, limit: int) -> None:
    """HubError, before the download, if the file on the Hub is not the one that config.json describes."""
    if weights.size > limit:
        raise HubError(f"{name} of {target} has {weights.size} bytes: more than the {limit} that are allowed.")
    if contents.files and name not in contents.files:
        raise HubError(f"{quoted(target.name)} is no whole ganzoo model: it has no {name}.")
    entry = contents.files.get(name, Entry(None, None))
    stated = entry.digest if entry.digest is not None and len(entry.digest) == 64 else weights.sha256
    if entry.size not in (None, weights.size) or stated != weights.sha256:
        raise HubError(
            f"{name} of {target} is not the file that its config.json describes: its size or sha256 differs on the Hub."
        )


def _fetch(
    name: str, *, size: int | None, digest: str | None, limit: int, target: HubTarget, contents: Contents
) -> Path:
    """Returns one file of the commit in the cache, checked."""
    is_right = partial(_is_right, size=size, digest=digest, limit=limit)
    return fetch(name, target, contents.commit, is_right, bar=_bar(name), digest=digest, limit=limit, size=size or 0)


def _is_right(path: Path, size: int | None, digest: str | None, limit: int) -> bool:
    """As `is_regular`; a file that was hashed before and has not changed since is not hashed again."""
    return is_regular(path, size, digest, limit, hash_cache.is_verified)


def _bar(name: str) -> type:
    """Returns a progress bar with the name of the file, where the client would show a hash; only on terminals."""
    from tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *values: Any, **options: Any):
            options.pop("name", None)
            super().__init__(*values, **{**options, "disable": None, "leave": False, "desc": name})

    return Bar
