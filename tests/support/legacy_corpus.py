"""Checkpoints as people have them and as attackers send them.

Whatever code they carry would make a file, the canary.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy
import safetensors.torch
import torch
from torch import nn


class Gadget:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {
        "first.weight": torch.randn(5, 3, generator=random),
        "first.count": torch.tensor(7),
        "last": torch.randn(4, generator=random),
    }


def good(folder: Path) -> dict[str, tuple[Path, str | None, dict[str, torch.Tensor]]]:
    """Name -> (file, --key, the tensors that must come out, bit for bit)."""
    plain = tensors()
    shared = torch.arange(6.0)
    odd = {"half": plain["last"].half(), "brain": plain["last"].bfloat16(), "double": plain["last"].double()}
    wide = {"turned": plain["first.weight"].T, "part": torch.arange(20.0)[3:15:3]}
    training = {
        "epoch": 3,
        "loss": torch.tensor(0.5),
        "model": plain,
        "optimizer": torch.optim.Adam([nn.Parameter(shared)]).state_dict(),
    }
    pair = {"netG": plain, "netD": tensors(1), "steps": 9}
    saved = {
        "state dict": (plain, None, plain),
        "training": (training, None, plain),
        "nested": ({"state_dict": pair}, "state_dict.netG", plain),
        "ordered": (OrderedDict((f"module.{name}", value) for name, value in plain.items()), None, plain),
        "parameter": (
            {name: nn.Parameter(value) if value.is_floating_point() else value for name, value in plain.items()},
            None,
            plain,
        ),
        "tied": ({"one": shared, "two": shared}, None, {"one": shared, "two": shared}),
        "half": (odd, None, odd),
        "not contiguous": (wide, None, wide),
        "prefix": ({f"{net}.{name}": value for net in ("G", "D") for name, value in plain.items()}, "G", plain),
    }
    cases = {}
    for number, (name, (value, key, wanted)) in enumerate(saved.items()):
        path = folder / f"good-{number}{('.pth', '.pt', '.ckpt', '.th')[number % 4]}"
        torch.save(value, path)
        cases[name] = path, key, wanted
    torch.save(plain, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    numpy.savez_compressed(folder / "arrays.npz", **{name: value.numpy() for name, value in plain.items()})
    numpy.save(folder / "big_endian.npy", numpy.asfortranarray(plain["first.weight"].numpy()).astype(">f4"))
    safetensors.torch.save_file({f"module.{name}": value for name, value in plain.items()}, folder / "safe.safetensors")
    # The content decides, whatever a name ends in.
    for name, legacy in (("state dict", False), ("legacy", True)):
        torch.save(plain, folder / f"{name}.tar", _use_new_zipfile_serialization=not legacy)
        cases[f"{name}, called .tar"] = folder / f"{name}.tar", None, plain
    for name in ("G.pth.tar", "weights", "checkpoint.npz", "checkpoint.npy"):
        torch.save(plain, folder / name)
    (folder / "renamed.pth").write_bytes(safetensors.torch.save(plain))
    (folder / "arrays.pth").write_bytes((folder / "arrays.npz").read_bytes())
    (folder / "array.bin").write_bytes((folder / "big_endian.npy").read_bytes())
    for name in ("G.pth.tar", "weights", "renamed.pth", "arrays.pth", "checkpoint.npz", "checkpoint.npy"):
        cases[name] = folder / name, None, plain
    cases["array.bin"] = folder / "array.bin", None, {"array": plain["first.weight"]}
    cases["legacy"] = folder / "legacy.pth", None, plain
    cases["npz"] = folder / "arrays.npz", None, plain
    cases["npy"] = folder / "big_endian.npy", None, {"big_endian": plain["first.weight"]}
    cases["safetensors"] = folder / "safe.safetensors", None, plain
    return cases


def bad(folder: Path, canary: Path) -> dict[str, tuple[Path, str]]:
    """Name -> (file, what its refusal must say)."""
    cases: dict[str, tuple[Path, str]] = {}

    def add(name: str, says: str, data: bytes, suffix: str = ".pth") -> None:
        path = folder / f"bad-{len(cases)}{suffix}"
        path.write_bytes(data)
        cases[name] = path, says

    for name, gadget in gadgets(folder, canary).items():
        add(f"{name}, zip", "would run code", saved({"w": gadget, **tensors()}))
        add(f"{name}, legacy", "would run code", saved({"w": gadget, **tensors()}, legacy=True))
    for protocol in (0, 1, 2, 5):
        add(f"bare pickle {protocol}", "could run code", pickle.dumps(gadgets(folder, canary)["system"], protocol))
    for name, value, says in objects():
        add(name, says, saved(value))
    whole, old = saved(tensors()), saved(tensors(), legacy=True)
    big = torch.zeros(70_001)
    add("half of a zip", "damaged or truncated", whole[: len(whole) // 2])
    add("zip without its last byte", "damaged or truncated", whole[:-1])
    add("half of a legacy file", "damaged", old[: len(old) // 2])
    add("legacy file without its last byte", "damaged", old[:-1])
    add(
        "legacy storage of 8 GB",
        "",
        saved({"w": big}, legacy=True).replace(struct.pack("<i", 70_001), struct.pack("<i", 2**31 - 1)),
    )
    add("empty", "is empty", b"")
    add("missing storage", "damaged", rewritten(whole, lambda name, data: None if name.endswith("data/0") else data))
    add("short storage", "damaged", rewritten(whole, lambda name, data: data[:8] if name.endswith("data/0") else data))
    add("deflate bomb", "is compressed", rewritten(saved({"w": torch.zeros(10**6)}), compression=zipfile.ZIP_DEFLATED))
    add("two entries of one name", "two entries", rewritten(whole, twice=True))
    add(
        "entry that leads out",
        "leads out",
        rewritten(whole, rename=lambda name: name.replace("archive/data/0", "archive/../../data/0")),
    )
    add(
        "no table",
        "torch.save did not write",
        rewritten(whole, lambda name, data: None if name.endswith("data.pkl") else data),
    )
    add(
        "TorchScript",
        "a TorchScript archive",
        rewritten(whole, rename=lambda name: name.replace("version", "code/__torch__.py")),
    )
    add(
        "deep pickle",
        "nested too deep",
        rewritten(whole, lambda name, data: deep() if name.endswith("data.pkl") else data),
    )
    add("tar", "tar archive", tar(old))
    add("gzip", "gzip", gzip.compress(whole))
    add("web page", "web page", b"<!DOCTYPE html><html>404</html>")
    add("LFS pointer", "Git LFS", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    add("script", "script", f"#!/usr/bin/env python\nopen({str(canary)!r}, 'w')\n".encode())
    add("noise", "not a file that torch.save wrote", bytes(range(1, 255)) * 9)
    add(
        "array of objects",
        "dtype object",
        array(numpy.array([gadgets(folder, canary)["system"]], dtype=object)),
        ".npy",
    )
    add("array of records", "plain numbers", array(numpy.zeros(3, dtype=[("a", "f4")])), ".npy")
    add("complex array", "plain numbers", array(numpy.zeros(3, dtype="c8")), ".npy")
    add(
        "array of a billion",
        "",
        array(numpy.zeros(3, dtype="f4")).replace(b"(3,), }       ", b"(99999999999,)}"),
        ".npy",
    )
    add("half an array", "damaged", array(numpy.zeros(30))[:-40], ".npy")
    add("npz bomb", "too many", bomb(), ".npz")
    add("half an npz", "damaged or truncated", bomb()[:-30], ".npz")
    add("safetensors with a key twice", "twice", doubled(), ".safetensors")
    add("half a safetensors file", "truncated", safetensors.torch.save(tensors())[:-4], ".safetensors")
    return cases


def gadgets(folder: Path, canary: Path) -> dict[str, Gadget]:
    """Calls that make the canary when plain pickle reads them."""
    (folder / "hubconf.py").write_text(f"def make():\n    open({str(canary)!r}, 'w').close()\n")
    touch = f"open({str(canary)!r}, 'w').close()"
    return {
        "system": Gadget(os.system, f"touch '{canary}'"),
        "eval": Gadget(eval, touch),
        "exec": Gadget(exec, touch),
        "hub": Gadget(torch.hub._load_local, str(folder), "make"),
    }


def objects():
    """Values that torch.save takes and a conversion must not."""
    weight = torch.ones(3, 3)
    bomb: dict = {"w": torch.zeros(2)}
    for _ in range(40):
        bomb = {"left": bomb, "right": bomb}
    wide: dict = {"w": torch.zeros(2)}
    for _ in range(5):
        wide = dict.fromkeys(map(str, range(60)), wide)
    yield "whole module", nn.Linear(2, 2), "would run code"
    yield "namespace", {"args": argparse.Namespace(lr=1), "w": weight}, "asks for argparse.Namespace"
    yield "numpy", {"w": numpy.zeros(3)}, "would run code"
    yield "memo bomb", bomb, "nested too deep"
    yield "wide memo bomb", wide, "too many values"
    yield "one tensor", weight, "holds a Tensor"
    yield "list", [weight], "holds a list"
    yield "no tensors", {"epoch": 3}, "no tensors"
    yield "view of 10 GB", {"w": torch.zeros(1).expand(50_000, 50_000)}, "a view that repeats"
    yield "overlapping view", {"w": torch.zeros(2_000).as_strided((1_000, 1_000), (1, 1))}, "a view that repeats"
    yield "one storage many times", dict.fromkeys(map(str, range(100)), torch.zeros(10_000)), "far larger than the file"
    yield "sparse COO", {"w": weight.to_sparse()}, "sparse"
    yield "sparse CSR", {"w": weight.to_sparse_csr()}, "sparse"
    yield "meta", {"w": torch.empty(3, device="meta")}, "meta tensor"
    yield "complex", {"w": torch.zeros(3, dtype=torch.complex64)}, "complex64"
    yield "quantized", {"w": torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8)}, "quantized"
    yield "empty tensor", {"w": torch.zeros(3, 0)}, "is empty"
    yield "long name", {"w" * 1000: weight}, "more than 200 letters"


def saved(value, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def array(value) -> bytes:
    buffer = io.BytesIO()
    numpy.save(buffer, value, allow_pickle=True)
    return buffer.getvalue()


def rewritten(
    data: bytes, change=lambda name, data: data, rename=lambda name: name, compression=zipfile.ZIP_STORED, twice=False
) -> bytes:
    """A zip with its entries changed (None leaves one out), renamed, compressed, or the last of them there twice."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(buffer, "w", compression) as target:
        names = source.namelist()
        for name in names + names[-1:] * twice:
            if (content := change(name, source.read(name))) is not None:
                target.writestr(rename(name), content)
    return buffer.getvalue()


def deep() -> bytes:
    return b"\x80\x02" + b"}(X\x01\x00\x00\x00a" * 100_000 + b"N" + b"u" * 100_000 + b"."


def tar(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("storages")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def bomb() -> bytes:
    """An .npz whose table says that it unpacks to 2.4 GB."""
    buffer = io.BytesIO()
    numpy.savez_compressed(buffer, w=numpy.zeros(1000))
    data = bytearray(buffer.getvalue())
    place = data.index(b"PK\x01\x02") + 24
    data[place : place + 4] = struct.pack("<I", 2_400_000_000)
    return bytes(data)


def doubled() -> bytes:
    entry = '"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
    header = f"{{{entry},{entry}}}".encode()
    return struct.pack("<Q", len(header)) + header + bytes(4)
