"""A checkpoint's manifest: which files belong to it, with size and sha256, sealed by a checksum of its own."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any

from ganzoo.errors import CheckpointError
from ganzoo.files.atomic import disk_errors
from ganzoo.files.safe_open import open_regular
from ganzoo.files.strict_json import parse_json, read_bytes

FORMAT = 1
MANIFEST_BYTES = 4 * 2**20
KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
FILE = re.compile(rf"state\.json|{KEY.pattern}\.safetensors")
SHA256 = re.compile(r"[0-9a-f]{64}")


class NewerFormatError(CheckpointError):
    """A checkpoint that a later ganzoo wrote: it is not damaged, and must not be skipped or moved."""


def folder_name(step: int) -> str:
    """Returns the only name that a checkpoint of this step may have."""
    return f"step-{step:09d}"


def fingerprint(file: BufferedReader | FileIO) -> dict[str, Any]:
    """Returns the size in bytes and the sha256 of an open file."""
    return {"size": os.fstat(file.fileno()).st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def sealed(manifest: Mapping[str, Any]) -> bytes:
    """Serializes a manifest with a checksum of itself, always to the same bytes: a reader detects flipped bits."""
    check = hashlib.sha256(json.dumps(manifest, indent=1, allow_nan=False).encode()).hexdigest()
    return json.dumps({**manifest, "check": check}, indent=1, allow_nan=False).encode()


def read_manifest(path: Path) -> dict[str, Any]:
    """Reads and checks the manifest of the checkpoint in the folder `path`.

    CheckpointError for a damaged one, NewerFormatError for one of a later ganzoo.
    """
    source = path / "MANIFEST.json"
    data = read_bytes(source, MANIFEST_BYTES)
    manifest = parse_json(data, source)
    if not isinstance(manifest, dict) or manifest.pop("check", None) is None or sealed(manifest) != data:
        raise CheckpointError(f"{source} is damaged: it does not match its own checksum.")
    version = manifest.get("format")
    if type(version) is int and version > FORMAT:
        raise NewerFormatError(f"{path} has format {version}, this ganzoo reads up to {FORMAT}; use a newer ganzoo.")
    match manifest:
        case {"format": 1, "step": int(step), "files": dict(files), "summary": dict()} if (
            len(manifest) == 4 and type(step) is int
        ):
            pass
        case _:
            raise CheckpointError(f"{source} is not the manifest of a checkpoint.")
    if not all(FILE.fullmatch(name) and _is_fingerprint(entry) for name, entry in files.items()):
        raise CheckpointError(f"{source} lists files that no checkpoint has, or without size and sha256.")
    if os.path.basename(os.path.realpath(path)) != folder_name(step):
        raise CheckpointError(f"{path} holds step {step}: the folder's name must be {folder_name(step)}.")
    return manifest


def _is_fingerprint(entry: Any) -> bool:
    match entry:
        case {"size": int(size), "sha256": str(digest)} if len(entry) == 2:
            return size >= 0 and SHA256.fullmatch(digest) is not None
    return False


def read_listed(path: Path, name: str, manifest: Mapping[str, Any]) -> bytes:
    """Reads a file of the checkpoint and returns the bytes whose hash was checked."""
    entry = manifest["files"].get(name)
    if entry is None:
        raise CheckpointError(f"{path / 'MANIFEST.json'} does not list {name}.")
    data = read_bytes(path / name, entry["size"])
    _compare(path / name, {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}, entry)
    return data


def _compare(source: Path, found: Mapping[str, Any], listed: Mapping[str, Any]) -> None:
    if found["size"] != listed["size"]:
        raise CheckpointError(f"{source} is damaged: {found['size']} bytes, the manifest says {listed['size']}.")
    if found["sha256"] != listed["sha256"]:
        raise CheckpointError(f"{source} is damaged: its sha256 is not the one in the manifest.")


def is_whole(path: Path) -> bool:
    """True if every byte of a checkpoint is as it was written; NewerFormatError if a later ganzoo wrote it."""
    try:
        for name, entry in read_manifest(path)["files"].items():
            with open_regular(path / name) as file, disk_errors(f"{path / name} cannot be read", CheckpointError):
                _compare(path / name, fingerprint(file), entry)
    except NewerFormatError:
        raise
    except CheckpointError:
        return False
    return True
