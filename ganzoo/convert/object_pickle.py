"""Reads NVIDIA's pickles of whole networks as data: an interpreter of opcodes that calls and imports nothing.

The published files of StyleGAN2-ADA, StyleGAN3 and their forks are no state_dicts: `pickle.dump` wrote the objects,
each with the source of its class as text, which the official loader executes. R3GAN's name their classes, which the
official loader imports, as do Projected GAN's and parts of StyleGAN-XL's. Here a pickle is a list of instructions
that build dictionaries, lists, text and numbers. Where it asks for a call, one of a table of names is kept with its
arguments, and any other is refused; nothing is looked up by that name, and the source stays text. It imports nothing
of ganzoo and no torch.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
TENSOR = "torch._utils._rebuild_tensor_v2"
PARAMETER = "torch._utils._rebuild_parameter"
STORAGE = "torch.storage._load_from_bytes"
DTYPE = "numpy.dtype"
ARRAY = "numpy.ndarray"
MAPPINGS = ("collections.OrderedDict", "dnnlib.util.EasyDict")
SET = "builtins.set"  # protocol 3 has no opcode for sets
SCALARS = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
ARRAYS = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
EMBEDDING = "torch.nn.modules.sparse.Embedding"  # StyleGAN-XL's of its classes, a plain module among persistent ones
# dill, which writes StyleGAN-XL's files, has its own words for numpy's arrays and for the names of numpy's functions.
IMPORT, ATTRIBUTE, DILL_ARRAY = (f"dill._dill.{name}" for name in ("_import_module", "_get_attr", "_create_array"))
NUMPY_MODULES = {f"numpy.{core}.{name}" for core in ("core", "_core") for name in ("multiarray", "_multiarray_umath")}
ALLOWED = {PERSISTENT, TENSOR, PARAMETER, STORAGE, DTYPE, ARRAY, SET, *MAPPINGS, *SCALARS, *ARRAYS}
ALLOWED |= {EMBEDDING, IMPORT, ATTRIBUTE, DILL_ARRAY}
# R3GAN pickles its networks as they are: each module is a name of its class and what `__dict__` holds.
PLAIN_NETWORKS = ("training.networks.Generator", "training.networks.Discriminator")
PLAIN_MODULES = {
    *PLAIN_NETWORKS,
    "torch.nn.modules.container.ModuleList",
    "torch.nn.modules.conv.Conv2d",
    "torch.nn.modules.linear.Linear",
    *(f"R3GAN.Networks.{start}{end}" for start in ("Generator", "Discriminator") for end in ("", "Stage")),
    *(f"R3GAN.Networks.{start}Basis" for start in ("Generative", "Discriminative")),
    *(f"R3GAN.Networks.{kind}" for kind in ("Convolution", "DownsampleLayer", "ResidualBlock", "UpsampleLayer")),
    *(f"R3GAN.FusedOperators.BiasedActivation{end}" for end in ("CUDA", "Reference")),
    *(
        f"R3GAN.Resamplers.{start}{kind}sampler{end}"
        for start in ("Inplace", "Interpolative")
        for kind in ("Up", "Down")
        for end in ("CUDA", "Reference")
    ),
}
# Projected GAN and StyleGAN-XL pickle discriminators, and FastGAN's generator, as they are.
PROJECTED_NETWORKS = (
    "pg_modules.networks_fastgan.Generator",
    "training.networks_fastgan.Generator",
    "pg_modules.discriminator.ProjectedDiscriminator",
)
PROJECTED_MODULES = {
    *PROJECTED_NETWORKS,
    EMBEDDING,
    *(
        f"{home}.networks_fastgan.{name}"
        for home in ("pg_modules", "training")
        for name in ("DummyMapping", "FastganSynthesis", "FastganSynthesisCond")
    ),
    *(
        f"pg_modules.blocks.{name}"
        for name in ("InitLayer", "UpBlockSmallCond", "UpBlockBigCond", "SEBlock", "GLU", "Swish", "NoiseInjection")
    ),
    *(
        f"pg_modules.blocks.{name}"
        for name in ("CCBN", "SeparableConv2d", "DownBlock", "DownBlockPatch", "ResidualConvUnit", "FeatureFusionBlock")
    ),
    *(f"pg_modules.discriminator.{name}" for name in ("SingleDisc", "SingleDiscCond", "MultiScaleD")),
    *(f"pg_modules.projector.{name}" for name in ("F_RandomProj", "F_Identity")),
    *(f"feature_networks.vit.{name}" for name in ("Slice", "AddReadout", "ProjectReadout", "Transpose")),
    *(f"timm.models.efficientnet_blocks.{name}" for name in ("DepthwiseSeparableConv", "InvertedResidual")),
    "timm.models.layers.conv2d_same.Conv2dSame",
    *(f"timm.models.vision_transformer.{name}" for name in ("VisionTransformer", "Block", "Attention")),
    "timm.models.layers.patch_embed.PatchEmbed",
    "timm.models.layers.mlp.Mlp",
    "torch.nn.modules.module.Module",
    *(f"torch.nn.modules.container.{name}" for name in ("Sequential", "ModuleDict", "ModuleList")),
    *(f"torch.nn.modules.conv.{name}" for name in ("Conv2d", "ConvTranspose2d")),
    *(f"torch.nn.modules.linear.{name}" for name in ("Linear", "Identity")),
    *(f"torch.nn.modules.pooling.{name}" for name in ("AdaptiveAvgPool2d", "AvgPool2d")),
    *(f"torch.nn.modules.activation.{name}" for name in ("GELU", "LeakyReLU", "ReLU", "ReLU6", "Sigmoid")),
    "torch.nn.modules.batchnorm.BatchNorm2d",
    "torch.nn.modules.normalization.LayerNorm",
    "torch.nn.modules.upsampling.Upsample",
    "torch.nn.modules.dropout.Dropout",
    "torch.nn.modules.flatten.Unflatten",
    *(f"torch.{home}nn.quantized.modules.functional_modules.FloatFunctional" for home in ("", "ao.")),
}
# What hangs at those modules and is no module: the hooks of spectral normalization and of the vision transformer.
HOOKS = {
    *(f"torch.nn.utils.spectral_norm.SpectralNorm{end}" for end in ("", "StateDictHook", "LoadStateDictPreHook")),
    "torch.nn.modules.module._WrappedHook",
}
PIECES = {
    "torch.Size",
    *(f"dill._dill.{name}" for name in ("_create_function", "_create_code", "_create_cell", "_load_type")),
    *(f"feature_networks.vit.{name}" for name in ("__dict__", "forward_flex", "_resize_pos_embed")),
}
LOAD_TYPE, METHOD = "dill._dill._load_type", "types.MethodType"
MODULES = PLAIN_MODULES | PROJECTED_MODULES
STATES = MODULES | HOOKS  # what is made without arguments and given a dictionary
DTYPES = {"torch.float32", "torch.float16", "torch.bfloat16"}  # the precision of a stage
ITEM_BYTES = {
    "torch.FloatStorage": 4,
    "torch.DoubleStorage": 8,
    "torch.HalfStorage": 2,
    "torch.BFloat16Storage": 2,
    "torch.LongStorage": 8,
    "torch.IntStorage": 4,
    "torch.ShortStorage": 2,
    "torch.CharStorage": 1,
    "torch.ByteStorage": 1,
    "torch.BoolStorage": 1,
}
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001

MOST_OPCODES = 500_000
MOST_IN_STORAGE = 200
LONGEST_TEXT = 2**21
LARGEST_KEY = 2**31
DEEPEST = 24
MOST_NETWORKS = 8
MOST_MODULES = 4_000
MOST_TENSORS = 4_000
MOST_SETTINGS = 200
LONGEST_SETTING = 200
LONGEST_NAME = 200
STATED_PARTS = ("mapping", "synthesis")
DAMAGED = "is damaged or cut short: it does not hold what its own tables promise"
UNKNOWN_OPCODES = {
    **{opcode: f"the opcode {opcode:#04x}" for opcode in b"012FSTUVdgilop\x91\x92\x96\x97\x98"},
    **dict.fromkeys(b"\x82\x83\x84", "an extension opcode (EXT)"),
    **dict.fromkeys(b"PQ", "a persistent id"),
    **dict.fromkeys(b"IL\x8b", "a number as text or of any length"),
}


class Refused(Exception):
    """The reason for a refusal, which follows the name of the file in a sentence."""


@dataclass(frozen=True)
class Name:
    """A global that the pickle names."""

    name: str


@dataclass(eq=False)
class Call:
    """A call that the pickle asks for, of a name of the table; it is never made."""

    name: str
    arguments: tuple
    state: tuple | dict | None = None


@dataclass(frozen=True)
class PersistentId:
    """A reference to what lies outside the pickle: the numbers of a storage."""

    value: Any


class Reader:
    """Interprets the pickle that starts at `position` of `data`; afterwards `position` is behind it."""

    def __init__(self, data: memoryview, position: int = 0, *, storage: bool = False) -> None:
        self.data, self.position, self.storage = data, position, storage
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.names: set[str] | None = None  # that this file may ask for, from its first name on
        self.actions = self._actions()

    def read(self) -> Any:
        """Returns the object; Refused if it asks for what the table does not have, or does not end."""
        data, actions, end = self.data, self.actions, len(self.data)
        for _ in range(MOST_IN_STORAGE if self.storage else MOST_OPCODES):
            if self.position >= end:
                raise Refused(DAMAGED)
            opcode = data[self.position]
            self.position += 1
            if opcode == ord("."):
                found = self._pop()
                if self.stack:
                    raise Refused(DAMAGED)
                return found
            action = actions.get(opcode)
            if action is None:
                name = UNKNOWN_OPCODES.get(opcode)
                if name is None:
                    raise Refused(DAMAGED)
                raise Refused(f"has {name}, which no such file needs and which could run code: ganzoo does not open it")
            action()
        raise Refused("holds more objects than any network has")

    def _actions(self) -> dict[int, Callable[[], None]]:
        push, number, take = self.stack.append, self._number, self._take
        actions: dict[bytes, Callable[[], None]] = {
            b"\x80": self._protocol,
            b"\x95": self._frame,
            b"(": lambda: self.marks.append(len(self.stack)),
            b"N": lambda: push(None),
            b"\x88": lambda: push(True),
            b"\x89": lambda: push(False),
            b"J": lambda: push(number("<i")),
            b"K": lambda: push(number("<B")),
            b"M": lambda: push(number("<H")),
            b"G": lambda: push(number(">d")),
            b"\x8a": self._long,
            b"X": lambda: push(self._text("<I")),
            b"\x8c": lambda: push(self._text("<B")),
            b"\x8d": lambda: push(self._text("<Q")),
            b"B": lambda: push(take(self._length("<I"))),
            b"C": lambda: push(take(self._length("<B"))),
            b"\x8e": lambda: push(take(self._length("<Q"))),
            b"}": lambda: push({}),
            b"]": lambda: push([]),
            b")": lambda: push(()),
            b"\x8f": lambda: push(set()),
            b"t": lambda: push(tuple(self._marked())),
            b"\x85": lambda: push(self._tuple(1)),
            b"\x86": lambda: push(self._tuple(2)),
            b"\x87": lambda: push(self._tuple(3)),
            b"a": lambda: self._extend([self._pop()]),
            b"e": lambda: self._extend(self._marked()),
            b"s": lambda: self._set_items(list(self._tuple(2))),
            b"u": lambda: self._set_items(self._marked()),
            b"\x90": lambda: self._add(self._marked()),
            b"q": lambda: self._remember(number("<B")),
            b"r": lambda: self._remember(number("<I")),
            b"\x94": lambda: self._remember(len(self.memo)),
            b"h": lambda: self._recall(number("<B")),
            b"j": lambda: self._recall(number("<I")),
            b"c": lambda: push(self._global(self._line(), self._line())),
            b"\x93": lambda: push(self._global(*self._tuple(2))),
            b"R": self._reduce,
            b"\x81": self._reduce,
            b"b": self._build,
        }
        if self.storage:
            actions[b"Q"] = lambda: push(PersistentId(self._pop()))
        return {opcode[0]: action for opcode, action in actions.items()}

    # -- bytes ---------------------------------------------------------------------------------------------------------

    def _take(self, count: int) -> memoryview:
        end = self.position + count
        if end > len(self.data):
            raise Refused(DAMAGED)
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _length(self, form: str) -> int:
        """Returns a length that the rest of the file can hold."""
        length = self._number(form)
        if length > len(self.data) - self.position:
            raise Refused(DAMAGED)
        return length

    def _text(self, form: str) -> str:
        length = self._length(form)
        if length > LONGEST_TEXT:
            raise Refused(f"holds a text of {length} bytes: too long")
        return str(self._take(length), "utf-8")

    def _line(self) -> str:
        piece = bytes(self.data[self.position : self.position + LONGEST_NAME])
        line, end, _ = piece.partition(b"\n")
        if not end:
            raise Refused(DAMAGED)
        self.position += len(line) + 1
        return line.decode("utf-8")

    def _frame(self) -> None:
        self._length("<Q")  # how far to read ahead: all of it is here

    def _protocol(self) -> None:
        if not 2 <= (version := self._number("<B")) <= 5:
            raise Refused(f"is a pickle of the unknown protocol {version}")

    def _long(self) -> None:
        length = self._number("<B")
        if length > 16:
            raise Refused(f"holds a whole number of {length} bytes: too large")
        self.stack.append(int.from_bytes(self._take(length), "little", signed=True))

    # -- the stack -----------------------------------------------------------------------------------------------------

    def _pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise Refused(DAMAGED)
        return self.stack.pop()

    def _top(self, kind: type) -> Any:
        top = self._pop()
        if type(top) is not kind:
            raise Refused(DAMAGED)
        self.stack.append(top)
        return top

    def _tuple(self, count: int) -> tuple:
        return tuple([self._pop() for _ in range(count)][::-1])

    def _marked(self) -> list:
        if not self.marks:
            raise Refused(DAMAGED)
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _extend(self, items: list) -> None:
        self._top(list).extend(items)

    def _add(self, items: list) -> None:
        if not all(type(item) is str for item in items):
            raise Refused("holds a set of other things than text")
        self._top(set).update(items)

    def _set_items(self, items: list) -> None:
        target, keys = self._top(dict), items[::2]
        if len(items) % 2:
            raise Refused(DAMAGED)
        # Python's hashes of text are random, and those of small numbers differ: no file can make a dictionary slow.
        if not all(type(key) is str or (type(key) is int and 0 <= key < LARGEST_KEY) for key in keys):
            raise Refused("has a dictionary whose keys are neither text nor small numbers")
        target.update(zip(keys, items[1::2], strict=True))

    def _remember(self, place: int) -> None:
        value = self._pop()
        self.stack.append(value)
        self.memo[place] = value

    def _recall(self, place: int) -> None:
        if place not in self.memo:
            raise Refused(DAMAGED)
        self.stack.append(self.memo[place])

    # -- names and calls -----------------------------------------------------------------------------------------------

    def _global(self, module: Any, name: Any) -> Name:
        if type(module) is not str or type(name) is not str:
            raise Refused(DAMAGED)
        full = f"{module}.{name}"
        if full.startswith("dnnlib.tflib."):
            raise Refused(
                f"is of the TensorFlow code of StyleGAN (it asks for {full[:60]}), which ganzoo does not read: convert "
                "it with the official PyTorch code first"
            )
        if self.names is None:
            plain = not self.storage and full in PLAIN_NETWORKS
            self.names = set(ITEM_BYTES) if self.storage else ALLOWED | PLAIN_MODULES | DTYPES if plain else ALLOWED
        if self.names is ALLOWED and full in PROJECTED_NETWORKS:
            self.names = ALLOWED | PROJECTED_MODULES | HOOKS | PIECES
        if full not in self.names:
            raise _foreign(full)
        return Name(full)

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        if type(function) is not Name or type(arguments) is not tuple or self.storage:
            raise Refused(DAMAGED)
        self.stack.append(_called(function.name, arguments))

    def _build(self) -> None:
        state, target = self._pop(), self._pop()
        if type(target) is Call and target.name in STATES and type(state) is dict and target.state is None:
            target.state = state
            self.stack.append(target)
            return
        if type(target) is not Call or target.name not in (DTYPE, *ARRAYS) or type(state) is not tuple:
            raise Refused("gives a state to an object that has none")
        target.state = state
        self.stack.append(target)


def _foreign(name: str) -> Refused:
    return Refused(
        f"holds more than networks of NVIDIA's code (it asks for {name[:60]}), which could run code: ganzoo does not "
        "open it"
    )


def _called(name: str, arguments: tuple) -> Any:
    """Returns what stands for a call, or Refused if the function does not take these arguments."""
    if name in MAPPINGS and not arguments:
        return {}
    if name == ATTRIBUTE or name == LOAD_TYPE:
        return _by_dill(name, arguments)
    kinds = tuple(type(argument) for argument in arguments)
    calls = tuple(argument.name for argument in arguments if type(argument) in (Call, Name))
    if name == SET and kinds == (list,) and all(type(item) is str for item in arguments[0]):
        return set(arguments[0])
    right = {
        PERSISTENT: kinds == (dict,),
        STORAGE: kinds == (memoryview,),
        TENSOR: (kinds, calls) == ((Call, int, tuple, tuple, bool, dict), (STORAGE,)),
        PARAMETER: (kinds, calls) == ((Call, bool, dict), (TENSOR,)),
        DTYPE: len(kinds) == 3 and kinds[0] is str and set(kinds[1:]) <= {bool, int},
        **dict.fromkeys(SCALARS, (kinds, calls) == ((Call, memoryview), (DTYPE,))),
        **dict.fromkeys(STATES, not kinds),
        **dict.fromkeys((*PIECES, METHOD, DILL_ARRAY), True),  # of any: they are passed over
        IMPORT: kinds == (str,) and arguments[0] in NUMPY_MODULES,
        **dict.fromkeys(ARRAYS, (kinds, calls) == ((Name, tuple, memoryview), (ARRAY,))),
    }
    if not right.get(name):
        raise Refused(f"calls {name} with arguments that it does not take")
    return Call(name, arguments)


def _by_dill(name: str, arguments: tuple) -> Name:
    """Returns the name that dill wrote as a call; Refused unless it is one of those that its files need."""
    if name == LOAD_TYPE and arguments == ("MethodType",):
        return Name(METHOD)
    if name == ATTRIBUTE and len(arguments) == 2:
        module, function = arguments
        full = f"numpy.core.multiarray.{function}" if type(function) is str else ""
        if type(module) is Call and module.name == IMPORT and full in (*SCALARS, *ARRAYS):
            return Name(full)
    raise _foreign(".".join(part for part in arguments if type(part) is str) or name)


# -- networks ----------------------------------------------------------------------------------------------------------


def networks(data: memoryview) -> dict[str, Call]:
    """Returns the networks of a file by name (G, D, G_ema); Refused unless it is a dictionary of them."""
    reader = Reader(data)
    value = reader.read()
    if reader.position != len(data):
        raise Refused("goes on behind the end of its pickle")
    if type(value) is not dict:
        raise Refused(f"holds a {type(value).__name__}, not the networks G, D and G_ema that NVIDIA's code saves")
    found = {
        name: item for name, item in value.items() if type(name) is str and type(item) is Call and _is_module(item)
    }
    if not 0 < len(found) <= MOST_NETWORKS:
        raise Refused(f"holds {len(found)} networks of NVIDIA's code; 1 to {MOST_NETWORKS} are read")
    return found


def tensors(network: Call) -> dict[str, Call]:
    """Returns the tensors of a network by the names that its state_dict has."""
    return dict(_tensors(network))


def _tensors(network: Call) -> Iterator[tuple[str, Call]]:
    waiting, modules, count = [("", 0, network)], 0, 0
    while waiting:
        prefix, depth, module = waiting.pop()
        modules += 1
        if modules > MOST_MODULES or depth > DEEPEST or len(prefix) > LONGEST_NAME:
            raise Refused("is nested too deep, or holds more objects than any network has")
        state = _state(module)
        hidden = state.get("_non_persistent_buffers_set", set())
        own = {**_part(state, "_parameters"), **_part(state, "_buffers")}
        for name, value in own.items():
            if value is None or name in hidden:
                continue
            if type(value) is Call and value.name == PARAMETER:
                value = value.arguments[0]
            if type(value) is not Call or value.name != TENSOR:
                raise Refused(f"has a parameter {name[:60]!r} that is no tensor")
            count += 1
            if count > MOST_TENSORS or len(prefix) + len(name) > LONGEST_NAME:
                raise Refused(f"holds more tensors than any network has, or names of more than {LONGEST_NAME} letters")
            yield prefix + name, value
        for name, value in reversed(_part(state, "_modules").items()):
            if value is None:
                continue
            if type(value) is not Call or not _is_module(value):
                raise Refused(f"has a part {name[:60]!r} that is no module")
            waiting.append((f"{prefix}{name}.", depth + 1, value))


def _part(state: dict, name: str) -> dict[str, Any]:
    part = state.get(name, {})
    if type(part) is not dict or not all(type(key) is str for key in part):
        raise Refused(f"has a module whose {name} have no names")
    return part


def _is_module(call: Call) -> bool:
    """True for an object of NVIDIA's code, whose `module_src` is not looked at, or of a class of the tables."""
    if call.name in MODULES:
        if type(call.state) is not dict:
            raise Refused("has an object without class or state")
    elif call.name == PERSISTENT:
        meta = call.arguments[0]
        if meta.get("type") != "class" or type(meta.get("state")) is not dict or type(_class(call)) is not str:
            raise Refused("has an object without class or state")
    else:
        return False
    return type(_state(call).get("_non_persistent_buffers_set", set())) is set


def _state(module: Call) -> dict:
    """Returns the `__dict__` of a module."""
    return module.state if type(module.state) is dict else module.arguments[0]["state"]


def _class(module: Call) -> Any:
    """Returns the name of a module's class."""
    return module.arguments[0].get("class_name") if module.name == PERSISTENT else module.name.rpartition(".")[2]


def stated(network: Call) -> dict[str, Any]:
    """Returns what a network says of itself: its "class", the "options" it was made with, and those of its "parts".

    All are plain values. A network that is not persistent has no options of its own: its settings stand for them.
    """
    count, state = [0], _state(network)
    if network.name == PERSISTENT:
        options = state.get("_init_kwargs", {})
    else:
        kinds = (bool, int, float, str)
        options = {name: value for name, value in state.items() if name[:1] != "_" and type(value) in kinds}
    parts = _part(state, "_modules")
    inner = {
        name: _plain(_state(parts[name]).get("_init_kwargs", {}), 0, count)
        for name in STATED_PARTS
        if type(parts.get(name)) is Call and parts[name].name == PERSISTENT
    }
    return {"class": _class(network)[:LONGEST_SETTING], "options": _plain(options, 0, count), "parts": inner}


def _plain(value: Any, depth: int, count: list[int]) -> Any:
    """Returns a setting as JSON has it; the name of its type in angle brackets where it has not."""
    count[0] += 1
    if count[0] > MOST_SETTINGS or depth > 6:
        raise Refused("states more settings than any network has")
    if type(value) is float and value - value != 0:  # JSON has no infinity
        return str(value)
    if value is None or type(value) in (bool, int, float):
        return value
    if type(value) is str:
        return value[:LONGEST_SETTING]
    if type(value) is dict:
        return {str(key)[:LONGEST_SETTING]: _plain(item, depth + 1, count) for key, item in value.items()}
    if type(value) in (list, tuple):
        return [_plain(item, depth + 1, count) for item in value]
    if type(value) is Call and value.name in SCALARS:
        return _scalar(value)
    return f"<{value.name if type(value) is Call else type(value).__name__}>"


def _scalar(value: Call) -> Any:
    """Returns the number of a numpy scalar."""
    dtype, data = value.arguments
    forms = {"f4": "<f", "f8": "<d", "i4": "<i", "i8": "<q", "u1": "<B", "b1": "<?"}
    big = dtype.state is not None and dtype.state[1:2] == (">",)
    form = None if big else forms.get(dtype.arguments[0])
    return struct.unpack(form, data)[0] if form and struct.calcsize(form) == len(data) else "<numpy scalar>"


# -- storages ----------------------------------------------------------------------------------------------------------


def checked_storage(call: Call) -> memoryview:
    """Returns the bytes of a storage: what torch.save wrote of one before it had zip files, and nothing but that.

    They are five pickles (magic number, protocol, facts on the machine, one reference, its key), the number of numbers
    and the numbers. A second pickle or an archive could hide here, so each of the five must have exactly its value,
    without room for text of its own: torch looks for a tar archive first.
    """
    data, position = call.arguments[0], 0
    found = []
    for _ in range(5):
        reader = Reader(data, position, storage=True)
        found.append(reader.read())
        position = reader.position
    magic, protocol, machine, reference, keys = found
    value = reference.value if type(reference) is PersistentId else None
    if type(value) is not tuple or len(value) not in (5, 6) or value[5:] not in ((), (None,)):
        raise Refused("has a tensor whose numbers are not those of one storage")
    kind, storage, key, place, count = value[:5]
    right = (
        (magic, protocol) == (MAGIC, PROTOCOL)
        and _is_machine(machine)
        and kind == "storage"
        and type(storage) is Name
        and type(key) is type(place) is str
        and re.fullmatch(r"[0-9]{1,20}", key) is not None
        and re.fullmatch(r"cpu|cuda(:[0-9]{1,3})?", place) is not None
        and keys == [key]
        and type(count) is int
    )
    if not right or len(data) != position + 8 + count * ITEM_BYTES[storage.name]:
        raise Refused("has a tensor whose numbers are not those of one storage")
    return data


def _is_machine(value: Any) -> bool:
    """True for what torch.save says of a machine with little-endian numbers."""
    if type(value) is not dict or value.keys() != {"protocol_version", "little_endian", "type_sizes"}:
        return False
    sizes = value["type_sizes"]
    return (
        value["protocol_version"] == PROTOCOL
        and value["little_endian"] is True
        and type(sizes) is dict
        and sizes.keys() == {"short", "int", "long"}
        and all(type(size) is int for size in sizes.values())
    )
