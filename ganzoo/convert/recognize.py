"""Recognizes the files that `ganzoo convert` is given, by first bytes and tables, and refuses unsafe ones unopened."""

from __future__ import annotations

import os
import re
import shlex
import stat
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ganzoo.errors import CheckpointError, UsageError
from ganzoo.files.atomic import disk_errors
from ganzoo.files.strict_json import read_json
from ganzoo.files.text import quoted, reason
from ganzoo.models.file_types import HEAD_BYTES, PICKLE, SAFETENSORS, FileType, file_type

KINDS = "what torch.save writes, .pkl of NVIDIA's StyleGAN code, .npz, .npy, .safetensors and .param of ncnn"
GIVE = f"give a file of weights ({KINDS})"
# Files of these suffixes are meant as weights: a damaged or foreign one is refused as such, not as "no weights".
SUFFIXES = (".pth", ".pt", ".ckpt", ".th", ".bin", ".tar", ".npz", ".npy", ".safetensors", ".param")
# A pickle with a magic number, from protocol 2 on: NVIDIA's code has 3 and 4.
PROTOCOLS = re.compile(rb"\x80[\x02-\x05]")
ZIP = b"PK\x03\x04"
NUMPY = b"\x93NUMPY"
NCNN = re.compile(rb"7767517\s")
# The pickled number at the start of files of torch.save before it wrote zip files.
LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
LARGEST = 2 * 2**30
MOST_ENTRIES = 20_000
MOST_PICKLE = 2**26
NUMBERED = re.compile(r"(?P<group>.+?)[_.-]?(?P<number>\d+)(?:\.[a-z]\w*)?")


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
    """Returns the kind of the files, which their content decides; `key` chooses among groups of .npy in a folder.

    UsageError for files that are no weights, CheckpointError for files that must not be opened.
    """
    files = _without_bin([file for path in paths for file in _arrays_in(Path(path))])
    if not files:
        raise UsageError(f"{paths[0]}: {_no_arrays(Path(paths[0]))}.")
    if len(files) > 1 and not all(_is_array(file) for file in files):
        got = ", ".join(quoted(file.name) for file in files[:3])
        raise UsageError(f"Several files can only be .npy arrays of one network; got {got}.")
    if len(files) > 1:
        return _group(files, key)
    return _one(files[0], key)


def _one(file: Path, key: str | None) -> InputFiles:
    """Recognizes one file by its first bytes, and a zip file by its table."""
    size, head, suffix = _size(file), _head(file), file.suffix.lower()
    if head.startswith(ZIP):
        return _zip(file, size)
    if head.startswith(LEGACY_TORCH):
        return InputFiles("torch", (file,), size)
    if head.startswith(NUMPY):
        return _group([file], key)
    if NCNN.match(head):
        return _ncnn(file)
    kind = file_type(head)
    if suffix == ".bin" and kind is None and (param := file.with_suffix(".param")).is_file():
        raise UsageError(f"{file} is the numbers of {param.name}: give {param}, and this file is found beside it.")
    if suffix == ".safetensors" or (kind is not None and kind.description == SAFETENSORS):
        return InputFiles("safetensors", (file,), size)
    arrays = any(file.parent.glob(f"{file.name}_*.npy"))
    if suffix not in SUFFIXES and (arrays or kind is None):
        beside = f": its numbers lie beside it, give {file.name}_*.npy" if arrays else ""
        raise UsageError(f"{file} is of no kind that can be converted ({KINDS}){beside}.")
    if PROTOCOLS.match(head):
        return InputFiles("objects", (file,), size)
    raise CheckpointError(f"{file} is {_described(kind)}.")


def _ncnn(file: Path) -> InputFiles:
    """Returns a .param of ncnn and the .bin beside it."""
    numbers = file.with_suffix(".bin")
    if not numbers.is_file():
        raise UsageError(f"{file} holds the layers alone: {numbers.name} with their numbers must lie beside it.")
    return InputFiles("ncnn", (file, numbers), _size(numbers))


def _without_bin(files: list[Path]) -> list[Path]:
    """Returns the .param of an ncnn pair, of which both files may be given."""
    if (
        sorted(file.suffix.lower() for file in files) == [".bin", ".param"]
        and len({f.with_suffix("") for f in files}) == 1
    ):
        return [file for file in files if file.suffix.lower() == ".param"]
    return files


def _arrays_in(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if _is_array(file)) if path.is_dir() else [path]


def _is_array(path: Path) -> bool:
    """True for the name of a .npy file, and for a regular file that starts as one."""
    if path.suffix.lower() == ".npy":
        return True
    return path.is_file() and _head(path).startswith(NUMPY)


def _no_arrays(folder: Path) -> str:
    """Says what a folder holds that is given as weights and has no .npy files."""
    unpacked = any(folder.glob("data.pkl")) or any(folder.glob("*/data.pkl"))
    if unpacked:
        return "is an unpacked checkpoint of torch.save: give the file as it was downloaded, not unpacked"
    if (folder / "MANIFEST.json").is_file() or (folder / "checkpoints").is_dir() or _is_own(folder / "config.json"):
        kind = "checkpoint" if (folder / "MANIFEST.json").is_file() else "run or model"
        return (
            f"is a {kind} of ganzoo already, which needs no conversion: `ganzoo sample {_as_source(folder)}` takes it"
        )
    return "holds no .npy files"


def _is_own(config: Path) -> bool:
    """True for a config.json that ganzoo wrote: other programs' have no variant."""
    try:
        data = read_json(config) if config.is_file() else None
    except CheckpointError:
        return False
    return isinstance(data, dict) and {"format", "variant", "image"} <= data.keys()


def _as_source(folder: Path) -> str:
    """Writes a folder as commands read it: one that could be a tag or a repository begins with ./."""
    text = str(folder)
    return shlex.quote(text if text.startswith((".", "/", "~")) else f"./{text}")


def _head(path: Path) -> bytes:
    with disk_errors(f"{path} cannot be read", CheckpointError), open(path, "rb") as file:
        return file.read(HEAD_BYTES)


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
            f"{path} {f'is empty: {GIVE}' if not facts.st_size else f'is too large: more than {LARGEST} bytes'}."
        )
    return facts.st_size


def _described(kind: FileType | None) -> str:
    """Describes a file that is none of the kinds, with advice."""
    if kind is None:
        return f"not a file that torch.save wrote, nor any other that can be converted ({KINDS})"
    if kind.description == PICKLE:
        return "a pickle that neither torch.save nor NVIDIA's code wrote, which could run code: ganzoo does not open it"
    return kind.description if ":" in kind.description else f"{kind.description}: {GIVE}"


def _zip(path: Path, size: int) -> InputFiles:
    """Recognizes a zip file by its table: an archive of numpy arrays, or a checkpoint, which must be uncompressed."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except OSError as problem:
        raise CheckpointError(f"{path} cannot be read: {reason(problem)}.") from None
    except Exception:  # zipfile raises whatever its struct and codec calls do
        raise CheckpointError(f"{path} is a damaged or truncated zip file.") from None
    arrays = bool(entries) and all(entry.filename.endswith(".npy") for entry in entries)
    wrong = None if arrays else _program_fault(entries)
    wrong = wrong or _zip_fault(entries, size, stored=not arrays) or (None if arrays else _torch_fault(entries))
    if wrong:
        raise CheckpointError(f"{path} {wrong}.")
    return InputFiles("npz" if arrays else "torch", (path,), sum(entry.file_size for entry in entries))


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


def _program_fault(entries: list[zipfile.ZipInfo]) -> str | None:
    """Names the archives that torch writes of programs, whatever else is wrong with them."""
    paths = [PurePosixPath(entry.filename) for entry in entries]
    if any("code" in path.parts[:-1] or path.name == "constants.pkl" for path in paths):
        return (
            "is a TorchScript archive, which is a program: ganzoo does not run it. Where you trust it, run "
            "`torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')` in Python and convert weights.pth"
        )
    if any(path.name == "archive_format" for path in paths):
        return (
            "is an archive of torch.export (.pt2), which is a program: ganzoo does not run it. Where you trust it, run "
            "`torch.save(dict(torch.export.load(FILE).state_dict), 'weights.pth')` in Python and convert weights.pth"
        )
    return None


def _torch_fault(entries: list[zipfile.ZipInfo]) -> str | None:
    paths = [PurePosixPath(entry.filename) for entry in entries]
    pickles = [
        entry for entry, path in zip(entries, paths, strict=True) if path.name == "data.pkl" and len(path.parts) == 2
    ]
    if len(pickles) != 1:
        return "is a zip file that torch.save did not write (if it holds weights, unpack it first)"
    if pickles[0].file_size > MOST_PICKLE:
        return f"has a table of {pickles[0].file_size} bytes: too many"
    return None
