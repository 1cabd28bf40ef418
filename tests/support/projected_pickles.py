"""Pickles as Projected GAN and StyleGAN-XL write them, from stand-ins of their classes, and as attackers would."""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import torch
from legacy_corpus import Gadget, gadgets
from nvidia_pickles import (
    EasyDict,
    empty_modules,
    filled,
    network,
    official_names,
    persistent,
    plain_network,
    raw,
    stream,
    tensor_of,
)
from torch import nn
from torch.nn.utils.spectral_norm import SpectralNorm, SpectralNormLoadStateDictPreHook, SpectralNormStateDictHook

SPECTRAL = ("weight_u", "weight_v", "running_mean", "running_var", "num_batches_tracked")
DRAWN, JUDGE, BLOCKS = "pg_modules.networks_fastgan", "pg_modules.discriminator", "pg_modules.blocks"
STAND_INS = (
    *(f"{DRAWN}.{name}" for name in ("Generator", "DummyMapping", "FastganSynthesis")),
    *(f"{BLOCKS}.{name}" for name in ("InitLayer", "SEBlock", "NoiseInjection", "DownBlock")),
    *(f"{JUDGE}.{name}" for name in ("ProjectedDiscriminator", "MultiScaleD")),
    "timm.models.layers.conv2d_same.Conv2dSame",
    "timm.models.vision_transformer.VisionTransformer",
)
FUNCTIONS = (
    *(f"dill._dill.{name}" for name in ("_import_module", "_get_attr", "_create_array", "_load_type")),
    *(f"dill._dill.{name}" for name in ("_create_function", "_create_code", "_create_cell")),
    "feature_networks.vit.forward_flex",
)


def _made(full: str, *, function: bool) -> Any:
    """A class or function under the name of an official one; none may ever be called."""
    module, _, name = full.rpartition(".")
    if not function:
        return type(name, (nn.Module,), {"__module__": module})

    def stand_in(*arguments):
        raise AssertionError(f"{full} must not run")

    stand_in.__name__ = stand_in.__qualname__ = name
    stand_in.__module__ = module
    return stand_in


OFFICIAL = {full: _made(full, function=False) for full in STAND_INS}
OFFICIAL |= {full: _made(full, function=True) for full in FUNCTIONS}


class Callable(Gadget):
    """A call that gives what is called in turn."""

    def __call__(self) -> None:
        raise AssertionError("a stand-in must not run")


@contextlib.contextmanager
def all_names() -> Iterator[None]:
    """Has the stand-ins under the official names, those of NVIDIA's code too."""
    modules = {".".join(full.split(".")[:count]) for full in OFFICIAL for count in range(1, full.count(".") + 1)}
    with official_names(), empty_modules(modules):
        for full, one in OFFICIAL.items():
            module, _, name = full.rpartition(".")
            setattr(sys.modules[module], name, one)
        yield


def dumped(value: object, protocol: int = 4) -> bytes:
    with all_names():
        return pickle.dumps(value, protocol)


def bare(kind: Any) -> nn.Module:
    """A module of a class without what its constructor makes."""
    module = kind.__new__(kind)
    nn.Module.__init__(module)
    return module


def fastgan(tensors: dict[str, torch.Tensor], **settings: Any) -> nn.Module:
    """A generator of FastGAN as Projected GAN has it, with these tensors by their official names."""
    kinds = {"synthesis": f"{DRAWN}.FastganSynthesis", "init": f"{BLOCKS}.InitLayer"}

    def part(name: str) -> nn.Module:
        if name.startswith("se_"):
            return bare(OFFICIAL[f"{BLOCKS}.SEBlock"])
        return bare(OFFICIAL[kinds[name]] if name in kinds else nn.Sequential)

    whole = bare(OFFICIAL[f"{DRAWN}.Generator"])
    for name, value in settings.items():
        setattr(whole, name, value)
    whole.add_module("mapping", bare(OFFICIAL[f"{DRAWN}.DummyMapping"]))
    filled(whole, tensors, part, SPECTRAL)
    for module in whole.modules():
        if "weight_orig" in module._parameters:
            module.__class__ = nn.Conv2d
            _normalized(module)
        elif "running_mean" in module._buffers:
            module.__class__ = nn.BatchNorm2d
        elif "weight" in module._parameters:
            module.__class__ = OFFICIAL[f"{BLOCKS}.NoiseInjection"]
    return whole


def _normalized(module: nn.Module) -> None:
    """Hangs the hooks of torch's spectral normalization at a module, and the weight that they left."""
    hook = SpectralNorm("weight", 1, 0, 1e-12)
    module._forward_pre_hooks[0] = hook
    module._state_dict_hooks[1] = SpectralNormStateDictHook(hook)
    module._load_state_dict_pre_hooks[2] = SpectralNormLoadStateDictPreHook(hook)
    module.__dict__["weight"] = torch.zeros(2)


def judge(*, flexible: bool = False) -> nn.Module:
    """A discriminator: layers of torch and of timm; those of StyleGAN-XL have a vision transformer with hooks."""
    whole = bare(OFFICIAL[f"{JUDGE}.ProjectedDiscriminator"])
    features = nn.Module()
    features.layer0 = nn.Sequential(bare(OFFICIAL["timm.models.layers.conv2d_same.Conv2dSame"]), nn.ReLU6())
    features.layer0[0].register_parameter("weight", nn.Parameter(torch.ones(2, 3, 1, 1)))
    if flexible:
        features.model = bare(OFFICIAL["timm.models.vision_transformer.VisionTransformer"])
        features.model._forward_hooks[5] = hook_of_dill()
        method = Callable(OFFICIAL["dill._dill._load_type"], "MethodType")
        features.model.__dict__["forward_flex"] = Gadget(
            method, OFFICIAL["feature_networks.vit.forward_flex"], features.model
        )
        features.layer0.add_module("2", nn.Unflatten(2, torch.Size([14, 14])))
    whole.feature_network = features
    whole.discriminator = nn.ModuleDict({"0": nn.utils.spectral_norm(nn.Conv2d(2, 1, 1))})
    return whole


def hook_of_dill() -> Gadget:
    """A function inside a function, whose bytes dill writes."""
    code = Gadget(OFFICIAL["dill._dill._create_code"], 3, 0, b"\x95\x01", (None,), "vit.py", "hook", 160)
    cell = Gadget(OFFICIAL["dill._dill._create_cell"], "1")
    return Gadget(OFFICIAL["dill._dill._create_function"], code, {}, "hook", None, (cell,))


def generator_of_xl(kind: str, tensors: dict[str, torch.Tensor], parts: dict[str, Any], **options: Any) -> nn.Module:
    """A generator of StyleGAN-XL as dill writes it, with the options of its `parts`."""
    whole = network(kind, tensors, **options)
    for name, given in parts.items():
        getattr(whole, name)._init_kwargs = EasyDict(given)
    embedding = bare(nn.Embedding)
    embedding.register_parameter("weight", nn.Parameter(tensors["mapping.embed.weight"].clone()))
    whole.mapping.add_module("embed", embedding)
    whole.mapping.__dict__["gain"] = Gadget(numpys("scalar"), numpy.dtype("f8"), b"\0" * 8)
    whole.synthesis.__dict__["size"] = Gadget(OFFICIAL["dill._dill._create_array"], numpys("_reconstruct"), (0,), b"b")
    return whole


def numpys(name: str, module: str = "numpy.core.multiarray") -> Callable:
    """A function of numpy as dill 0.3.4 writes it."""
    return Callable(OFFICIAL["dill._dill._get_attr"], Gadget(OFFICIAL["dill._dill._import_module"], module), name)


# -- hostile files -----------------------------------------------------------------------------------------------------


def hostile(folder: Path, canary: Path) -> dict[str, tuple[bytes, str]]:
    """Name -> (content of the file, what its refusal must say), of files that begin as Projected GAN's and XL's do."""
    return _beside(folder, canary) | _by_dill(folder, canary) | _malformed()


def small(**more: torch.Tensor) -> nn.Module:
    return fastgan({"synthesis.to_big.weight_orig": torch.ones(3, 2, 3, 3), **more})


def _beside(folder: Path, canary: Path) -> dict[str, tuple[bytes, str]]:
    """Code beside the networks, in their hooks and in their modules."""
    found, runs = {}, "could run code"
    for name, gadget in gadgets(folder, canary).items():
        found[f"Projected GAN: {name} behind it"] = dumped({"G_ema": small(), "D": judge(), "x": gadget}), runs
    evil = gadgets(folder, canary)["system"]
    hooked, kept, first, inside = small(), small(), small(), judge()
    next(m for m in hooked.modules() if m._forward_pre_hooks)._forward_pre_hooks[0].fn = evil
    kept.__dict__["activations"] = {"1": evil}
    first.register_parameter("w", None)
    first._parameters["w"] = evil
    inside.feature_network.layer0._modules["0"] = evil
    return found | {
        "Projected GAN: code in a hook": (dumped({"G_ema": hooked}), runs),
        "Projected GAN: code as an attribute": (dumped({"G_ema": kept}), runs),
        "Projected GAN: code as a parameter": (dumped({"G_ema": first}), runs),
        "Projected GAN: code as a module": (dumped({"G_ema": small(), "D": inside}), runs),
        "Projected GAN: a class of torch that is not its": (
            dumped({"G_ema": small(), "x": nn.Bilinear(2, 2, 2)}),
            runs,
        ),
        "Projected GAN: a function of torch": (dumped({"G_ema": small(), "x": Gadget(torch.load, "x")}), runs),
        "Projected GAN: in a file of R3GAN": (dumped({"G": plain_network({"w": torch.ones(2)}), "D": judge()}), runs),
        "Projected GAN: R3GAN in it": (dumped({"D": judge(), "G": plain_network({"w": torch.ones(2)})}), runs),
        "Projected GAN: a part first": (
            dumped({"G_ema": bare(OFFICIAL[f"{BLOCKS}.SEBlock"])}),
            runs,
        ),
        "Projected GAN: a layer of torch in NVIDIA's": (
            dumped({"G_ema": persistent(_modules={"a": nn.Linear(2, 2)})}),
            runs,
        ),
    }


def _by_dill(folder: Path, canary: Path) -> dict[str, tuple[bytes, str]]:
    """What dill has words for: imports, attributes, types and functions."""
    runs, plain = "could run code", {"G_ema": persistent(_parameters={"w": tensor_of(stream(torch.ones(4)))})}
    imported, load = OFFICIAL["dill._dill._import_module"], OFFICIAL["dill._dill._load_type"]
    cases = {
        "an attribute of os": (numpys("system", "os"), "arguments that it does not take"),
        "another function of numpy": (numpys("fromfile"), runs),
        "an attribute of an attribute": (Gadget(OFFICIAL["dill._dill._get_attr"], numpys("scalar"), "__self__"), runs),
        "an attribute of text": (Gadget(OFFICIAL["dill._dill._get_attr"], "os", "system"), runs),
        "a module": (Gadget(imported, "os"), "arguments that it does not take"),
        "a module of numpy that loads files": (Gadget(imported, "numpy.ctypeslib"), "arguments that it does not take"),
        "a function without its discriminator": (hook_of_dill(), runs),
        "a type without its discriminator": (Gadget(load, "MethodType"), runs),
    }
    found = {f"dill: {name}": (dumped({**plain, "x": one}), says) for name, (one, says) in cases.items()}
    within = {
        "code of a type": (Gadget(load, "CodeType"), runs),
        "a call of a function": (Gadget(Callable(OFFICIAL["dill._dill._create_function"], 1)), "damaged"),
        "a call of a hook": (Gadget(Callable(OFFICIAL["feature_networks.vit.forward_flex"], 1)), "damaged"),
        "globals of a file": (Gadget(OFFICIAL["dill._dill._create_function"], gadgets(folder, canary)["exec"]), runs),
    }
    return found | {
        f"dill: {name}": (dumped({"D": judge(flexible=True), "x": one}), says) for name, (one, says) in within.items()
    }


def _malformed() -> dict[str, tuple[bytes, str]]:
    """Modules without state, with two, that hold themselves; tensors outside of their numbers."""
    start, conv = b"cpg_modules.networks_fastgan\nGenerator\n", b"ctorch.nn.modules.conv\nConv2d\n"
    hook = b"ctorch.nn.utils.spectral_norm\nSpectralNorm\n"
    head, name, took = b"}\x8c\x05G_ema", b"\x8c\x08_modules", "arguments that it does not take"
    inside = start + b")\x81\x94}" + name + b"}\x8c\x01m"
    state = "has an object without class or state"
    outside = small()
    outside.synthesis.to_big._parameters["weight_orig"] = tensor_of(stream(torch.ones(4)), 0, (100, 100), (100, 1))
    loop = nn.Sequential()
    loop._modules["0"] = loop
    loud = small()
    loud.add_module("loop", loop)
    embedding = b"ctorch.nn.modules.sparse\nEmbedding\n"
    return {
        "Projected GAN: larger than its storage": (dumped({"G_ema": outside}), "larger than the numbers behind it"),
        "Projected GAN: modules that hold themselves": (dumped({"G_ema": loud}), "nested too deep"),
        "Projected GAN: a class with arguments": (raw(head + inside + conv + b"K\x01\x85\x81}bssbs."), took),
        "Projected GAN: no state": (raw(head + start + b")\x81s."), state),
        "Projected GAN: a part without state": (raw(head + inside + conv + b")\x81ssbs."), state),
        "Projected GAN: two states": (raw(head + start + b")\x81}b}bs."), "state to an object that has none"),
        "Projected GAN: a hook as a module": (raw(head + inside + hook + b")\x81}bssbs."), "that is no module"),
        "Projected GAN: a hook as a network": (raw(head + start + b"0" + hook + b")\x81}bs."), "the opcode 0x30"),
        "Projected GAN: the class itself": (raw(head + start + b"s."), "holds 0 networks"),
        "StyleGAN-XL: an embedding with arguments": (raw(head + embedding + b"K\x05K\x05\x86\x81}bs."), took),
        "StyleGAN-XL: an embedding alone, without numbers": (raw(head + embedding + b")\x81}bs."), "holds 0 tensors"),
    }
