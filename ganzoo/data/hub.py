"""Downloads data sets from the Hugging Face Hub: pinned to one commit, every file checked."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from ganzoo.data.parquet import arrow, choose_split, parquet_source, split_of
from ganzoo.data.sources import EncodedSource, HubSource
from ganzoo.data.store import key_of
from ganzoo.errors import DataError, GanzooError, UsageError
from ganzoo.files.atomic import write_atomically
from ganzoo.files.text import quoted
from ganzoo.hub.cache import fetch, is_regular
from ganzoo.hub.client import COMMIT, call_hub
from ganzoo.hub.errors import HubTarget

log = logging.getLogger(__name__)

CONVERTED = "refs/convert/parquet"
LARGEST_FILE = 50 * 10**9


class Unreachable(DataError):
    """The Hub gives no sensible answer; a recorded commit may still do."""


def identity(source: HubSource) -> str:
    """Returns a text that changes with the content: the pinned commit and the part of it that is used."""
    return f"hub {source.repository}@{source.revision}/{source.folder}:{source.split} {'|'.join(source.classes)}"


def pin(source: HubSource, records: Path) -> tuple[HubSource, dict | None]:
    """Resolves the revision of a source to one commit; also returns the files of that commit if the Hub was asked.

    A full commit hash needs no network. Otherwise the commit is recorded; if the Hub cannot be reached, the last
    recorded one is used, with a warning.
    """
    if source.revision and COMMIT.fullmatch(source.revision):
        return source, None
    record = records / f"{key_of(repository=source.repository, revision=source.revision)}.json"
    try:
        commit, files = ask(source)
    except Unreachable as error:
        known = recorded(record)
        if known is None:
            raise
        log.warning(f"{error} Using commit {known}, which was the newest when the Hub was last reached.")
        return replace(source, revision=known), None
    write_record(record, {"repository": source.repository, "revision": source.revision, "commit": commit})
    return replace(source, revision=commit), files


def ask(source: HubSource) -> tuple[str, dict]:
    """Returns (commit, files) of the revision; without one, of the converted branch if the main one has no Parquet."""
    commit, files = list_commit(source, source.revision)
    if source.revision is None and not parquet_names(files, source):
        with contextlib.suppress(UsageError):
            return list_commit(source, CONVERTED)
    return commit, files


def list_commit(source: HubSource, revision: str | None) -> tuple[str, dict[str, str | None]]:
    """Returns the current commit of the revision, and {file name: sha256 or None} of all its files."""
    from huggingface_hub import HfApi

    def ask_hub() -> tuple[str | None, dict[str, str | None]]:
        info = HfApi().dataset_info(source.repository, revision=revision, files_metadata=True)
        return info.sha, {file.rfilename: getattr(file.lfs, "sha256", None) for file in info.siblings or []}

    sha, files = call_hub(ask_hub, target_of(source, revision))
    if not COMMIT.fullmatch(sha or ""):
        raise Unreachable(f"The Hub named no commit for data set {quoted(source.repository)}.")
    return sha, files


def parquet_names(files: Iterable[str], source: HubSource) -> list[str]:
    start = f"{source.folder}/" if source.folder else ""
    return [name for name in files if name.lower().endswith(".parquet") and name.startswith(start)]


def choose_files(files: dict, source: HubSource) -> list[str]:
    """Returns the Parquet files of the split, which must belong to one configuration of the data set."""
    where = f"Data set {quoted(source.repository)}"
    names = parquet_names(files, source)
    if not names:
        raise UsageError(
            f"{where} has no Parquet files{f' in {quoted(source.folder)}' if source.folder else ''} at commit"
            f" {source.revision}: download it and give the folder of images."
        )
    chosen = choose_split(names, source.split, where)
    configurations = sorted({configuration_of(name) for name in chosen})
    if len(configurations) > 1:
        raise UsageError(
            f"{where} has several configurations, {', '.join(configurations)}: write one after the name, as in"
            f" hf://datasets/{source.repository}/{configurations[0]}."
        )
    return chosen


def configuration_of(name: str) -> str:
    """Returns the folder of a file, without the folder that names its split."""
    folder = PurePosixPath(name).parent
    stated = folder.name.removeprefix("partial-") == split_of(name) and folder.name != ""
    return str(folder.parent if stated else folder)


def download(source: HubSource, files: dict | None) -> EncodedSource:
    """Downloads the images of the pinned source, after every file has the sha256 that the Hub states."""
    arrow()
    if files is None:
        _, files = list_commit(source, source.revision)
    names = choose_files(files, source)
    log.info(f"downloading {len(names)} Parquet files of {quoted(source.repository)} at commit {source.revision}")
    if any("partial-" in name for name in names):
        log.warning(f"the Hub offers only a part of {quoted(source.repository)} as Parquet; that part is used")
    paths = [fetch_file(source, name, files[name]) for name in names]
    return parquet_source(paths, names, identity(source), source.name, source.classes)


def fetch_file(source: HubSource, name: str, sha256: str | None) -> Path:
    """Returns one file of the commit in the Hub's cache, with the sha256 that the Hub states."""
    is_right = partial(is_regular, size=None, digest=sha256, limit=LARGEST_FILE)
    target, size = target_of(source, source.revision), LARGEST_FILE
    return fetch(name, target, str(source.revision), is_right, digest=sha256, limit=size, size=size)


def target_of(source: HubSource, revision: str | None) -> HubTarget:
    return HubTarget("data set", source.repository, revision, source.hint or "", DataError, Unreachable)


def recorded(record: Path) -> str | None:
    try:
        commit = json.loads(record.read_bytes())["commit"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return commit if isinstance(commit, str) and COMMIT.fullmatch(commit) else None


def write_record(record: Path, facts: dict) -> None:
    """Writes the record; a failure is ignored, and there is then no fallback."""
    with contextlib.suppress(OSError, GanzooError):
        record.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(record, json.dumps(facts, sort_keys=True))
