"""Pickles as NVIDIA's StyleGAN code writes them, from stand-ins of its classes, and as attackers would.

Run as a file with a list of jobs, it reads each in a fork and writes what that took.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import re
import resource
import struct
import sys
import time
import types
from collections import OrderedDict
from pathlib import Path

import torch
from legacy_corpus import Gadget, gadgets, rewritten, saved
from torch import nn

MODULES = ("training", "training.networks", "R3GAN", "R3GAN.Networks")
MODULES += ("dnnlib", "dnnlib.util", "dnnlib.tflib", "dnnlib.tflib.network", "torch_utils", "torch_utils.persistence")


BUFFERS = ("noise_const", "w_avg", "resample_filter", "magnitude_ema", "up_filter", "down_filter", "freqs", "Kernel")


class EasyDict(dict):
    """Stands for the class of that name."""


def _reconstruct_persistent_obj(meta):
    raise AssertionError("the source in a pickle must not run")


class Network:
    """Stands for the class of the TensorFlow code."""


class Generator(nn.Module):
    """Stands for the class of R3GAN's generators, which pickles as it is."""


class ResidualBlock(nn.Module):
    """Stands for every class of its parts."""


Generator.__module__, ResidualBlock.__module__ = "training.networks", "R3GAN.Networks"
EasyDict.__module__, _reconstruct_persistent_obj.__module__ = "dnnlib.util", "torch_utils.persistence"
Network.__module__ = "dnnlib.tflib.network"


@contextlib.contextmanager
def empty_modules(names):
    """Has empty modules of these names, and afterwards what was there before."""
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update({name: types.ModuleType(name) for name in names})
    try:
        yield
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module


@contextlib.contextmanager
def official_names():
    """Has the stand-ins under the names of the official modules, so that pickle names those."""
    with empty_modules(MODULES):
        for one in (EasyDict, _reconstruct_persistent_obj, Network, Generator, ResidualBlock):
            setattr(sys.modules[one.__module__], one.__name__, one)
        yield


def dumped(value, protocol: int = 4) -> bytes:
    with official_names():
        return pickle.dumps(value, protocol)


class Module(nn.Module):
    """A module that pickles as an object with its source and its state."""

    def __init__(self, kind: str, source: str = "raise SystemExit('run')\n", **options):
        super().__init__()
        self.kind, self.source = kind, source
        self._init_args, self._init_kwargs = (), EasyDict(options)

    def __reduce__(self):
        return _reconstruct_persistent_obj, (meta(dict(self.__dict__), self.kind, self.source),)


def meta(state: dict, kind: str = "Generator", source: str = "") -> dict:
    return EasyDict(type="class", version=6, module_src=source, class_name=kind, state=state)


def network(
    kind: str, tensors: dict[str, torch.Tensor], source: str = "raise SystemExit('run')\n", **options
) -> Module:
    """A network with these tensors, as parameters and buffers of modules in modules, and a buffer that is not saved."""
    whole = filled(Module(kind, source, **options), tensors, lambda part: Module("Layer", source, layer=part))
    whole.register_buffer("scratch", torch.zeros(3), persistent=False)
    return whole


def plain_network(tensors: dict[str, torch.Tensor]) -> Generator:
    """A generator of R3GAN with these tensors."""
    return filled(Generator(), tensors, lambda part: ResidualBlock())


def filled(whole, tensors: dict[str, torch.Tensor], make, buffers: tuple[str, ...] = BUFFERS):
    """Gives a module these tensors, with a new module for each part of a name."""
    for name, tensor in tensors.items():
        *path, last = name.split(".")
        place: nn.Module = whole
        for part in path:
            if part not in place._modules:
                place.add_module(part, make(part))
            place = place._modules[part]
        if last in buffers:
            place.register_buffer(last, tensor.clone())
        else:
            place.register_parameter(last, nn.Parameter(tensor.clone()))
    return whole


def file_of(networks: dict[str, Module], protocol: int = 4) -> bytes:
    """The file of these networks, with the other things that such files hold."""
    extra = {"training_set_kwargs": EasyDict(path="faces.zip", max_size=70_000, xflip=False), "augment_pipe": None}
    return dumped({**extra, **networks}, protocol)


# -- hostile files -----------------------------------------------------------------------------------------------------


def stream(tensor: torch.Tensor) -> bytes:
    """The bytes of a storage, as one argument of torch.storage._load_from_bytes."""
    return saved(
        torch.storage.TypedStorage(wrap_storage=tensor.untyped_storage(), dtype=tensor.dtype, _internal=True),
        legacy=True,
    )


def tensor_of(data: object, offset=0, size=(2, 2), stride=(2, 1), *more) -> Gadget:
    storage = Gadget(torch.storage._load_from_bytes, data)
    return Gadget(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, OrderedDict(), *more)


def persistent(**state) -> Gadget:
    return Gadget(_reconstruct_persistent_obj, meta({"_parameters": {}, "_buffers": {}, "_modules": {}, **state}))


def holding(tensor: object) -> bytes:
    """A file of one network with one tensor."""
    return dumped({"G_ema": persistent(_parameters=OrderedDict(w=tensor))})


def raw(*opcodes: bytes) -> bytes:
    """A pickle of these opcodes."""
    return b"\x80\x04" + b"".join(opcodes)


def hostile(folder: Path, canary: Path) -> dict[str, tuple[bytes, str]]:
    """Name -> (content of the file, what its refusal must say); what could run would make the canary."""
    found: dict[str, tuple[bytes, str]] = {}
    for part in (_globals, _nested, _shapes, _bombs, _broken, _opcodes, _arguments, _others, _plain):
        found |= part(folder, canary)
    return found


def _globals(folder: Path, canary: Path) -> dict:
    found = {}
    for name, gadget in gadgets(folder, canary).items():
        for protocol in (2, 3, 4, 5):
            data = dumped({"G_ema": network("Generator", {"w": torch.ones(2)}), "extra": gadget}, protocol)
            found[f"{name}, protocol {protocol}"] = data, "could run code"
    within = persistent(_parameters={"w": gadgets(folder, canary)["system"]})
    dotted = b"\x8c\x0dtorch.storage", b"\x8c\x1a_load_from_bytes.__globals", b"\x93."
    return found | {
        "system as a parameter": (dumped({"G_ema": within}), "could run code"),
        "torch.load": (dumped({"G_ema": Gadget(torch.load, "x")}), "could run code"),
        "a class of torch": (dumped({"G_ema": nn.Linear(2, 2)}), "could run code"),
        "getattr": (dumped({"G_ema": Gadget(getattr, "x", "upper")}), "could run code"),
        "path through an allowed name": (raw(*dotted), "could run code"),
        "global of numbers": (raw(b"K\x01K\x02\x93."), "damaged"),
        "global of endless name": (raw(b"c" + b"x" * 10**6), "damaged"),
        "TensorFlow": (dumped((Gadget(Network), Gadget(Network), Gadget(Network)), 3), "TensorFlow"),
    }


def _nested(folder: Path, canary: Path) -> dict:
    evil = gadgets(folder, canary)["system"]
    good = stream(torch.ones(4))
    script = rewritten(saved({"w": torch.ones(4)}), rename=lambda name: name.replace("version", "code/__torch__.py"))
    says = "numbers are not those of one storage"
    long = good[:15] + b"\x80\x02N" + b"q\x00" * 10**6 + good[15:]
    return {
        "nested pickle": (holding(tensor_of(pickle.dumps(evil))), "could run code"),
        "nested legacy file": (holding(tensor_of(saved(evil, legacy=True))), "could run code"),
        "nested legacy file with tensors": (
            holding(tensor_of(saved({"w": torch.ones(2)}, legacy=True))),
            "could run code",
        ),
        "nested zip file": (holding(tensor_of(saved({"w": evil}))), "could run code"),
        "nested TorchScript": (holding(tensor_of(script)), "could run code"),
        "nested code behind the magic number": (holding(tensor_of(good[:15] + pickle.dumps(evil))), "could run code"),
        "nested stream of a million opcodes": (holding(tensor_of(long)), "more objects than any network has"),
        "nested wrong magic": (holding(tensor_of(good.replace(b"\x6c\xfc\x9c", b"\x6c\xfc\x9d"))), says),
        "nested wrong protocol": (holding(tensor_of(good.replace(b"M\xe9\x03.", b"M\xea\x03."))), says),
        "nested big endian": (holding(tensor_of(good.replace(b"q\x02\x88", b"q\x02\x89"))), says),
        "nested facts with room for an archive": (
            holding(tensor_of(good.replace(b"X\x05\x00\x00\x00short", b"X\x0c\x00\x00\x00storages.tar"))),
            says,
        ),
        "nested facts of another machine": (holding(tensor_of(good.replace(b"q\x02\x88", b"q\x02K\x01"))), says),
        "nested key that is no number": (
            holding(tensor_of(re.sub(rb"X\x0e\x00\x00\x00.{14}", b"X\x01\0\0\0k", good))),
            says,
        ),
        "nested place": (holding(tensor_of(good.replace(b"\x03\x00\x00\x00cpu", b"\x04\x00\x00\x00meta"))), says),
        "nested count too large": (holding(tensor_of(good.replace(b"K\x04N", b"J\xff\xff\xff\x7fN"))), says),
        "nested stream cut": (holding(tensor_of(good[:-1])), says),
        "nested stream with more behind": (holding(tensor_of(good + b"\0")), says),
        "nested stream cut in its head": (holding(tensor_of(good[:40])), "damaged"),
        "nested nothing": (holding(tensor_of(b"")), "damaged"),
        "nested quantized storage": (
            holding(tensor_of(good.replace(b"FloatStorage", b"QInt8Storage"))),
            "could run code",
        ),
        "nested text": (holding(tensor_of("text")), "arguments that it does not take"),
    }


def _shapes(folder: Path, canary: Path) -> dict:
    good, huge = stream(torch.ones(4)), 2**62
    outside, strange = "larger than the numbers behind it", "no whole numbers from 0 on"
    cases = {
        "larger than its storage": (0, (1000, 1000), (1000, 1), outside),
        "one number too many": (0, (5,), (1,), outside),
        "offset beyond": (3, (2,), (1,), outside),
        "stride beyond": (0, (2, 2), (3, 1), outside),
        "empty": (0, (0,), (1,), "is empty"),
        "negative stride": (3, (4,), (-1,), strange),
        "negative size": (0, (-4,), (1,), strange),
        "two negative sizes": (0, (-2, -2), (2, 1), strange),
        "negative offset": (-1, (2,), (1,), strange),
        "huge size": (0, (huge,), (1,), strange),
        "huge product": (0, (2**39,) * 3, (1,) * 3, outside),
        "repeats": (0, (50_000, 50_000), (0, 0), "a view that repeats"),
        "overlaps": (0, (3, 2), (1, 1), "a view that repeats"),
        "size as a fraction": (0, (4.0,), (1,), strange),
        "size as a truth": (0, (True,), (1,), strange),
        "other strides": (0, (2, 2), (1,), strange),
        "nine dimensions": (0, (1,) * 9, (1,) * 9, strange),
        "offset as text": ("0", (4,), (1,), "arguments that it does not take"),
        "sizes in a list": (0, [4], (1,), "arguments that it does not take"),
    }
    found = {name: (holding(tensor_of(good, *case)), says) for name, (*case, says) in cases.items()}
    shared = Gadget(torch.storage._load_from_bytes, stream(torch.ones(10_000)))
    build, hooks = torch._utils._rebuild_tensor_v2, OrderedDict()
    copies = {f"w{n}": Gadget(build, shared, 0, (10_000,), (1,), False, hooks) for n in range(100)}
    found["one storage many times"] = dumped({"G_ema": persistent(_parameters=copies)}), "far larger than the file"
    return found


def _bombs(folder: Path, canary: Path) -> dict:
    leaf = persistent(_parameters={"w": tensor_of(stream(torch.ones(4)))})
    deep = leaf
    for _ in range(100):
        deep = persistent(_modules={"m": deep})
    double = wide = leaf
    for _ in range(20):
        double = persistent(_modules={"a": double, "b": double})
    for _ in range(4):
        wide = persistent(_modules=dict.fromkeys(map(str, range(60)), wide))
    settings: dict = {}
    for _ in range(30):
        settings = {"a": settings, "b": settings}
    state = persistent(_parameters={"w": tensor_of(stream(torch.ones(4)))}, _init_kwargs=settings)
    cycle = (
        b"}(\x8c\x05G_emactorch_utils.persistence\n_reconstruct_persistent_obj\n}(\x8c\x04type\x8c\x05class"
        b"\x8c\x0aclass_name\x8c\x01G\x8c\x05state}\x94u\x85R\x94\x8c\x01xh\x00\x8c\x08_modules}\x8c\x01mh\x01ssu."
    )
    name = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n\x94"
    start = b"}(\x8c\x04type\x8c\x05class\x8c\x0aclass_name\x8c\x01G\x8c\x05state}\x8c\x08_modules}\x8c\x01m"
    chain = b"}\x8c\x05G_ema" + name + start + (b"h\x00" + start) * 20_000 + b"N" + b"ssu\x85R" * 20_001 + b"s."
    one = stream(torch.ones(4))
    many = persistent(_parameters={f"w{n}": tensor_of(one) for n in range(5_000)})
    more = "more objects than any network has"
    return {
        "modules that hold themselves": (raw(cycle), "nested too deep"),
        "a dictionary that holds itself": (raw(b"}\x94\x8c\x05G_emah\x00s."), "holds 0 networks"),
        "objects in objects": (raw(chain), "nested too deep"),
        "modules 100 deep": (dumped({"G_ema": deep}), "nested too deep"),
        "memo bomb of modules": (dumped({"G_ema": double}), "nested too deep"),
        "wide memo bomb": (dumped({"G_ema": wide}), "nested too deep"),
        "memo bomb of settings": (dumped({"G_ema": state}), "more settings than"),
        "a million objects": (raw(b"]\x94(", b"]\x94(K\x01]\x94K\x01ae" * 10**6, b"e."), more),
        "a million keys": (pickle.dumps({str(number): number for number in range(10**6)}, 4), more),
        "a million empty lists": (raw(b"]" * 10**6, b"."), more),
        "nested lists": (raw(b"]" * 240_000, b"a" * 239_999, b"."), "holds a list"),
        "nested tuples": (raw(b")", b"\x85" * 400_000, b"."), "holds a tuple"),
        "memo of a million": (raw(b"N", b"\x94" * 10**6, b"."), more),
        "memo at the end of the world": (raw(b"N" + b"r\xff\xff\xff\xff" * 499_000, b"."), "holds a NoneType"),
        "marks": (raw(b"(" * 10**6), more),
        "keys of one hash": (raw(b"}(" + b"".join(_collide(n) + b"N" for n in range(1000)) + b"u."), "small numbers"),
        "thousands of tensors": (dumped({"G_ema": many}), "more tensors than any"),
        "nine networks": (dumped({str(n): leaf for n in range(9)}), "holds 9 networks"),
    }


def _collide(number: int) -> bytes:
    """A number whose hash in Python is 0."""
    return b"\x8a\x0c" + (number * (2**61 - 1)).to_bytes(12, "little")


def _broken(folder: Path, canary: Path) -> dict:
    whole = file_of({"G_ema": network("Generator", {"w": torch.ones(4)})})
    cuts = {"half": len(whole) // 2, "without its last byte": len(whole) - 1, "two bytes": 2, "forty bytes": 40}
    return {name: (whole[:cut], "damaged") for name, cut in cuts.items()} | {
        "with more behind": (whole + b"N.", "goes on behind"),
        "text of 2**60 bytes": (raw(b"\x8d" + struct.pack("<Q", 2**60), b"."), "damaged"),
        "bytes of 2**60 bytes": (raw(b"\x8e" + struct.pack("<Q", 2**60), b"."), "damaged"),
        "frame of 2**60 bytes": (raw(b"\x95" + struct.pack("<Q", 2**60), b"}."), "damaged"),
        "text of 3 MB": (raw(b"X" + struct.pack("<I", 3 * 10**6) + b"x" * 3 * 10**6 + b"."), "too long"),
        "text that is none": (raw(b"\x8c\x02\xff\xfe."), "damaged"),
        "number of 200 bytes": (raw(b"\x8a\xc8" + bytes(200) + b"."), "too large"),
        "number of 10 MB": (raw(b"\x8b" + struct.pack("<i", 10**7) + bytes(10**7) + b"."), "any length"),
        "number of a million digits": (raw(b"L" + b"9" * 10**6 + b"L\n."), "any length"),
        "protocol 9": (raw(b"\x80\x09}."), "unknown protocol 9"),
    }


def _opcodes(folder: Path, canary: Path) -> dict:
    cases = {
        "EXT1": (b"\x82\x01.", "an extension opcode"),
        "EXT2": (b"\x83\x01\x00.", "an extension opcode"),
        "EXT4": (b"\x84\x01\x00\x00\x00.", "an extension opcode"),
        "persistent id": (b"\x8c\x01xQ.", "a persistent id"),
        "persistent id as text": (b"Px\n.", "a persistent id"),
        "INST": (b"(\x8c\x01xiposix\nsystem\n.", "the opcode 0x69"),
        "OBJ": (b"(cposix\nsystem\no.", "could run code"),
        "NEWOBJ_EX": (b"ccollections\nOrderedDict\n)}\x92.", "the opcode 0x92"),
        "empty stack": (b".", "damaged"),
        "nothing below a mark": (b"}(s.", "damaged"),
        "no mark": (b"}u.", "damaged"),
        "two values": (b"NN.", "damaged"),
        "unknown memo": (b"h\x07.", "damaged"),
        "keys without values": (b"}(\x8c\x01au.", "damaged"),
        "append to a number": (b"K\x01K\x02a.", "damaged"),
        "items of a list": (b"](\x8c\x01aNu.", "damaged"),
        "keys that are lists": (b"}]Ns.", "small numbers"),
        "set of lists": (b"\x8f(]\x90.", "other things than text"),
        "out-of-band buffer": (b"\x97.", "the opcode 0x97"),
        "bytearray": (b"\x96\x01\0\0\0\0\0\0\0x.", "the opcode 0x96"),
        "text of protocol 0": (b"S'x'\n.", "the opcode 0x53"),
        "a call of a number": (b"K\x01)R.", "damaged"),
        "a call of a dictionary": (b"})R.", "damaged"),
    }
    return {name: (raw(code), says) for name, (code, says) in cases.items()}


def _arguments(folder: Path, canary: Path) -> dict:
    good, wrong = stream(torch.ones(4)), "arguments that it does not take"
    rebuild, whole = torch._utils._rebuild_tensor_v2, persistent()
    cases = {
        "OrderedDict of a list": Gadget(OrderedDict, [["a", 1]]),
        "set of numbers": Gadget(set, [1, 2]),
        "tensor of bytes": Gadget(rebuild, good, 0, (4,), (1,), False, OrderedDict()),
        "tensor of too many": tensor_of(good, 0, (4,), (1,), {}),
        "tensor of a tensor": Gadget(rebuild, tensor_of(good), 0, (4,), (1,), False, OrderedDict()),
        "parameter of a storage": Gadget(
            torch._utils._rebuild_parameter, Gadget(torch.storage._load_from_bytes, good), True, OrderedDict()
        ),
        "storage of nothing": Gadget(torch.storage._load_from_bytes),
        "storage of a storage": Gadget(torch.storage._load_from_bytes, Gadget(torch.storage._load_from_bytes, good)),
        "object of text": Gadget(_reconstruct_persistent_obj, "text"),
        "object of two": Gadget(_reconstruct_persistent_obj, meta({}), 1),
    }
    state = "has an object without class or state"
    found = {name: (dumped({"G_ema": whole, "x": gadget}, 3), wrong) for name, gadget in cases.items()}
    name = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n"
    found["a state for an object"] = raw(name + b"}\x85R}b."), "state to an object that has none"
    found["a state for a dictionary"] = raw(b"}}b."), "state to an object that has none"
    found["a state for a name"] = raw(name + b"}b."), "state to an object that has none"
    found["an object of another type"] = dumped({"G": Gadget(_reconstruct_persistent_obj, {"type": "exec"})}), state
    found["a state that is a list"] = dumped({"G": Gadget(_reconstruct_persistent_obj, {**meta([])})}), state
    return found


def _others(folder: Path, canary: Path) -> dict:
    right = {"w": tensor_of(stream(torch.ones(4)))}
    return {
        "a list": (dumped([persistent(_parameters=right)]), "holds a list"),
        "a network alone": (dumped(persistent(_parameters=right)), "holds a Call"),
        "no network": (dumped({"epoch": 3}), "holds 0 networks"),
        "a network without tensors": (dumped({"G_ema": persistent()}), "holds 0 tensors"),
        "a parameter that is text": (holding("text"), "that is no tensor"),
        "a parameter that is a network": (holding(persistent()), "that is no tensor"),
        "a module that is a tensor": (dumped({"G_ema": persistent(_modules=right)}), "that is no module"),
        "parameters in a list": (dumped({"G_ema": persistent(_parameters=[right])}), "have no names"),
        "parameters with numbers as names": (dumped({"G_ema": persistent(_parameters={1: right["w"]})}), "no names"),
        "a name of 5,000 letters": (dumped({"G_ema": persistent(_parameters={"w" * 5000: right["w"]})}), "letters"),
    }


def _plain(folder: Path, canary: Path) -> dict:
    """Files that begin as R3GAN's do."""
    start, part = b"ctraining.networks\nGenerator\n", b"cR3GAN.Networks\nResidualBlock\n"
    head, name = b"}\x8c\x05G_ema", b"\x8c\x08_modules"
    inside = start + b")\x81\x94}" + name + b"}\x8c\x01m"
    state = "has an object without class or state"
    evil = gadgets(folder, canary)["system"]
    return {
        "R3GAN: code beside it": (dumped({"G": plain_network({"w": torch.ones(2)}), "x": evil}), "could run code"),
        "R3GAN: code first": (dumped({"x": evil, "G": plain_network({"w": torch.ones(2)})}), "could run code"),
        "R3GAN: another class of torch": (raw(head + inside + b"ctorch.nn.modules.linear\nBilinear\n."), "could run"),
        "R3GAN: a class in a file of another": (holding(plain_network({"w": torch.ones(2)})), "could run code"),
        "R3GAN: a part first": (raw(head + part + b")\x81}bs."), "could run code"),
        "R3GAN: a class with arguments": (raw(head + start + b"K\x01\x85\x81}bs."), "arguments that it does not take"),
        "R3GAN: no state": (raw(head + start + b")\x81s."), state),
        "R3GAN: a part without state": (raw(head + inside + part + b")\x81ssbs."), state),
        "R3GAN: two states": (raw(head + start + b")\x81}b}bs."), "state to an object that has none"),
        "R3GAN: a list as state": (raw(head + start + b")\x81]bs."), "state to an object that has none"),
        "R3GAN: modules that hold themselves": (raw(head + inside + b"h\x00ssbs."), "nested too deep"),
        "R3GAN: a class as a parameter": (
            raw(head + start + b")\x81}\x8c\x0b_parameters}\x8c\x01w" + part + b"ssbs."),
            "that is no tensor",
        ),
        "R3GAN: the class itself": (raw(head + start + b"s."), "holds 0 networks"),
    }


# -- what a file costs -------------------------------------------------------------------------------------------------


def costs(path: str) -> None:
    """Reads each job in a fork, as the reader does, and prints [seconds of the processor, bytes beyond its start]."""
    from ganzoo.convert import pickle_process

    torch.set_num_threads(1)
    pickle_process.beside("object_pickle")
    pickle_process.torch.load(io.BytesIO(stream(torch.ones(4))), weights_only=True)
    found = []
    for job in json.loads(Path(path).read_text()):
        out, into = os.pipe()
        child = os.fork()
        if child == 0:
            pickle_process.limit(job["bytes"])
            resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
            start = time.process_time()
            pickle_process.do(job)
            spent = time.process_time() - start
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            os.write(into, json.dumps([spent, max(0, most - resident)]).encode())
            os._exit(0)
        os.close(into)
        os.waitpid(child, 0)
        with os.fdopen(out) as file:
            found.append(json.loads(file.read() or "null"))
    print(json.dumps(found))


if __name__ == "__main__":
    costs(sys.argv[1])
