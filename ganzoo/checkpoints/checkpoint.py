"""Saves and loads checkpoints without pickle.

Tensors are safetensors, the rest is JSON, every byte has a sha256, and a rename makes a checkpoint appear whole.
"""

import json
import logging
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save_file

from ganzoo.checkpoints.manifest import (
    FORMAT,
    KEY,
    MANIFEST_BYTES,
    NewerFormatError,
    fingerprint,
    folder_name,
    is_whole,
    read_listed,
    read_manifest,
    sealed,
)
from ganzoo.checkpoints.state_tree import Tree, decode, encode, with_stride
from ganzoo.errors import CheckpointError, DivergedError
from ganzoo.files.atomic import (
    disk_errors,
    fsync_file,
    fsync_folder,
    move_aside,
    new_folder,
    remove,
    remove_leftovers,
    write_file,
)
from ganzoo.files.safe_open import check_own_folders
from ganzoo.files.strict_json import parse_json
from ganzoo.files.text import quoted

log = logging.getLogger(__name__)

__all__ = ["list_checkpoints", "load_checkpoint", "newest_checkpoint", "remove_leftovers"]
__all__ += ["retain", "save_checkpoint", "set_newer_aside"]

STATE_BYTES = 64 * 2**20
HEADER_BYTES = 16 * 2**20
TENSORS = 100_000


def save_checkpoint(folder: Path, step: int, trees: Mapping[str, Tree], *, summary: Mapping[str, Any] = {}) -> Path:
    """Writes `folder`/step-NNNNNNNNN so that it is there whole or not at all, and returns its path.

    A checkpoint of that step that verifies is left alone; a damaged one is moved aside. Raises DivergedError for a
    tensor that is not finite, CheckpointError for a value that cannot be stored or a disk that fails; then nothing is
    left behind.
    """
    folder = Path(folder)
    target = folder / folder_name(step)
    tensors: dict[str, dict[str, torch.Tensor]] = {_checked_key(key): {} for key in trees}
    state = {"trees": {key: encode(tree, tensors[key]) for key, tree in trees.items()}}
    manifest = {"format": FORMAT, "step": step, "files": {}, "summary": encode(dict(summary), None)}
    _refuse_nonfinite(step, tensors)
    with _write_errors(target):
        _make_folder(folder)
        if os.path.lexists(target):
            if is_whole(target):
                return target
            move_aside(target, "damaged")
        with new_folder(target) as temporary:
            _write_files(temporary, tensors, state, manifest)
    return target


def _checked_key(key: str) -> str:
    if not KEY.fullmatch(key):
        raise CheckpointError(
            f"{quoted(key)} cannot name a part of a checkpoint: use a-z, 0-9, '.', '_' and '-', at most 64."
        )
    return key


def _refuse_nonfinite(step: int, tensors: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
    # All sums are queued on the device before the first is read. A sum is quicker than isfinite, and finite only if
    # every value is.
    finite = {(key, name): _finite_sum(tensor) for key, named in tensors.items() for name, tensor in named.items()}
    doubtful = [place for place, answer in finite.items() if not answer]
    bad = [f"{key} {quoted(name)}" for key, name in doubtful if not torch.isfinite(_widened(tensors[key][name])).all()]
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise DivergedError(
            f"step {step}: values are not finite in {', '.join(bad[:3])}{more}; this state was not saved."
        )


def _finite_sum(tensor: torch.Tensor) -> torch.Tensor | bool:
    return torch.isfinite(_widened(tensor).sum()) if tensor.is_floating_point() or tensor.is_complex() else True


def _widened(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.itemsize > 1 else tensor.float()  # float8 has neither sums nor isfinite


@contextmanager
def _write_errors(target: Path) -> Iterator[None]:
    try:
        with disk_errors(f"{target} cannot be written", CheckpointError):
            yield
    except SafetensorError as problem:  # a full disk is this one, not an OSError
        raise CheckpointError(f"{target} cannot be written: {' '.join(str(problem).split())}.") from problem


def _make_folder(folder: Path) -> None:
    check_own_folders(folder, error=CheckpointError)
    if not folder.is_dir():
        os.mkdir(folder)  # without parents: a deleted run folder must not come back
        fsync_folder(folder.parent)


def _write_files(folder: Path, tensors: Mapping[str, dict[str, torch.Tensor]], state: dict, manifest: dict) -> None:
    text = json.dumps(state, allow_nan=False)
    if len(text) > STATE_BYTES:
        raise CheckpointError(
            f"state.json would be {len(text)} bytes, at most {STATE_BYTES}; keep large data in tensors."
        )
    write_file(folder / "state.json", text)
    manifest["files"]["state.json"] = _written(folder / "state.json")
    for key, named in tensors.items():
        if named:
            path = folder / f"{key}.safetensors"
            _write_tensors(path, named)
            manifest["files"][path.name] = _written(path)
    content = sealed(manifest)
    if len(content) > MANIFEST_BYTES:
        raise CheckpointError(
            f"MANIFEST.json would be {len(content)} bytes, at most {MANIFEST_BYTES}; shorten the summary."
        )
    write_file(folder / "MANIFEST.json", content)


def _write_tensors(path: Path, named: Mapping[str, torch.Tensor]) -> None:
    if len(named) > TENSORS:
        raise CheckpointError(f"{path.name} would hold {len(named)} tensors; at most {TENSORS}.")
    packed, storages = {}, set()
    for name, tensor in named.items():
        tensor = tensor.cpu().resolve_conj().resolve_neg().contiguous()
        if tensor.untyped_storage().data_ptr() in storages:  # the format knows no shared memory
            tensor = tensor.clone()
        storages.add(tensor.untyped_storage().data_ptr())
        packed[name] = tensor
    save_file(
        packed, path, metadata={"ganzoo": f"checkpoint {FORMAT}"}
    )  # of several keys the library would write any first
    os.chmod(path, os.stat(path.parent).st_mode & 0o666)  # safetensors leaves 0600 whatever the umask
    fsync_file(path)


def _written(path: Path) -> dict[str, Any]:
    """Returns the fingerprint of a file of this process, whose folder nobody else knows; OSError as `open`."""
    with open(path, "rb") as file:
        return fingerprint(file)


def summary_of(path: Path) -> dict[str, Any]:
    """Returns the summary that a checkpoint was saved with; empty if the checkpoint is damaged."""
    try:
        return load_checkpoint(path, [])[2]
    except CheckpointError:
        return {}


def load_checkpoint(path: Path, keys: Collection[str] | None = None) -> tuple[int, dict[str, Tree], dict[str, Any]]:
    """Returns (step, trees, summary), with only the trees of `keys` if given.

    Tensors are on the CPU and own their memory.
    Every byte that is used is checked against the manifest; CheckpointError names the file and says what is wrong.
    """
    path = Path(path)
    manifest = read_manifest(path)
    source = path / "state.json"
    if manifest["files"].get("state.json", {}).get("size", 0) > STATE_BYTES:
        raise CheckpointError(f"{source} is too large: more than {STATE_BYTES} bytes.")
    state = parse_json(read_listed(path, "state.json", manifest), source)
    if not (isinstance(state, dict) and set(state) == {"trees"} and isinstance(state["trees"], dict)):
        raise CheckpointError(f"{source} does not hold the trees of a checkpoint.")
    nodes = state["trees"]
    for key in nodes if keys is None else keys:
        if key not in nodes:
            raise CheckpointError(f"{path} has no {quoted(key)}; it has: {', '.join(nodes)}.")
    trees = {key: _load_tree(path, key, nodes[key], manifest) for key in nodes if keys is None or key in keys}
    return manifest["step"], trees, _decode(manifest["summary"], _no_tensor, path / "MANIFEST.json")


def _load_tree(path: Path, key: str, node: Any, manifest: Mapping[str, Any]) -> Tree:
    wanted: list[str] = []
    _decode(node, lambda name, stride: wanted.append(name), path / "state.json")
    source = path / f"{key}.safetensors"
    data = read_listed(path, source.name, manifest) if wanted or source.name in manifest["files"] else b""
    _refuse_difference(source, wanted, _header_names(data, source) if data else [])
    try:
        tensors = load_safetensors(data) if data else {}
    except Exception as problem:  # a header may be wrong in more ways than safetensors has errors for
        raise CheckpointError(f"{source} is not valid safetensors: {' '.join(str(problem).split())[:200]}.") from None
    return _decode(node, lambda name, stride: with_stride(tensors.pop(name), stride), path / "state.json")


def _decode(node: Any, take: Callable[[str, list | None], Any], source: Path) -> Tree:
    try:
        return decode(node, take)
    except CheckpointError as problem:
        raise CheckpointError(f"{source}: {problem}.") from None


def _no_tensor(name: str, stride: list | None) -> NoReturn:
    raise CheckpointError("a summary holds no tensors")


def _header_names(data: bytes, source: Path) -> list[str]:
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(HEADER_BYTES, len(data) - 8):
        raise CheckpointError(f"{source} is not valid safetensors: its header cannot be {length} bytes long.")
    header = parse_json(data[8 : 8 + length], source, depth=3)
    if not isinstance(header, dict) or len(header) > TENSORS + 1:
        raise CheckpointError(
            f"{source} is not valid safetensors: its header is not a list of at most {TENSORS} tensors."
        )
    return [name for name in header if name != "__metadata__"]


def _refuse_difference(source: Path, wanted: list[str], present: list[str]) -> None:
    missing, extra = set(wanted) - set(present), set(present) - set(wanted)
    twice = {name for name in wanted if wanted.count(name) > 1} if len(set(wanted)) < len(wanted) else set()
    parts = [
        f"{what}: {', '.join(quoted(name) for name in sorted(names))}"
        for what, names in (("missing", missing), ("not asked for", extra), ("asked for twice", twice))
        if names
    ]
    if parts:
        raise CheckpointError(f"{source} does not hold the tensors of state.json; {'; '.join(parts)}.")


def list_checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """Returns (step, path) of every finished checkpoint, whole or damaged, the newest first; [] without a folder."""
    folder = Path(folder)
    with disk_errors(f"{folder} cannot be read", CheckpointError):
        names = os.listdir(folder) if folder.is_dir() else []
    steps = [int(name[5:]) for name in names if re.fullmatch(r"step-[0-9]{9,18}", name)]
    return [(step, folder / folder_name(step)) for step in sorted(steps, reverse=True) if folder_name(step) in names]


def newest_checkpoint(
    folder: Path, keys: Collection[str] | None = None
) -> tuple[int, dict[str, Tree], dict[str, Any]] | None:
    """Returns what `load_checkpoint` gives for the newest one that verifies, or None if there is none at all.

    One that does not verify is kept and gets one reported line. Raises CheckpointError if none of several verifies.
    """
    problem = None
    for _, path in list_checkpoints(folder):
        try:
            return load_checkpoint(path, keys)
        except NewerFormatError:
            raise
        except CheckpointError as found:
            problem = problem or found
            log.warning(f"skipped checkpoint {path.name}: {found}")
    if problem is not None:
        raise CheckpointError(f"no checkpoint in {folder} can be used, and none was deleted; the newest: {problem}")
    return None


def retain(folder: Path, keep_last: int, keep: Collection[int] = ()) -> None:
    """Deletes old checkpoints, except the newest `keep_last` (at least 2) that verify and the steps in `keep`."""
    checkpoints = list_checkpoints(folder)
    whole, doomed = 0, []
    for step, path in checkpoints if len(checkpoints) > max(2, keep_last) else []:
        if whole < max(2, keep_last):
            whole += is_whole(path)
        elif step not in keep:
            doomed.append(path)
    with disk_errors(f"old checkpoints in {folder} cannot be deleted", CheckpointError):
        for trash in [move_aside(path, "trash") for path in doomed]:
            remove(trash)


def set_newer_aside(folder: Path, step: int) -> None:
    """Renames checkpoints newer than `step` to `.undone-*`, so that a resumed run does not load them."""
    with disk_errors(f"newer checkpoints in {folder} cannot be set aside", CheckpointError):
        for newer, path in list_checkpoints(folder):
            if newer > step:
                move_aside(path, "undone")
