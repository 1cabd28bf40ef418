"""A corpus of files that are not the model.safetensors they are given as, each with a word of the refusal's reason."""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from models import file_of

SHAPES = {"a.weight": [2, 3], "a.bias": [3], "count": []}
DATA = struct.pack("<9fq", *[0.5 * number for number in range(9)], 7)
NAN, INFINITY = struct.pack("<f", float("nan")), struct.pack("<f", float("inf"))
CANARY = b"touch canary"


def header(**changes) -> dict:
    """A right header; `changes` replace fields of a.weight, one that is None is left out."""
    entry = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]} | changes
    right = (
        {"dtype": "F32", "shape": [3], "data_offsets": [24, 36]},
        {"dtype": "I64", "shape": [], "data_offsets": [36, 44]},
    )
    first = {key: value for key, value in entry.items() if value is not None}
    return {"__metadata__": {"format": "pt"}, "a.weight": first, "a.bias": right[0], "count": right[1]}


def good() -> bytes:
    return file_of(header(), DATA)


def entries(tensors: dict[str, tuple[str, list[int]]]) -> bytes:
    """A file that is right in itself, with zeros in these tensors."""
    sizes = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1}
    found, position = {}, 0
    for name, (dtype, shape) in tensors.items():
        length = sizes[dtype]
        for side in shape:
            length *= side
        found[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + length]}
        position += length
    return file_of(found, bytes(position))


def with_name(name: str) -> bytes:
    return entries({name: ("F32", [2, 3]), "a.bias": ("F32", [3]), "count": ("I64", [])})


def text(value: str, data: bytes = DATA) -> bytes:
    return file_of(value, data)


def archive(names: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, content in names.items():
            packed.writestr(name, content)
    return buffer.getvalue()


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as packed:
        packed.addfile(tarfile.TarInfo("weights"), io.BytesIO())
    return buffer.getvalue()


def sparse(size: int, length: int) -> Callable[[Path], None]:
    """A file that takes no room: a header that claims `length` bytes, and zeros."""

    def write(path: Path) -> None:
        with open(path, "wb") as file:
            file.write(struct.pack("<Q", length) + b"{")
            file.truncate(size)

    return write


def truncations() -> dict:
    whole = good()
    cuts = {"nothing": 0, "five bytes": 5, "length alone": 8, "half a header": 60}
    cuts |= {"no data": len(whole) - len(DATA), "a byte short": len(whole) - 1}
    found = {f"truncated: {name}": (whole[:cut], "truncated|empty") for name, cut in cuts.items()}
    appended = {"a byte": b"\0", "a zip": archive({"x": b"y"}), "zeros": bytes(4096), "another file": whole}
    return found | {
        f"appended: {name}": (whole + more, "bytes follow the last tensor") for name, more in appended.items()
    }


def lengths() -> dict:
    whole = good()
    claims = {
        0: "would be 0 bytes",
        1: "would be 1 bytes",
        2: "JSON",
        2**63: "would be",
        2**64 - 1: "would be",
        5 * 2**20: "would be",
    }
    claims |= {
        len(whole): "truncated",
        len(whole) - 8: "JSON|UTF-8",
        len(whole) - len(DATA) - 9: "JSON",
        2**22: "truncated",
    }
    return {f"length {claim}": (struct.pack("<Q", claim) + whole[8:], why) for claim, why in claims.items()}


def not_a_header() -> dict:
    plain = json.dumps(header())
    texts = {
        "words": "not json at all",
        "a list": "[]",
        "a number": "12",
        "null": "null",
        "a string": '"x"',
        "leading space": " " + plain,
        "trailing comma": plain[:-1] + ",}",
        "single quotes": plain.replace('"', "'"),
        "cut": plain[:-1],
        "two objects": plain + plain,
        "byte-order mark": "\ufeff" + plain,
        "comment": "/**/" + plain,
    }
    found = {f"not a header: {name}": (text(value), "JSON") for name, value in texts.items()}
    found["not a header: nested 100000"] = (text('{"a":' * 100_000 + "1" + "}" * 100_000), "more than|nested")
    found["not a header: nested 900"] = (text('{"a":' * 900 + "1" + "}" * 900), "nested|must have")
    found["not a header: not UTF-8"] = (file_of(b'{"\xff\xfe":1}', DATA), "UTF-8")
    found["not a header: UTF-16"] = (file_of(plain.encode("utf-16"), DATA), "JSON")
    for name, number in {"NaN": "NaN", "infinity": "Infinity", "1e400": "1e400", "5000 digits": "9" * 5000}.items():
        found[f"not a header: {name}"] = (text(plain.replace("[0, 24]", f"[0, {number}]")), "JSON")
    twice = {"a field": plain.replace('"dtype"', '"dtype":"F32","dtype"', 1)}
    twice["a tensor"] = plain[:-1] + ',"count":' + json.dumps(header()["count"]) + "}"
    return found | {f"twice: {name}": (text(value), "is there twice") for name, value in twice.items()}


def wrong_fields() -> dict:
    offsets = [
        [0, 23],
        [0, 25],
        [-24, 0],
        [24, 0],
        [0.0, 24.0],
        ["0", "24"],
        [False, 24],
        [0],
        [0, 12, 24],
        {},
        None,
        24,
    ]
    offsets += [[0, 2**63], [2**63, 2**63 + 24], [0, 2**70], [None, 24], [[0], [24]]]
    shapes = [[2, -3], [2.0, 3], ["2", 3], [True, 6], [1] * 9, [6, 6], [2**32, 2**32], [2**31, 2**31, 4]]
    shapes += [[[2, 3]], [None], {}, "23", None, [0, 3]]
    dtypes = ["F33", "f32", "", "F64", "F8_E4M3", "F8_E5M2", "U16", "C64", "float32", 3, [], {}, "F32" * 1000, None]
    found = {
        f"offsets {value}": (file_of(header(data_offsets=value), DATA), "data_offsets|instead of|bytes")
        for value in offsets
    }
    found |= {f"shape {value}": (file_of(header(shape=value), DATA), "shape|needs|must have") for value in shapes}
    found |= {f"dtype {str(value)[:20]}": (file_of(header(dtype=value), DATA), "dtype|must have") for value in dtypes}
    found["field too many"] = (file_of(header(strides=[3, 1]), DATA), "nothing else")
    for name, entry in {"number": 1, "list": [], "null": None, "string": "F32"}.items():
        found[f"entry is a {name}"] = (file_of(header() | {"count": entry}, DATA), "must have")
    metadata = {"a number": {"a": 1}, "nested": {"a": {"b": "c"}}, "a list": [], "text": "pt", "null": None}
    for name, value in metadata.items():
        found[f"metadata {name}"] = (file_of(header() | {"__metadata__": value}, DATA), "text alone")
    return found


def too_much() -> dict:
    many = json.dumps(
        {f"t{number}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(25_000)}
    )
    return {
        "25000 tensors": (text(many, b""), "more than the 20000"),
        "4 MB of empty lists": (text('{"a":[' + "[]," * 1_300_000 + "[]]}", b""), "more than the 20000"),
        "4 MB of numbers": (text('{"a":[' + "0," * 2_000_000 + "0]}", b""), "more than the 20000"),
        "4 MB of keys": (
            text("{" + ",".join(f'"{number}":0' for number in range(350_000)) + "}", b""),
            "more than the 20000",
        ),
        "20 MB of metadata": (text(json.dumps({"__metadata__": {"a": "x" * 20_000_000}}), b""), "would be"),
        "a header of 100 MB": (sparse(200_000_000, 100_000_000), "would be"),
        "a header of 4 MB of zeros": (sparse(200_000_000, 4_000_000), "JSON"),
        "10 GB of data": (sparse(10 * 2**30, 100), "JSON"),
    }


def layouts() -> dict:
    def at(*places):
        named = zip("abcd", places, strict=False)
        return file_of(
            {name: {"dtype": "F32", "shape": [1], "data_offsets": list(place)} for name, place in named}, bytes(16)
        )

    found = {
        "overlap": (at((0, 4), (0, 4), (4, 8), (8, 12)), "overlaps"),
        "overlap by a byte": (at((0, 4), (3, 7), (7, 11), (11, 15)), "overlaps"),
        "hole": (at((0, 4), (8, 12), (12, 16)), "hole"),
        "hole at the start": (at((4, 8), (8, 12), (12, 16)), "hole"),
        "hole at the end": (at((0, 4), (4, 8)), "follow the last"),
        "beyond the end": (at((0, 4), (4, 8), (8, 12), (16, 20)), "hole"),
        "tensors that are not there": (at((0, 4), (4, 8), (8, 12), (12, 16))[:-4], "truncated"),
    }
    names = {
        "path": "../../etc/passwd",
        "NUL": "a\0b",
        "a megabyte": "x" * 1_000_000,
        "empty": "",
        "dunder": "__class__",
    }
    names["escape"] = "\x1b[2J\n\r"
    found |= {f"name: {name}": (with_name(value), "2 tensors differ.*is unknown") for name, value in names.items()}
    return found


def other_tensors() -> dict:
    right = {"a.weight": ("F32", [2, 3]), "a.bias": ("F32", [3]), "count": ("I64", [])}
    changed = {
        "missing": ({name: right[name] for name in ("a.weight", "count")}, "1 tensor differs: 'a.bias' is missing"),
        "all missing": ({}, "3 tensors differ"),
        "extra": (right | {"b": ("F32", [1])}, "1 tensor differs: 'b' is unknown"),
        "an empty extra": (right | {"b": ("F32", [0])}, "'b' is unknown"),
        "renamed": (
            {"weight": right["a.weight"], "a.bias": right["a.bias"], "count": right["count"]},
            "2 tensors differ",
        ),
        "transposed": (right | {"a.weight": ("F32", [3, 2])}, r"'a.weight' is \(3, 2\), not \(2, 3\)"),
        "flat": (right | {"a.weight": ("F32", [6])}, r"is \(6,\), not"),
        "one more dimension": (right | {"a.weight": ("F32", [1, 2, 3])}, r"is \(1, 2, 3\), not"),
        "bigger": (right | {"a.weight": ("F32", [2000, 3000])}, r"is \(2000, 3000\), not"),
        "float16": (right | {"a.weight": ("F16", [2, 3])}, "stored as F16; it must be float32"),
        "bfloat16": (right | {"a.weight": ("BF16", [2, 3])}, "stored as BF16"),
        "int32 for floats": (right | {"a.weight": ("I32", [2, 3])}, "stored as I32"),
        "int32 for int64": (right | {"count": ("I32", [])}, "stored as I32; it must be int64"),
        "floats for int64": (right | {"count": ("F32", [])}, "stored as F32"),
    }
    found = {f"tensors: {name}": (entries(tensors), why) for name, (tensors, why) in changed.items()}
    for name, value in {"nan": NAN, "infinity": INFINITY, "minus infinity": struct.pack("<f", float("-inf"))}.items():
        found[f"{name} in a weight"] = (file_of(header(), value + DATA[4:]), "not finite in 'a.weight'")
    found["nan in the last number"] = (file_of(header(), DATA[:32] + NAN + DATA[36:]), "not finite in 'a.bias'")
    return found


def other_kinds() -> dict:
    pickles = {
        0: b"cos\nsystem\n(S'" + CANARY + b"'\ntR.",
        1: b"}q\x00(X\x01\x00\x00\x00aq\x01K\x01u.",
        2: b"\x80\x02cposix\nsystem\nX\x0c\x00\x00\x00" + CANARY + b"\x85R.",
        4: b"\x80\x04\x95\x20\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93\x8c\x0c" + CANARY + b"\x85R.",
        5: b"\x80\x05}\x94\x8c\x01a\x94K\x01s.",
    }
    found = {
        f"pickle of protocol {number}": (content, "a pickle.*ganzoo convert") for number, content in pickles.items()
    }
    found |= {
        "old torch": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "a pickle.*ganzoo convert"),
        "pickle of a dict in text": (b"(dp0\nVa\np1\nI1\ns.", "a pickle"),
        "torch": (
            archive({"archive/data.pkl": pickles[2], "archive/data/0": b"\0" * 64}),
            "torch checkpoint.*ganzoo convert",
        ),
        "npz": (archive({"a.npy": b"\x93NUMPY\x01\0"}), "numpy.*ganzoo convert"),
        "zip": (archive({"readme.txt": b"x"}), "zip archive"),
        "zip bomb": (archive({"zeros": b"\0" * 1000}), "zip archive"),
        "gzip": (gzip.compress(good(), mtime=0), "compressed"),
        "tar": (tar(), "tar archive"),
        "npy": (b"\x93NUMPY\x01\0v\0{'descr': '<f4'}", "numpy array"),
        "HTML": (b"<!DOCTYPE html>\n<html><body>404</body></html>", "web page"),
        "html without a doctype": (b"\n\n<HTML><head>" + b" " * 100, "web page"),
        "LFS pointer": (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n",
            "Git LFS pointer",
        ),
        "JSON error": (b'{"error": "Repository not found"}', "JSON text"),
        "PNG": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(20), "picture"),
        "JPEG": (b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(20), "picture"),
        "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(20), "HDF5"),
        "zeros": (bytes(5000), "nothing but zeros"),
        "random": (random.Random(3).randbytes(5000), "not valid safetensors"),
        "line ends translated": (good().replace(b"}", b"}\r\n"), "JSON|truncated|must have|follow"),
    }
    return found


def corpus() -> dict[str, tuple[bytes | Callable[[Path], None], str]]:
    """Every case by name: what lies in the file, and the reason (a regular expression) it must be refused with."""
    parts = (
        truncations(),
        lengths(),
        not_a_header(),
        wrong_fields(),
        too_much(),
        layouts(),
        other_tensors(),
        other_kinds(),
    )
    return {name: case for part in parts for name, case in part.items()}
