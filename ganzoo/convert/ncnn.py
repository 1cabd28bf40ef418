"""Reads models of ncnn: a text of layers (.param) and their numbers (.bin), as tensors in the order of the layers.

Format: github.com/Tencent/ncnn/wiki/param-and-model-file-structure. Both files are untrusted: every count of the text
is checked against the other lines and against the size of the .bin before an array is made. Torch-free.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy

from ganzoo.errors import CheckpointError
from ganzoo.files.strict_json import read_bytes
from ganzoo.files.text import quoted

MAGIC = "7767517"
PARAM_BYTES = 4 * 2**20
MOST_LAYERS = 20_000
BIN_BYTES = 2 * 2**30
LARGEST_SCALE, MOST_CHANNELS = 8, 4096  # of a blob: a graph is computed once, on a small image
FLOAT16, FLOAT32 = 0x01306B47, 0  # flags before the weights of a convolution
ARRAY = -23300  # keys from here down hold "count,value,..."
COUNT = re.compile(r"\d{1,9}")
NUMBER = re.compile(r"-?\d{1,10}|-?\d{0,20}\.?\d{1,20}(?:e[+-]?\d{1,3})?", re.ASCII | re.I)
PLAIN, LEAKY = 0, 2  # activations that a convolution may have inside; 1 is ReLU
# Keys that a layer may have, with the only values that are read, or None for any.
KEYS: dict[str, dict[int, tuple[float, ...] | None]] = {
    "Input": {0: None, 1: None, 2: None},
    "Split": {},
    "Concat": {0: (0,)},
    "Eltwise": {0: (1,), 1: None},
    "BinaryOp": {0: (0,), 1: (0,)},
    "Interp": {0: (1, 2, 3), 1: None, 2: None, 3: (0,), 4: (0,), 5: (0,), 6: (0,)},
    "PixelShuffle": {0: None, 1: (0,)},
    "ReLU": {0: None},
    "PReLU": {0: None},
    "Convolution": {
        **{0: None, 1: None, 11: None, 2: (1,), 12: (1,), 3: (1,), 13: (1,), 4: None, 14: None, 15: None, 16: None},
        **{18: (0,), 5: (0, 1), 6: None, 7: (1,), 8: (0,), 9: (0, 1, 2), 10: None, 19: (0,)},
    },
}


@dataclass(frozen=True)
class Layer:
    """One line of a .param: a layer, the blobs that it reads and makes, and its values by key."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    values: dict[int, float]
    arrays: dict[int, tuple[float, ...]]

    def number(self, key: int, default: float = 0) -> float:
        """Returns the value of a key, or what ncnn takes where it is left out."""
        return self.values.get(key, default)

    def whole(self, key: int, least: int = 1) -> int:
        """Returns a whole number of at least `least`."""
        value = self.values.get(key)
        if value is None or value != int(value) or value < least:
            said = "is missing" if value is None else f"is {value:g}, not a whole number of {least} or more"
            raise _Wrong(f"layer {quoted(self.name)}: {key} {said}")
        return int(value)


@dataclass(frozen=True)
class Graph:
    """The layers of a model in their order, with the arrays of those that hold numbers by `name` of the layer."""

    layers: tuple[Layer, ...]
    arrays: dict[str, dict[str, numpy.ndarray]] = field(default_factory=dict)

    def tensors(self) -> dict[str, numpy.ndarray]:
        """Returns the arrays as "0.convolution.weight", "0.convolution.bias", "1.prelu.weight", ..., in their order."""
        held = [layer for layer in self.layers if layer.name in self.arrays]
        return {
            f"{number}.{layer.kind.lower()}.{which}": array
            for number, layer in enumerate(held)
            for which, array in self.arrays[layer.name].items()
        }


class _Wrong(Exception):
    """What is wrong with a file, after its name in a sentence."""


def read_graph(param: Path, binary: Path) -> Graph:
    """Reads both files; CheckpointError names the one that is damaged and the first thing wrong with it."""
    text, data = read_bytes(param, limit=PARAM_BYTES), read_bytes(binary, limit=BIN_BYTES)
    try:
        layers = parse(text)
        shapes = _shapes(layers)
    except _Wrong as wrong:
        raise CheckpointError(f"{param}: {wrong}.") from None
    try:
        return Graph(layers, _arrays(shapes, data))
    except _Wrong as wrong:
        raise CheckpointError(f"{binary}: {wrong}.") from None


def parse(text: bytes) -> tuple[Layer, ...]:
    """Parses the text of a .param."""
    try:
        lines = [line.strip() for line in text.decode("utf-8").split("\n")]
    except UnicodeDecodeError:
        raise _Wrong("is not UTF-8 text (ncnn's binary .param.bin is not read: give the .param)") from None
    while lines and not lines[-1]:
        lines.pop()
    if not lines or lines[0] != MAGIC:
        raise _Wrong(f"does not start with {MAGIC}, as a .param of ncnn does")
    counts = lines[1].split() if len(lines) > 1 else []
    if len(counts) != 2 or not all(COUNT.fullmatch(count) for count in counts):
        raise _Wrong("line 2 must hold the numbers of layers and blobs")
    stated, blobs = map(int, counts)
    if stated != len(lines) - 2 or stated > MOST_LAYERS:
        raise _Wrong(f"states {stated} layers and holds {len(lines) - 2}; at most {MOST_LAYERS} are read")
    layers = tuple(_layer(line, number) for number, line in enumerate(lines[2:], 3))
    if (made := _blobs(layers)) != blobs:
        raise _Wrong(f"states {blobs} blobs and its layers make {made}")
    return layers


def _blobs(layers: tuple[Layer, ...]) -> int:
    """Returns the number of blobs, each of which one layer makes, and at most one after it reads."""
    made: set[str] = set()
    unread: set[str] = set()
    names: set[str] = set()
    for layer in layers:
        if layer.name in names:
            raise _Wrong(f"has two layers called {quoted(layer.name)}")
        for name in layer.inputs:
            if name not in unread:
                said = "another layer reads already" if name in made else "no layer before it makes"
                raise _Wrong(f"layer {quoted(layer.name)} reads {quoted(name)}, which {said}")
            unread.remove(name)
        for name in layer.outputs:
            if name in made:
                raise _Wrong(f"layer {quoted(layer.name)} makes {quoted(name)}, which is there already")
            made.add(name)
            unread.add(name)
        names.add(layer.name)
    return len(made)


def _layer(line: str, number: int) -> Layer:
    """Parses one line: type, name, numbers of inputs and outputs, their names, and `key=value`."""
    words = line.split()
    if len(words) < 4 or not all(COUNT.fullmatch(word) for word in words[2:4]):
        raise _Wrong(f"line {number} is no layer: type, name, numbers of inputs and outputs")
    kind, name, first, last = words[0], words[1], int(words[2]), int(words[3])
    if kind not in KEYS:
        raise _Wrong(f"layer {quoted(name)} is of the type {quoted(kind)}; read are {', '.join(KEYS)}")
    if len(words) < 4 + first + last:
        raise _Wrong(f"line {number} states {first} inputs and {last} outputs and does not name them")
    blobs, pairs = words[4 : 4 + first + last], words[4 + first + last :]
    values: dict[int, float] = {}
    arrays: dict[int, tuple[float, ...]] = {}
    for pair in pairs:
        key, _, text = pair.partition("=")
        parts = text.split(",")
        if not re.fullmatch(r"-?\d{1,5}", key, re.ASCII) or not all(NUMBER.fullmatch(part) for part in parts):
            raise _Wrong(f"line {number} has {quoted(pair)}, which is no key=value of numbers")
        is_array = int(key) <= ARRAY
        place = ARRAY - int(key) if is_array else int(key)
        if place not in KEYS[kind] or place in values or place in arrays:
            again = "again" if place in KEYS[kind] else "which is not read"
            raise _Wrong(f"layer {quoted(name)} ({kind}) has the key {key} {again}")
        numbers = tuple(float(part) for part in parts)
        if not all(map(math.isfinite, numbers)):
            raise _Wrong(f"line {number}: {quoted(pair)} is not finite")
        if (is_array and numbers[0] != len(numbers) - 1) or (not is_array and len(numbers) != 1):
            raise _Wrong(f"line {number}: {quoted(pair)} does not hold as many numbers as it states")
        allowed = KEYS[kind][place]
        if allowed is not None and (is_array or numbers[0] not in allowed):
            read = " or ".join(f"{one:g}" for one in allowed)
            raise _Wrong(f"layer {quoted(name)} ({kind}) has {quoted(pair)}; read is {read}")
        if is_array:
            arrays[place] = numbers[1:]
        else:
            values[place] = numbers[0]
    return Layer(kind, name, tuple(blobs[:first]), tuple(blobs[first:]), values, arrays)


Shape = tuple[int, ...]


def _shapes(layers: tuple[Layer, ...]) -> dict[str, dict[str, Shape]]:
    """Returns the shapes that layers hold, by name, after a walk through the graph with channels and sizes."""
    blobs: dict[str, tuple[int | None, Fraction]] = {}
    held: dict[str, dict[str, Shape]] = {}
    for layer in layers:
        least, most = ARITY.get(layer.kind, (1, 1))
        if not least <= len(layer.inputs) <= most or not layer.outputs:
            raise _Wrong(f"layer {quoted(layer.name)} ({layer.kind}) has {len(layer.inputs)} inputs")
        if len(layer.outputs) > 1 and layer.kind != "Split":
            raise _Wrong(f"layer {quoted(layer.name)} ({layer.kind}) has {len(layer.outputs)} outputs")
        inputs = [blobs[name] for name in layer.inputs]
        if len({size for _, size in inputs}) > 1:
            raise _Wrong(f"layer {quoted(layer.name)} joins images of different sizes")
        channels, size = _walked(layer, inputs)
        if size > LARGEST_SCALE or (channels or 0) > MOST_CHANNELS:
            raise _Wrong(
                f"layer {quoted(layer.name)} makes {channels} channels of {float(size):g} times the size; up to "
                f"{MOST_CHANNELS} of {LARGEST_SCALE} times are read"
            )
        if layer.kind in HOLDERS:
            held[layer.name] = HOLDERS[layer.kind](layer, inputs[0][0])
        blobs |= dict.fromkeys(layer.outputs, (channels, size))
    if not held:
        raise _Wrong("has no layer that holds numbers")
    return held


def _walked(layer: Layer, inputs: list[tuple[int | None, Fraction]]) -> tuple[int | None, Fraction]:
    """Returns the channels of a layer's output, if the graph says them, and its size in sizes of the input."""
    if layer.kind == "Input":
        return None, Fraction(1)
    channels, size = inputs[0]
    if layer.kind == "Convolution":
        return layer.whole(0), size
    if layer.kind in ("Concat", "PixelShuffle") and any(count is None for count, _ in inputs):
        raise _Wrong(f"layer {quoted(layer.name)} ({layer.kind}) stands before the first convolution")
    if layer.kind == "Concat":
        return sum(count or 0 for count, _ in inputs), size
    if layer.kind == "PixelShuffle":
        factor = layer.whole(0)
        if (channels or 0) % factor**2:
            raise _Wrong(f"layer {quoted(layer.name)} shuffles {channels} channels by {factor}")
        return (channels or 0) // factor**2, size * factor
    if layer.kind == "Interp":
        layer.whole(0)  # the kind of interpolation
        times = Fraction(layer.number(1, 1)).limit_denominator(64)
        if not 0 < times <= 16 or layer.number(1, 1) != layer.number(2, 1):
            raise _Wrong(f"layer {quoted(layer.name)} resizes by {layer.number(1, 1):g} and {layer.number(2, 1):g}")
        return channels, size * times
    if layer.kind in ("Eltwise", "BinaryOp") and len({count for count, _ in inputs if count is not None}) > 1:
        raise _Wrong(f"layer {quoted(layer.name)} adds images of different channels")
    return channels, size


def _of_convolution(layer: Layer, channels: int | None) -> dict[str, Shape]:
    """Returns the shapes of a convolution of stride 1 that keeps the size of images."""
    out, kernel, count = layer.whole(0), layer.whole(1), layer.whole(6)
    paddings = {layer.number(key, layer.number(4)) for key in (4, 14, 15, 16)}
    if kernel % 2 == 0 or layer.number(11, kernel) != kernel or paddings != {kernel // 2}:
        raise _Wrong(f"layer {quoted(layer.name)} must have an odd square kernel and keep the size of images")
    before, rest = divmod(count, out * kernel**2)
    if rest or not before or channels not in (None, before):
        said = f"{channels} channels" if channels is not None else "a whole number of channels"
        raise _Wrong(f"layer {quoted(layer.name)} states {count} numbers, and {out} kernels of {said} have others")
    if layer.number(9) == LEAKY and len(layer.arrays.get(10, ())) != 1:
        raise _Wrong(f"layer {quoted(layer.name)} has a leaky ReLU without one slope (-23310)")
    return {"weight": (out, before, kernel, kernel), **({"bias": (out,)} if layer.number(5) else {})}


def _of_prelu(layer: Layer, channels: int | None) -> dict[str, Shape]:
    slopes = layer.whole(0)
    if channels is not None and slopes not in (1, channels):
        raise _Wrong(f"layer {quoted(layer.name)} states {slopes} slopes for {channels} channels")
    return {"weight": (slopes,)}


HOLDERS: dict[str, Callable[[Layer, int | None], dict[str, Shape]]] = {
    "Convolution": _of_convolution,
    "PReLU": _of_prelu,
}
ARITY = {"Input": (0, 0), "Concat": (1, 1000), "Eltwise": (2, 1000), "BinaryOp": (2, 2)}  # others have one input


def _arrays(shapes: dict[str, dict[str, Shape]], data: bytes) -> dict[str, dict[str, numpy.ndarray]]:
    """Cuts the numbers out of a .bin, whose size must be what the shapes ask for, to the byte."""
    places = list(_places(shapes, data))
    found: dict[str, dict[str, numpy.ndarray]] = {}
    for layer, which, start, kind in places:
        shape = shapes[layer][which]
        array = numpy.frombuffer(data, kind, math.prod(shape), start).reshape(shape)
        found.setdefault(layer, {})[which] = array.astype(array.dtype.newbyteorder("="))  # a copy, aligned and writable
    return found


def _places(shapes: dict[str, dict[str, Shape]], data: bytes) -> Iterator[tuple[str, str, int, str]]:
    """Yields layer, tensor, start in the file and type of every array, once all are known to fit."""
    found, place = [], 0
    for layer, tensors in shapes.items():
        for which, shape in tensors.items():
            kind = "<f4"
            if which == "weight" and len(shape) == 4:
                if place + 4 > len(data):
                    raise _Wrong(f"ends before the numbers of layer {quoted(layer)}")
                flag = struct.unpack_from("<I", data, place)[0]
                if flag not in (FLOAT16, FLOAT32):
                    raise _Wrong(
                        f"layer {quoted(layer)} has the flag {flag:#010x} at byte {place}, not that of float16 or "
                        "float32: the file is damaged, quantized, or not of this .param"
                    )
                kind, place = ("<f2" if flag == FLOAT16 else "<f4"), place + 4
            size = math.prod(shape) * int(kind[-1])
            if size > len(data) - place:
                raise _Wrong(
                    f"has {len(data)} bytes; the {which} {shape} of layer {quoted(layer)} would end at {place + size}"
                )
            found.append((layer, which, place, kind))
            place += size + -size % 4
    if place != len(data):
        raise _Wrong(f"has {len(data)} bytes, and the layers of its .param end at {place}")
    yield from found
