"""Recognizes the files that `ganzoo convert` is given, by first bytes and tables, and refuses unsafe ones unopened."""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ganzoo.errors import CheckpointError, UsageError
from ganzoo.files.atomic import disk_errors
from ganzoo.files.text import quoted, reason
from ganzoo.models.file_types import HEAD_BYTES, PICKLE, FileType, file_type

TORCH_SUFFIXES = (".pth", ".pt", ".ckpt", ".th", ".bin")
SUFFIXES = (*TORCH_SUFFIXES, ".npz", ".npy", ".safetensors")
ZIP = b"PK\x03\x04"
# The pickled number at the start of files of torch.save before it wrote zip files.
LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
LARGEST = 2 * 2**30
MOST_ENTRIES = 20_000
MOST_PICKLE = 2**26
NUMBERED = re.compile(r"(?P<group>.+?)[_.-]?(?P<number>\d+)\.npy")


@dataclass(frozen=True)
class InputFiles:
    """The file of one network, or several .npy files that belong together.

    `names` are the names of the tensors for .npy. `size` is an upper bound of the bytes of numbers.
    """

    kind: str
    paths: tuple[Path, ...]
    size: int
    names: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name of the files in messages."""
        more = f" (and {len(self.paths) - 1} more)" if len(self.paths) > 1 else ""
        return f"{self.paths[0]}{more}"


def recognize(paths: Sequence[Path], key: str | None = None) -> InputFiles:
    """Returns the kind of the files; `key` chooses among groups of .npy in a folder.

    UsageError for files that are no weights, CheckpointError for files that must not be opened.
    """
    files = [file for path in paths for file in _arrays_in(Path(path))]
    if not files:
        raise UsageError(f"{paths[0]}: holds no .npy files.")
    suffixes = {file.suffix.lower() for file in files}
    if len(files) > 1 and suffixes != {".npy"}:
        got = ", ".join(quoted(file.name) for file in files[:3])
        raise UsageError(f"Several files can only be .npy arrays of one network; got {got}.")
    suffix = suffixes.pop()
    if suffix not in SUFFIXES:
        arrays = any(files[0].parent.glob(f"{files[0].name}_*.npy"))
        beside = f": its numbers lie beside it, give {files[0].name}_*.npy" if arrays else ""
        raise UsageError(f"{files[0]} is of no kind that can be converted ({', '.join(SUFFIXES)}){beside}.")
    if suffix == ".npy":
        return _group(files, key)
    size = _size(files[0])
    if suffix == ".npz":
        return InputFiles("npz", (files[0],), _check_zip(files[0], size, stored=False))
    if suffix == ".safetensors":
        return InputFiles("safetensors", (files[0],), size)
    return InputFiles("torch", (files[0],), _check_torch(files[0], size))


def _arrays_in(path: Path) -> list[Path]:
    return sorted(path.glob("*.npy")) if path.is_dir() else [path]


def _group(files: list[Path], key: str | None) -> InputFiles:
    """Groups the .npy files of one network in the order of their numbers: `gen_params.jl_01.npy`, ..."""
    groups: dict[str, list[tuple[str, Path]]] = {}
    for file in files:
        found = NUMBERED.fullmatch(file.name) if len(files) > 1 else None
        groups.setdefault(found["group"] if found else "", []).append((found["number"] if found else file.stem, file))
    if key is not None and key not in groups:
        raise UsageError(f"There is no group {quoted(key)} of .npy files; known: {', '.join(sorted(groups))}.")
    if key is None and len(groups) > 1:
        raise UsageError(
            "The .npy files are of several networks: "
            f"choose with --key {' or --key '.join(sorted(map(quoted, groups)))}."
        )
    chosen = groups[key] if key is not None else next(iter(groups.values()))
    chosen.sort(key=lambda item: (int(item[0]) if item[0].isdecimal() else 0, item[0]))
    names = tuple(name for name, _ in chosen)
    if len(set(names)) < len(names):
        raise UsageError(
            f"Two files have the number {quoted(max(names, key=names.count))}: give the arrays of one network."
        )
    return InputFiles("npy", tuple(file for _, file in chosen), sum(_size(file) for _, file in chosen), names)


def _size(path: Path) -> int:
    """Returns the size of a regular file; CheckpointError if it is too large to convert."""
    with disk_errors(f"{path} cannot be read", UsageError):
        facts = os.stat(path)
    if not stat.S_ISREG(facts.st_mode):
        raise UsageError(f"{path} is not a regular file.")
    if not 0 < facts.st_size <= LARGEST:
        raise CheckpointError(
            f"{path} {'is empty' if not facts.st_size else f'is too large: more than {LARGEST} bytes'}."
        )
    return facts.st_size


def _check_torch(path: Path, size: int) -> int:
    """Refuses a file that torch.save did not write, by its first bytes; returns an upper bound of its numbers."""
    with disk_errors(f"{path} cannot be read", CheckpointError), open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(ZIP):
        return _check_zip(path, size, stored=True)
    if head.startswith(LEGACY_TORCH):
        return size
    raise CheckpointError(f"{path} is {_described(file_type(head))}.")


def _described(kind: FileType | None) -> str:
    """Describes a file that has the name of a torch checkpoint and is none, with advice."""
    if kind is None:
        return "not a file that torch.save wrote"
    if kind.description == PICKLE:
        return "a pickle that torch.save did not write, which could run code: ganzoo does not open it"
    return f"{kind.description}: name it {kind.convert_as}" if kind.convert_as else kind.description


def _check_zip(path: Path, size: int, *, stored: bool) -> int:
    """Returns the unpacked size in a zip file's table, after checks; `stored`: uncompressed, as torch.save does."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except OSError as problem:
        raise CheckpointError(f"{path} cannot be read: {reason(problem)}.") from None
    except Exception:  # zipfile raises whatever its struct and codec calls do
        raise CheckpointError(f"{path} is a damaged or truncated zip file.") from None
    if wrong := _zip_fault(entries, size, stored) or (_torch_fault(entries) if stored else None):
        raise CheckpointError(f"{path} {wrong}.")
    return sum(entry.file_size for entry in entries)


def _zip_fault(entries: list[zipfile.ZipInfo], size: int, stored: bool) -> str | None:
    names = Counter(entry.filename for entry in entries)
    if not 0 < len(entries) <= MOST_ENTRIES:
        return f"has {len(entries)} entries; 1 to {MOST_ENTRIES} are read"
    if len(names) < len(entries):
        return f"has two entries called {quoted(names.most_common(1)[0][0])}"
    for name in (entry.orig_filename for entry in entries):
        if ".." in PurePosixPath(name).parts or name.startswith("/") or re.search(r"[\\:\0]", name):
            return f"has an entry called {quoted(name)}, a name that leads out of it"
    if any(entry.flag_bits & 1 for entry in entries):
        return "is encrypted"
    packed = sum(entry.compress_size for entry in entries)
    unpacked = sum(entry.file_size for entry in entries)
    if stored and any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        return f"is compressed ({unpacked} bytes in {size}), which torch.save never does"
    if packed > size or (stored and unpacked > size):
        return f"says that it unpacks to {unpacked} bytes, which its {size} cannot hold"
    if unpacked > LARGEST:
        return f"unpacks to {unpacked} bytes: too many"
    return None


def _torch_fault(entries: list[zipfile.ZipInfo]) -> str | None:
    paths = [PurePosixPath(entry.filename) for entry in entries]
    if any("code" in path.parts[:-1] or path.name == "constants.pkl" for path in paths):
        return "is TorchScript: a program, not weights; save the module's state_dict alone"
    pickles = [
        entry for entry, path in zip(entries, paths, strict=True) if path.name == "data.pkl" and len(path.parts) == 2
    ]
    if len(pickles) != 1:
        return "is a zip file that torch.save did not write"
    if pickles[0].file_size > MOST_PICKLE:
        return f"has a table of {pickles[0].file_size} bytes: too many"
    return None
