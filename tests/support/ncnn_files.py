"""Writes small models in the form of ncnn: a compact network for super-resolution as text and numbers."""

from __future__ import annotations

import struct
from pathlib import Path

import torch
from torch import Tensor

HALF = struct.pack("<I", 0x01306B47)


def compact_tensors(width: int = 4, convolutions: int = 1, scale: int = 2, channels: int = 3) -> dict[str, Tensor]:
    """Random tensors by the names of SRVGGNetCompact, exact in half precision."""
    random = torch.Generator().manual_seed(5)
    widths = [channels, *[width] * (convolutions + 1), channels * scale**2]
    found: dict[str, Tensor] = {}
    for number, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
        found[f"body.{2 * number}.weight"] = (torch.randn(after, before, 3, 3, generator=random) / 10).half().float()
        found[f"body.{2 * number}.bias"] = torch.randn(after, generator=random) / 10
        if number <= convolutions:
            found[f"body.{2 * number + 1}.weight"] = torch.rand(after, generator=random) / 2
    return found


def compact_lines(width: int = 4, convolutions: int = 1, scale: int = 2, channels: int = 3) -> list[str]:
    """The layers of such a network as onnx2ncnn writes them."""
    widths = [channels, *[width] * (convolutions + 1), channels * scale**2]
    lines, last = ["Input in 0 1 data", "Split two 1 2 data image base"], "image"
    for number, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
        lines.append(f"Convolution conv{number} 1 1 {last} c{number} 0={after} 1=3 4=1 5=1 6={before * after * 9}")
        last = f"c{number}"
        if number <= convolutions:
            lines.append(f"PReLU prelu{number} 1 1 {last} p{number} 0={after}")
            last = f"p{number}"
    lines += [f"PixelShuffle shuffle 1 1 {last} large 0={scale}"]
    lines += [f"Interp resize 1 1 base nearest 0=1 1={scale}.000000e+00 2={scale}.000000e+00"]
    return [*lines, "BinaryOp add 2 1 large nearest output"]


def param(lines: list[str], layers: int | str | None = None, blobs: int | str | None = None) -> bytes:
    """The text of a .param, whose second line is right unless it is given."""
    made = sum(int(line.split()[3]) for line in lines if len(line.split()) > 3 and line.split()[3].isdigit())
    head = f"{len(lines) if layers is None else layers} {made if blobs is None else blobs}"
    return "\n".join(["7767517", head, *lines, ""]).encode()


def numbers(tensors: dict[str, Tensor], half: bool = True) -> bytes:
    """The content of a .bin: a flag before the weights of each convolution, the rest in float32."""
    data = b""
    for tensor in tensors.values():
        if tensor.dim() == 4:
            packed = (tensor.half() if half else tensor).numpy().tobytes()
            data += (HALF if half else bytes(4)) + packed + bytes(-len(packed) % 4)
        else:
            data += tensor.numpy().tobytes()
    return data


def write(folder: Path, text: bytes, data: bytes, name: str = "net") -> Path:
    """Writes both files and returns the path of the .param."""
    (folder / f"{name}.param").write_bytes(text)
    (folder / f"{name}.bin").write_bytes(data)
    return folder / f"{name}.param"
