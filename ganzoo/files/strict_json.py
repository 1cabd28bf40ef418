"""Reads JSON strictly: limits of size and depth, no duplicate keys, no NaN."""

from __future__ import annotations

import io
import json
import os
from typing import Any

from ganzoo.errors import CheckpointError
from ganzoo.files.atomic import FilePath, disk_errors
from ganzoo.files.safe_open import open_regular
from ganzoo.files.text import quoted

JSON_BYTES = 4 * 2**20
JSON_DEPTH = 256


def read_bytes(path: FilePath, limit: int, *, follow: bool = True) -> bytes:
    """Reads a regular file of at most `limit` bytes; CheckpointError names the file and the problem.

    Without `follow`, a link is a problem too.
    """
    with open_regular(path, follow=follow) as raw, disk_errors(f"{path} cannot be read", CheckpointError):
        size = os.fstat(raw.fileno()).st_size
        with io.BufferedReader(raw) as file:  # unclosed, it warns of a resource where Python shows such warnings
            data = file.read(min(size, limit) + 1)
    if len(data) > limit:
        raise CheckpointError(f"{path} is too large: more than {limit} bytes.")
    return data


def read_json(path: FilePath, limit: int = JSON_BYTES, depth: int = JSON_DEPTH, *, follow: bool = True) -> Any:
    """Reads a JSON file with `read_bytes` and `parse_json`."""
    return parse_json(read_bytes(path, limit, follow=follow), path, depth)


def parse_json(data: bytes, source: FilePath, depth: int = JSON_DEPTH) -> Any:
    """Parses UTF-8 JSON; CheckpointError names `source` and the problem.

    It refuses what Python's parser accepts: duplicate keys, NaN, overflow, a byte-order mark, nesting over `depth`.
    """
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise CheckpointError(f"{source} starts with a byte-order mark; save it as plain UTF-8.")
    if not data.strip():
        raise CheckpointError(f"{source} is empty.")
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_refuse_constant, parse_float=_finite
        )
    except RecursionError:
        raise CheckpointError(f"{source} is nested too deep.") from None
    except UnicodeDecodeError:
        raise CheckpointError(f"{source} is not UTF-8 text.") from None
    except ValueError as problem:
        raise CheckpointError(f"{source} is not valid JSON: {problem}.") from None
    if _deeper_than(value, depth):
        raise CheckpointError(f"{source} is nested too deep: more than {depth} levels.")
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {quoted(key)} is there twice")
        result[key] = value
    return result


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {quoted(text)} is too large")
    return value


def _deeper_than(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth + 1):
        level = [child for node in level for child in _children(node)]
        if not level:
            return False
    return True


def _children(node: Any) -> Any:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()
