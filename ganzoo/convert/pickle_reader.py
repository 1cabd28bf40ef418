"""Reads weights that other programs wrote (.pth, .pkl, .npz, .npy, safetensors, ncnn) as plain tensors.

Nothing else in ganzoo reads pickles. `recognize` checks bytes and tables of a file first. Pickles and numpy files are
then read in a process of their own (`pickle_process`), under limits of memory, time and disk: by
`torch.load(weights_only=True)`, and pickles of NVIDIA's code by an interpreter that calls nothing (`object_pickle`). No
setting turns this off.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from ganzoo.convert import pickle_process
from ganzoo.convert.bundles import SeveralNetworks
from ganzoo.convert.ncnn import read_graph
from ganzoo.convert.recognize import LARGEST, InputFiles
from ganzoo.errors import CheckpointError, GanzooError, UsageError
from ganzoo.files.strict_json import read_bytes, read_json
from ganzoo.files.text import quoted
from ganzoo.models.header import ITEM_BYTES, read_header

log = logging.getLogger(__name__)

ANSWER_BYTES = 2**24


class NamedTensors(dict[str, Tensor]):
    """The tensors of a network by name; `stated` is what its file says of it besides, as JSON has it.

    A pickle of NVIDIA's code states {"key": "G_ema", "class": "Generator", "options": {...}}; others state nothing.
    """

    stated: Mapping[str, Any] = MappingProxyType({})


def read_inputs(files: Sequence[InputFiles], keys: Sequence[str | None]) -> list[dict[str, Tensor] | GanzooError]:
    """Reads the tensors of each of `files`, or the error that refuses it.

    Prefixes that all names share ("module.") are removed. `keys` choose where a file holds several networks ("netG",
    "state_dict.generator", or a prefix of names). One process reads all files.
    """
    found: dict[int, dict[str, Tensor] | GanzooError] = {}
    with tempfile.TemporaryDirectory(prefix="ganzoo-convert-") as folder:
        others = {number: file for number, file in enumerate(files) if file.kind not in HERE}
        jobs = [_job(file, keys[number], Path(folder) / f"{number}") for number, file in others.items()]
        if jobs:
            _run(jobs, Path(folder) / "jobs.json")
        for number, file in enumerate(files):
            try:
                if number in others:
                    found[number] = _result(file, keys[number], Path(folder) / f"{number}")
                else:
                    found[number] = HERE[file.kind](file, keys[number])
            except GanzooError as error:
                found[number] = error
    return [found[number] for number in range(len(files))]


def _job(file: InputFiles, key: str | None, out: Path) -> dict:
    paths = [str(path.absolute()) for path in file.paths]
    return {"kind": file.kind, "paths": paths, "names": file.names, "bytes": file.size, "key": key, "out": str(out)}


def _run(jobs: list[dict], path: Path) -> None:
    """Runs the reader without the current folder on its path (-P) and without torch's switches for unsafe loading."""
    path.write_text(json.dumps(jobs), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TORCH_FORCE_")}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-P", str(Path(pickle_process.__file__)), str(path)]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode:
        line = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no message"])[-1]
        raise GanzooError(f"The process that reads foreign weights could not start or died: {quoted(line)}.")


def _result(file: InputFiles, key: str | None, out: Path) -> dict[str, Tensor]:
    """Returns the tensors that the reader wrote for one file."""
    answer = Path(f"{out}.json")
    if not answer.exists():
        raise CheckpointError(
            f"{file.label} could not be read: it crashed the reader, or takes more memory or time than its size needs."
        )
    said = read_json(answer, limit=ANSWER_BYTES)
    if "refused" in said:
        raise CheckpointError(f"{file.label} {said['refused']}.")
    if "candidates" in said:
        raise _choice(file, key, said["candidates"])
    if other := said.get("averaged"):
        log.info(f"{file.label}: its averaged weights, params_ema; --key {other} takes the others")
    tensors = _loaded(file, read_bytes(out, limit=pickle_process.LARGEST_SHARE * LARGEST))
    found = NamedTensors(pickle_process.without_prefix({name: tensors[name] for name in said["names"]}))
    found.stated = said.get("stated", {})
    return found


def _choice(file: InputFiles, key: str | None, candidates: Mapping[str, Mapping[str, list[int]]]) -> UsageError:
    listed = ", ".join(f"{quoted(path)} ({len(found)} tensors)" for path, found in list(candidates.items())[:20])
    head = f"has no network {quoted(key)}" if key is not None else "holds several networks"
    return SeveralNetworks(
        f"{file.label} {head}: choose with --key. There {'is' if len(candidates) == 1 else 'are'}: {listed}.",
        {path: {name: tuple(shape) for name, shape in found.items()} for path, found in candidates.items()},
    )


def _safetensors(file: InputFiles, key: str | None) -> dict[str, Tensor]:
    tensors = _loaded(file, read_bytes(file.paths[0], limit=LARGEST))
    for name, tensor in tensors.items():
        if wrong := pickle_process.fault(tensor):
            raise CheckpointError(f"{file.label} has a tensor {quoted(name)} that {wrong}.")
    if key is not None:
        tensors = pickle_process.under(key, ".", tensors)
    if not tensors:
        raise UsageError(
            f"{file.label} has no tensors{'' if key is None else f' whose names start with {quoted(key)}'}."
        )
    return pickle_process.without_prefix({name: tensors[name] for name in sorted(tensors, key=_by_number)})


def _ncnn(file: InputFiles, key: str | None) -> dict[str, Tensor]:
    if key is not None:
        raise UsageError(f"{file.label} holds one network: leave out the key {quoted(key)}.")
    return {name: torch.from_numpy(array) for name, array in read_graph(*file.paths).tensors().items()}


HERE = {"safetensors": _safetensors, "ncnn": _ncnn}  # kinds that hold numbers alone: read in this process


def _by_number(name: str) -> list[tuple[int, str]]:
    """Returns a key that sorts layer 2 before layer 10; a safetensors file is sorted by size."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d{1,9})", name)]


def _loaded(file: InputFiles, data: bytes) -> dict[str, Tensor]:
    """Parses the bytes of a safetensors file; bytes, because a mapped file that shrinks would end the process."""
    read_header(io.BytesIO(data), file.label, len(data), ITEM_BYTES | {"F64": 8})
    try:
        return safetensors.torch.load(data)
    except Exception:  # the names of its errors differ from version to version
        raise CheckpointError(f"{file.label} is not a whole safetensors file.") from None
