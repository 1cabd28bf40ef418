"""Reads pickled and numpy files under limits, in a process of its own, and writes them as safetensors. Run as a file.

`python -P pickle_process.py JOBS`: JOBS is a JSON list of {"kind": "torch" | "objects" | "npy" | "npz", "paths",
"bytes", "key", "out"}. Each job writes the tensors to `out`, and to `out` + ".json" their order, {"names": [...]} (with
what the file states of the network, {"stated": ...}), or the reason for none: {"refused": reason} or {"candidates":
{key: {name: shape}}}. It imports nothing of ganzoo but the file beside it, so that it runs wherever torch does.
"""

import gc
import importlib.util
import io
import json
import os
import re
import sys
from types import ModuleType
from typing import Any

import numpy
import torch
from safetensors.torch import save_file

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
DTYPES = (*FLOATS, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
MOST_TENSORS = 20_000
MOST_VALUES = 200_000
LONGEST_NAME = 200
PREFIXES = ("module.", "_orig_mod.")
AVERAGED = ("params_ema", "params")
AVERAGED_NETWORK = "G_ema"
MEAN_STYLE, MAPPED = "latent_avg", "style.1.weight"  # rosinality's mean of styles stands beside the networks
MOST_NUMBERS = 2**40
DEEPEST = 6
LARGEST_SHARE = 4
SPARE_MEMORY = 256 * 2**20
DAMAGED = "is damaged or cut short: it does not hold what its own tables promise"


class Refused(Exception):
    """The reason for a refusal, which follows the name of the file in a sentence."""


def main(path: str) -> None:
    """Does every job, each in a fork where the system has them: a limit or a crash concerns one job."""
    torch.set_num_threads(1)
    with open(path, encoding="utf-8") as file:
        jobs = json.load(file)
    for job in jobs:
        if not hasattr(os, "fork"):
            do(job)
            continue
        child = os.fork()
        if child == 0:
            try:
                limit(job["bytes"])
                do(job)
            finally:
                os._exit(0)
        os.waitpid(child, 0)


def limit(size: int) -> None:
    """Limits memory, seconds and written bytes of this process for a file with `size` bytes of numbers."""
    import resource

    bounds = {
        resource.RLIMIT_CPU: 60 + size // 2**24,
        resource.RLIMIT_FSIZE: LARGEST_SHARE * size + 2**24,
        resource.RLIMIT_CORE: 0,
    }
    if os.path.exists("/proc/self/statm"):
        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        bounds[resource.RLIMIT_AS] = taken + 2 * LARGEST_SHARE * size + SPARE_MEMORY
    for which, bound in bounds.items():
        hard = resource.getrlimit(which)[1]
        bound = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(which, (bound, bound))


def do(job: dict) -> None:
    """Does one job; errors become reasons in our words, since torch's messages advise turning its safety off."""
    try:
        answer = convert(job)
    except Refused as reason:
        answer = {"refused": str(reason)}
    except Exception as error:  # seen: Unpickling-, Runtime-, EOF-, Index-, Memory- and RecursionError
        answer = {"refused": reason_of(error)}
    with open(job["out"] + ".json", "w", encoding="utf-8") as file:
        json.dump(answer, file)


def reason_of(error: Exception) -> str:
    """Translates an exception of torch or numpy."""
    text = str(error)
    asked = re.search(r"GLOBAL ([\w.]+)", text)
    if asked:
        return (
            f"holds Python objects besides tensors (it asks for {asked[1][:60]}), which would run code; "
            "save the state_dict alone"
        )
    if type(error).__name__ == "UnpicklingError" and "nsupported" in text:
        return "holds Python objects besides tensors, which would run code; save the state_dict alone"
    if isinstance(error, MemoryError) or "allocate memory" in text:
        return "asks for more memory than a file of its size needs"
    if isinstance(error, RecursionError):
        return "is nested too deep"
    if "Object arrays" in text:
        return "holds Python objects (an array of dtype object), which would run code"
    return DAMAGED


def convert(job: dict) -> dict:
    """Writes the tensors of a job and returns their names, or the candidates if there are several networks."""
    instead = stated = None
    if job["kind"] == "objects":
        tensors, stated, others = objects_of(job)
        if others:
            return {"candidates": others}
    elif job["kind"] != "torch":
        tensors = arrays_of(job)
    else:
        read = torch.load(job["paths"][0], weights_only=True, mmap=False, map_location="cpu")
        found = with_mean_style(state_dicts(read))
        chosen = choose(found, job["key"])
        if chosen is None and job["key"] is None:
            chosen, instead = averaged_of(found)
        if chosen is None:
            return {"candidates": {path: shapes_of(value) for path, value in found}}
        tensors = {name: value for name, value in chosen.items() if isinstance(value, torch.Tensor)}
    check(tensors, job["bytes"])
    save_file({name: value.detach().resolve_neg().contiguous().clone() for name, value in tensors.items()}, job["out"])
    facts = {"averaged": instead, "stated": stated}
    return {"names": list(tensors), **{name: fact for name, fact in facts.items() if fact}}


def state_dicts(value: Any) -> list[tuple[str, dict]]:
    """Returns every dictionary of tensors in a file by its dotted path ("." is the file itself)."""
    if not isinstance(value, dict):
        raise Refused(f"holds a {type(value).__name__}, not a state_dict; save network.state_dict()")
    found: list[tuple[str, dict]] = []
    waiting: list[tuple[tuple[str, ...], dict]] = [((), value)]
    seen = 0
    while waiting:
        path, node = waiting.pop(0)
        seen += len(node)
        if seen > MOST_VALUES or len(path) > DEEPEST:
            raise Refused("is nested too deep, or holds too many values")
        items = [(name, item) for name, item in node.items() if isinstance(name, str)]
        if any(len(name) > LONGEST_NAME for name, _ in items):
            raise Refused(f"has a name of more than {LONGEST_NAME} letters")
        if any(isinstance(item, torch.Tensor) and item.dim() for _, item in items):
            found.append((".".join(path) or ".", dict(items)))
        waiting += [((*path, name), item) for name, item in items if isinstance(item, dict)]
    if not found:
        raise Refused("holds no tensors with names")
    return found


def with_mean_style(found: list[tuple[str, dict]]) -> list[tuple[str, dict]]:
    """Moves rosinality's `latent_avg`, which stands beside the networks of a file, into its generators."""
    top = dict(found).get(".", {})
    mean = top.get(MEAN_STYLE)
    if not isinstance(mean, torch.Tensor) or MAPPED in top:
        return found
    alone = not any(isinstance(item, torch.Tensor) for name, item in top.items() if name != MEAN_STYLE)
    return [
        (path, {MEAN_STYLE: mean, **tensors} if MAPPED in tensors else tensors)
        for path, tensors in found
        if path != "." or not alone
    ] or found


def choose(found: list[tuple[str, dict]], key: str | None) -> dict | None:
    """Returns the dictionary at `key`, or the only one; None if there is no single one.

    A prefix of names is a key too: "netG" of "netG.main.0.weight", with or without the path of the dictionary before it
    ("state_dict.netG") and the prefixes of wrappers ("module.netG").
    """
    paths = dict(found)
    if key is None:
        return found[0][1] if len(found) == 1 else None
    if key in paths:
        return paths[key]
    inside = [part for path, tensors in found for part in [under(key, path, tensors)] if part]
    return inside[0] if len(inside) == 1 else None


def averaged_of(found: list[tuple[str, dict]]) -> tuple[dict | None, str | None]:
    """Returns the averaged weights of BasicSR, which keeps both copies of a network in a file, and the other key."""
    paths = dict(found)
    if set(paths) != set(AVERAGED) or shapes_of(paths[AVERAGED[0]]) != shapes_of(paths[AVERAGED[1]]):
        return None, None
    return paths[AVERAGED[0]], AVERAGED[1]


def under(key: str, path: str, tensors: dict) -> dict:
    """Returns the tensors whose names start with `key`, without it."""
    tensors = {name: value for name, value in tensors.items() if isinstance(value, torch.Tensor)}
    for start in (f"{key}.", f"{key}.".removeprefix(f"{path}.")):
        for named in (tensors, without_prefix(tensors)):
            inside = {name[len(start) :]: value for name, value in named.items() if name.startswith(start)}
            if start and inside:
                return inside
    return {}


def without_prefix(tensors: dict) -> dict:
    """Removes the prefixes of wrappers from the names, where every name has them."""
    while tensors and (prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in tensors)), None)):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def shapes_of(tensors: dict) -> dict:
    """Returns names and shapes of the tensors that could be converted, of the first `MOST_TENSORS`."""
    plain = {name: value for name, value in tensors.items() if isinstance(value, torch.Tensor) and value.dim() <= 8}
    return {name: list(plain[name].shape) for name in list(plain)[:MOST_TENSORS]}


def arrays_of(job: dict) -> dict:
    """Reads .npy files, named by file, or the arrays of one .npz."""
    if job["kind"] == "npy":
        arrays = {
            name: numpy.load(path, allow_pickle=False) for name, path in zip(job["names"], job["paths"], strict=True)
        }
    else:
        with numpy.load(job["paths"][0], allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    for name, array in arrays.items():
        if not isinstance(array, numpy.ndarray) or array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
            raise Refused(f"has {short(name)} of another type than plain numbers")
    return {
        name: torch.from_numpy(numpy.array(array, dtype=array.dtype.newbyteorder("="), order="C"))
        for name, array in arrays.items()
    }


def objects_of(job: dict) -> tuple[dict, dict, dict]:
    """Reads one network of NVIDIA's pickles: its tensors and what it states; or the shapes of all, by their keys."""
    reader = beside("object_pickle")
    gc.disable()  # hundreds of thousands of objects that all stay: looking for garbage takes half of the time
    with open(job["paths"][0], "rb") as file:
        data = memoryview(file.read())
    try:
        found = reader.networks(data)
        key = job["key"] or AVERAGED_NETWORK
        if key not in found:
            others = {name: reader.tensors(network) for name, network in found.items()}
            return {}, {}, {name: described(calls) for name, calls in others.items()}
        calls = reader.tensors(found[key])
        storages: dict[int, Any] = {}
        for call in calls.values():
            held = call.arguments[0]
            if id(held) not in storages:
                storages[id(held)] = storage_of(reader.checked_storage(held))
        made = {name: view(name, storages[id(call.arguments[0])], call) for name, call in calls.items()}
        return made, {"key": key, **reader.stated(found[key])}, {}
    except reader.Refused as reason:
        raise Refused(str(reason)) from None


def beside(name: str) -> ModuleType:
    """Loads the module of that name from the folder of this file, which is not on the path."""
    place = os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, place)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def described(calls: dict) -> dict[str, list[int]]:
    """Returns the shapes that the tensors of a network claim, for the list of networks to choose from."""
    return {name: list(call.arguments[2])[:8] for name, call in calls.items() if whole(call.arguments[2])}


def whole(numbers: tuple) -> bool:
    """True for sizes or strides: at most 8 whole numbers, none below 0."""
    return len(numbers) <= 8 and all(type(number) is int and 0 <= number < MOST_NUMBERS for number in numbers)


def storage_of(data: memoryview) -> Any:
    """Returns the storage of a stream that torch.save wrote, as far as it is one."""
    storage = torch.load(io.BytesIO(data), weights_only=True, mmap=False, map_location="cpu")
    if not isinstance(storage, torch.storage.TypedStorage) or storage.dtype not in DTYPES:
        raise Refused("has a tensor whose numbers are not those of one storage")
    return storage


def view(name: str, storage: Any, call: Any) -> torch.Tensor:
    """Returns a tensor of a storage; Refused unless it lies inside: torch enlarges the storage, without a word."""
    _, offset, size, stride = call.arguments[:4]
    if not (whole((offset,)) and whole(size) and whole(stride) and len(size) == len(stride)):
        raise Refused(f"has a tensor {short(name)} whose sizes are no whole numbers from 0 on")
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    held = storage._untyped_storage
    if 0 in size or last >= held.nbytes() // storage.dtype.itemsize:
        raise Refused(f"has a tensor {short(name)} that is empty or larger than the numbers behind it")
    return torch.empty(0, dtype=storage.dtype).set_(held, offset, size, stride)


def check(tensors: dict, size: int) -> None:
    """Refuses tensors that are not plain numbers, or larger than the file."""
    if not tensors or len(tensors) > MOST_TENSORS:
        raise Refused(f"holds {len(tensors)} tensors; 1 to {MOST_TENSORS} can be converted")
    for name, tensor in tensors.items():
        if wrong := fault(tensor):
            raise Refused(f"has a tensor {short(name)} that {wrong}")
    if sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) > LARGEST_SHARE * size:
        raise Refused("has tensors that share their numbers and are together far larger than the file")


def fault(tensor: torch.Tensor) -> str | None:
    """Returns why a tensor cannot be converted, or None."""
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.is_nested:
        return "is of a class of its own"
    if tensor.layout is not torch.strided:
        return "is sparse"
    if tensor.is_meta or tensor.device.type != "cpu":
        return "has no numbers (a meta tensor)"
    if tensor.is_quantized or tensor.dtype not in DTYPES:
        return (
            f"is {'quantized' if tensor.is_quantized else str(tensor.dtype).removeprefix('torch.')}, not plain numbers"
        )
    if tensor.numel() == 0 or tensor.dim() > 8:
        return "is empty or has more than 8 dimensions"
    repeats = any(stride == 0 and length > 1 for stride, length in zip(tensor.stride(), tensor.shape, strict=True))
    if repeats or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return "is larger than the numbers behind it (a view that repeats them)"
    return None


def short(name: str) -> str:
    """Quotes and cuts a name from the file."""
    return repr(name) if len(name) <= 60 else f"{name[:57]!r}..."


if __name__ == "__main__":
    main(sys.argv[1])
