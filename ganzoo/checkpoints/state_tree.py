"""Converts nested training state to JSON and a flat set of tensors, and back, exactly."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ganzoo.errors import CheckpointError
from ganzoo.files.text import quoted

Tree = Any  # nested dict, list, tuple, int, float, str, bool, None, torch.Tensor; the keys of a dict are str or int
DEPTH = 64
FLOATS = ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "complex64")
INTEGERS = ("int64", "int32", "int16", "int8", "uint8", "bool")
DTYPES = frozenset(getattr(torch, name) for name in (*FLOATS, *INTEGERS))
INTEGER_BITS = 8192  # Python reads no number of more than 4300 digits


def encode(tree: Tree, tensors: dict[str, torch.Tensor] | None, path: str = "", depth: int = 0) -> Any:
    """Returns `tree` as plain JSON and puts its tensors into `tensors`, each under its dotted path.

    A value that JSON lacks becomes a dict with one key that begins with "$". Raises CheckpointError for a value of any
    other type, nesting over 64 levels, or a tensor where `tensors` is None.
    """
    kind = type(tree)
    if depth > DEPTH:
        raise CheckpointError(f"{quoted(path)} is nested more than {DEPTH} levels deep and cannot be saved.")
    if tree is None or kind in (bool, str) or kind is int and tree.bit_length() <= INTEGER_BITS:
        return tree
    if kind is float:
        return tree if math.isfinite(tree) else {"$float": repr(tree)}
    if isinstance(tree, torch.Tensor) and tensors is not None:
        return _encode_tensor(tree, tensors, path)
    if kind in (list, tuple):
        nodes = [encode(child, tensors, _join(path, index), depth + 1) for index, child in enumerate(tree)]
        return nodes if kind is list else {"$tuple": nodes}
    if isinstance(tree, dict) and all(type(key) in (str, int) for key in tree):
        pairs = [[key, encode(child, tensors, _join(path, key), depth + 1)] for key, child in tree.items()]
        plain = all(type(key) is str and not key.startswith("$") for key in tree)
        return dict(pairs) if plain else {"$dict": pairs}
    raise CheckpointError(
        f"{quoted(path)} is a {kind.__module__}.{kind.__qualname__}; saved are only tensors, None, bool, int, float, "
        "str, list, tuple, and dict with str or int keys. Convert it in state_dict()."
    )


def _join(path: str, key: str | int) -> str:
    return f"{path}.{key}" if path else str(key)


def _encode_tensor(tensor: torch.Tensor, tensors: dict[str, torch.Tensor], path: str) -> dict:
    tensor = tensor.detach()
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
        raise CheckpointError(f"{quoted(path)} is not a dense tensor with data and cannot be saved.")
    if tensor.dtype not in DTYPES:
        raise CheckpointError(f"{quoted(path)} has dtype {tensor.dtype}, which safetensors cannot hold.")
    name = (path or "tensor").encode("utf-8", "backslashreplace").decode()
    while name in tensors or name == "__metadata__":  # {"a.b": x, "a": {"b": y}} gives one path to two tensors
        name += "'"
    tensors[name] = tensor
    # The layout is state: fused Adam pairs a channels_last weight with its moments by address, and would otherwise
    # update the wrong ones.
    stride = list(tensor.stride())
    usual = stride == list(torch.empty(tensor.shape, device="meta").stride())
    if usual or not tensor.numel() or not _is_dense(tensor.shape, stride):
        return {"$tensor": name}
    return {"$tensor": name, "stride": stride}


def _is_dense(shape: Sequence[int], stride: Sequence[int]) -> bool:
    expected = 1
    for step, size in sorted((step, size) for step, size in zip(stride, shape, strict=True) if size > 1):
        if step != expected:
            return False
        expected *= size
    return True


def decode(node: Any, take: Callable[[str, list | None], Any]) -> Tree:
    """Returns the tree of a JSON `node`; `take(name, stride)` returns each tensor.

    CheckpointError for JSON that `encode` never writes.
    """
    if isinstance(node, list):
        return [decode(child, take) for child in node]
    if not isinstance(node, dict):
        return node
    if not any(key.startswith("$") for key in node):
        return {key: decode(child, take) for key, child in node.items()}
    match node:
        case {"$float": "inf" | "-inf" | "nan" as text, **rest} if not rest:
            return float(text)
        case {"$tuple": list(children), **rest} if not rest:
            return tuple(decode(child, take) for child in children)
        case {"$dict": list(pairs), **rest} if not rest:
            return _decode_pairs(pairs, take)
        case {"$tensor": str(name), **rest} if not rest:
            return take(name, None)
        case {"$tensor": str(name), "stride": list(stride), **rest} if not rest:
            return take(name, stride)
    raise CheckpointError(f"{quoted(node)} is no value that a checkpoint holds")


def _decode_pairs(pairs: list, take: Callable[[str, list | None], Any]) -> dict:
    result: dict[str | int, Any] = {}
    for pair in pairs:
        if not (isinstance(pair, list) and len(pair) == 2 and type(pair[0]) in (str, int)) or pair[0] in result:
            raise CheckpointError(f"{quoted(pair)} is no new key with its value")
        result[pair[0]] = decode(pair[1], take)
    return result


def with_stride(tensor: torch.Tensor, stride: list | None) -> torch.Tensor:
    """Returns the tensor in the memory layout that `encode` noted; CheckpointError if it does not fit the shape."""
    if stride is None:
        return tensor
    fits = len(stride) == tensor.dim() and all(type(step) is int and 0 <= step < 2**62 for step in stride)
    if not fits or not _is_dense(tensor.shape, stride):
        raise CheckpointError(f"the stride {quoted(stride)} does not fit a tensor of shape {tuple(tensor.shape)}")
    return torch.empty_strided(tensor.shape, stride, dtype=tensor.dtype).copy_(tensor)
