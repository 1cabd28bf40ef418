"""Reads and writes the tensors of a model folder; every name, shape and byte is checked before use."""

from __future__ import annotations

import hashlib
import mmap as mapping
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ganzoo.config.schema import from_json
from ganzoo.errors import CheckpointError
from ganzoo.files.atomic import disk_errors, fsync_file
from ganzoo.files.safe_open import open_regular
from ganzoo.files.text import quoted
from ganzoo.models import hash_cache
from ganzoo.models.config import WeightsFile
from ganzoo.models.header import ITEM_BYTES, Entry, read_header

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
FLOATING = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
TORCH = {
    **{short: DTYPES[name] for short, name in FLOATING.items()},
    **{
        "I64": torch.int64,
        "I32": torch.int32,
        "I16": torch.int16,
        "I8": torch.int8,
        "U8": torch.uint8,
        "BOOL": torch.bool,
    },
}
LISTED = 40
PIECE = 4 * 2**20


class TensorFile:
    """An open file of tensors whose header has been checked; only `read` reads the numbers.

    `entries` are its tensors by name, `size` its bytes. Use it with `with`.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self._file = open_regular(self.path)
        try:
            with disk_errors(f"{self.path} cannot be read", CheckpointError):
                self._status = os.fstat(self._file.fileno())
                header = read_header(self._file, self.path, self._status.st_size)
        except BaseException:
            self._file.close()
            raise
        self.entries, self._start, self.size = header.tensors, header.start, self._status.st_size

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def read(
        self,
        wanted: Mapping[str, Tensor],
        weights: WeightsFile,
        *,
        mmap: bool = True,
        verify: bool = False,
        allow_nonfinite: bool = False,
    ) -> dict[str, Tensor]:
        """Reads the tensors, which must match `wanted` in names and shapes, and `weights` in size, hash and dtype.

        With `mmap` they are mapped privately (writing to them changes no file); otherwise, and on file systems that
        cannot map, they are read into memory. The sha256 is computed and every value checked for NaN and infinity,
        unless the file is mapped, was checked before (see `verified`) and `verify` is False. CheckpointError names the
        difference.
        """
        refuse_difference(self.path, wanted, {name: entry.shape for name, entry in self.entries.items()})
        self._refuse_dtypes(wanted, weights)
        if self.size != weights.size:
            raise CheckpointError(
                f"{self.path} is not the file that config.json describes: it has {self.size} bytes, not {weights.size}."
            )
        with disk_errors(f"{self.path} cannot be read", CheckpointError):
            data = self._map() if mmap and self.size > self._start else None
            if data is None or verify or not hash_cache.is_verified(self._status, weights.sha256):
                data = self._checked(data, weights.sha256, allow_nonfinite)
            if hash_cache.file_state(os.fstat(self._file.fileno())) != hash_cache.file_state(self._status):
                raise CheckpointError(f"{self.path} changed while it was read.")
        return {
            name: _as(data[entry.begin : entry.end], entry.dtype).view(entry.shape)
            for name, entry in self.entries.items()
        }

    def _refuse_dtypes(self, wanted: Mapping[str, Tensor], weights: WeightsFile) -> None:
        """CheckpointError unless floats have the dtype of config.json and all others that of the generator."""
        for name, entry in self.entries.items():
            expected = DTYPES[weights.dtype] if wanted[name].is_floating_point() else wanted[name].dtype
            if TORCH[entry.dtype] != expected:
                kind = str(expected).removeprefix("torch.")
                raise CheckpointError(
                    f"{self.path}: {quoted(name)} is stored as {entry.dtype}; it must be {kind} here."
                )

    def _map(self) -> Tensor | None:
        """Maps the bytes after the header privately; None if the system cannot map such files."""
        try:
            mapped = mapping.mmap(self._file.fileno(), 0, access=mapping.ACCESS_COPY)
        except (OSError, ValueError):
            return None
        return torch.frombuffer(mapped, dtype=torch.uint8, offset=self._start)

    def _checked(self, mapped: Tensor | None, sha256: str, allow_nonfinite: bool) -> Tensor:
        """Hashes the file and checks every value in one pass; returns the bytes, in memory only if there is no map."""
        began, digest, unsound = hash_cache.clock(), hashlib.sha256(), []
        data = torch.empty(self.size - self._start, dtype=torch.uint8) if mapped is None else mapped
        passing = torch.empty(min(PIECE, len(data)), dtype=torch.uint8)
        self._file.seek(0)
        digest.update(self._file.read(self._start))
        for name, entry in self.entries.items():
            for begin in range(entry.begin, entry.end, PIECE):
                length = min(PIECE, entry.end - begin)
                piece = passing[:length] if mapped is not None else data[begin : begin + length]
                self._fill(piece)
                digest.update(piece.numpy().data)
                if entry.dtype in FLOATING and name not in unsound and not _finite(piece, entry):
                    unsound.append(name)
        if digest.hexdigest() != sha256:
            raise CheckpointError(f"{self.path} is not the file that config.json describes: its sha256 differs.")
        if unsound and not allow_nonfinite:
            raise CheckpointError(f"{self.path} holds values that are not finite in {_some(map(quoted, unsound))}.")
        if not unsound:
            hash_cache.mark_verified(self._status, sha256, began)
        return data

    def _fill(self, piece: Tensor) -> None:
        view, done = piece.numpy().data, 0
        while done < len(view):
            count = self._file.readinto(view[done:])
            if not count:
                raise CheckpointError(f"{self.path} was truncated while it was read.")
            done += count


def read_tensors(path: Path, wanted: Mapping[str, Tensor], weights: WeightsFile, **options: bool) -> dict[str, Tensor]:
    """Opens a file and reads it with `TensorFile.read`, whose options and errors it shares."""
    with TensorFile(path) as file:
        return file.read(wanted, weights, **options)


def _finite(piece: Tensor, entry: Entry) -> bool:
    """True if all numbers are finite; the extremes are NaN if one is, and need no extra memory."""
    return bool(torch.isfinite(torch.stack(torch.aminmax(_as(piece, entry.dtype)))).all())


def _as(piece: Tensor, dtype: str) -> Tensor:
    """Views bytes as numbers; copies them only if they are not aligned to the numbers' size."""
    size = ITEM_BYTES[dtype]
    return (piece.clone() if piece.data_ptr() % size or piece.storage_offset() % size else piece).view(TORCH[dtype])


def refuse_difference(where: Path, wanted: Mapping[str, Tensor], found: Mapping[str, tuple[int, ...]]) -> None:
    """CheckpointError that lists the tensors that are missing, unknown or of another shape; of many, the first."""
    shapes = {name: tuple(tensor.shape) for name, tensor in wanted.items()}
    problems = [f"{quoted(name)} is missing" for name in shapes if name not in found]
    problems += [f"{quoted(name)} is unknown" for name in found if name not in shapes]
    problems += [
        f"{quoted(name)} is {found[name]}, not {shape}"
        for name, shape in shapes.items()
        if found.get(name, shape) != shape
    ]
    if problems:
        count = "1 tensor differs" if len(problems) == 1 else f"{len(problems)} tensors differ"
        raise CheckpointError(
            f"{where} does not fit the generator that its config.json names, {count}: {_some(problems, '; ')}."
        )


def _some(texts: Iterable[str], separator: str = ", ") -> str:
    """Joins the first texts and the number of the others."""
    texts = list(texts)
    more = f" and {len(texts) - LISTED} more" if len(texts) > LISTED else ""
    return separator.join(texts[:LISTED]) + more


def write_tensors(path: Path, tensors: Mapping[str, Tensor], dtype: str = "float32") -> WeightsFile:
    """Writes tensors as safetensors, floats as `dtype`, and returns their entry in config.json.

    CheckpointError, before anything is written, for values that could not be read again: NaN, infinity, numbers too
    large for float16, and dtypes that the format does not have.
    """
    packed = {name: _packed(name, tensor, DTYPES[dtype]) for name, tensor in tensors.items()}
    try:
        # One word of metadata: the library writes several in random order, which would change the hash.
        save_file(packed, path, metadata={"ganzoo": "model 1"})
    except SafetensorError as problem:  # a full disk is this one, not an OSError
        raise CheckpointError(f"{path} cannot be written: {' '.join(str(problem).split())}.") from None
    os.chmod(path, stat.S_IMODE(os.stat(path.parent).st_mode) & 0o666)  # safetensors leaves 0600 whatever the umask
    fsync_file(path)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    facts = {"file": path.name, "size": path.stat().st_size, "sha256": digest, "dtype": dtype}
    return from_json(facts, WeightsFile, str(path))


def _packed(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Returns a contiguous copy on the CPU, as the format has neither strides nor shared memory."""
    packed = tensor.detach().cpu()
    packed = (packed.to(dtype) if packed.is_floating_point() else packed).contiguous().clone()
    if packed.dtype not in TORCH.values():
        raise CheckpointError(f"{quoted(name)} is {packed.dtype}, which a model folder cannot hold.")
    if packed.is_floating_point() and packed.numel() and not torch.isfinite(torch.stack(torch.aminmax(packed))).all():
        large = " as float16; store it as float32" if dtype == torch.float16 and torch.isfinite(tensor).all() else ""
        raise CheckpointError(f"{quoted(name)} holds values that are not finite{large}.")
    return packed
