"""What a checkpoint gives back, bit for bit, and what it refuses to write or to read."""

import hashlib
import json
import math
import os
import random
import struct
from collections import OrderedDict

import numpy
import pytest
import torch
from torch import nn

from ganzoo.checkpoints import manifest
from ganzoo.checkpoints.checkpoint import list_checkpoints, load_checkpoint, save_checkpoint
from ganzoo.errors import CheckpointError, DivergedError


def same(a, b) -> bool:
    """Equal in type, order, bits and, for tensors, memory layout."""
    if isinstance(a, torch.Tensor):
        bits = [
            bytes(t.detach().contiguous().reshape(-1).view(torch.uint8).numpy()) if t.numel() else b"" for t in (a, b)
        ]
        return (a.dtype, a.shape, bits[0]) == (b.dtype, b.shape, bits[1])
    if isinstance(a, dict):
        return (
            isinstance(b, dict)
            and list(a) == list(b)
            and all(type(k) is type(q) and same(a[k], b[q]) for k, q in zip(a, b, strict=True))
        )
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return struct.pack("d", a) == struct.pack("d", b)
    return type(a) is type(b) and a == b


def round_trip(tmp_path, tree):
    path = save_checkpoint(tmp_path / "checkpoints", 7, {"tree": tree})
    step, trees, _ = load_checkpoint(path)
    assert step == 7
    return trees["tree"]


TREES = {
    "numbers": [0, -1, 2**200, True, False, 0.1, -0.0, 5e-324, 1e22, 1.0, math.inf, -math.inf, math.nan],
    "text": ["", "größe", "\x00\n\u2028", "\ud800", "$float"],
    "containers": {"a": (), "b": [], "c": {}, "d": ((1, [2, ({},)]),), "e": None},
    "keys": {1: "int", "1": "text", -5: 0, "$tensor": "no tag", "a.b": 1, "": 2},
    "tag look-alike": {"$float": "inf", "stride": [1]},
    "dotted clash": {"a.b": torch.ones(1), "a": {"b": torch.zeros(1)}, 0: torch.ones(2), "0": torch.ones(3)},
    "odd tensor names": {
        "": torch.ones(1),
        "__metadata__": torch.ones(2),
        "\ud800": torch.ones(3),
        "n\n\x00": torch.ones(4),
    },
    "a tensor alone": torch.arange(5),
    "python's random state": random.Random(3).getstate(),
    "numpy's random state": numpy.random.default_rng(3).bit_generator.state,
    "torch's random state": torch.Generator().manual_seed(3).get_state(),
}
DTYPES = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64 float8_e4m3fn".split()


@pytest.mark.parametrize("name", TREES)
def test_every_kind_of_leaf_comes_back_exactly(tmp_path, name):
    assert same(round_trip(tmp_path, TREES[name]), TREES[name])


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_shape_comes_back_bit_for_bit(tmp_path, dtype):
    values = (torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)) * 3).to(getattr(torch, dtype))
    tree = {
        "full": values,
        "scalar": values[0, 0, 0],
        "empty": values[:0],
        "slice": values[:, 1],
        "turned": values.transpose(0, 2),
    }
    tree |= {"conjugate": values.conj()} if values.is_complex() else {"expanded": values[:1].expand(2, 3, 4)}
    back = round_trip(tmp_path, tree)
    assert same(back, {name: tensor.resolve_conj() for name, tensor in tree.items()})
    back["full"].zero_()
    assert same(back["slice"], tree["slice"]), "a loaded tensor must own its memory"


def test_shared_memory_parameters_and_gradients_are_stored_as_plain_values(tmp_path):
    weight = nn.Parameter(torch.randn(4, 4))
    tree = OrderedDict(weight=weight, tied=weight, row=weight[1], rest=weight.detach().view(-1)[3:])
    back = round_trip(tmp_path, tree)
    assert same(back, dict(tree)) and not any(tensor.requires_grad for tensor in back.values())


@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (8, 4, 1, 1), (4, 1, 3, 3), (2, 3, 4, 5, 6)])
def test_the_memory_layout_is_kept(tmp_path, shape):
    form = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
    tensor = torch.randn(shape).to(memory_format=form)
    back = round_trip(tmp_path, {"w": tensor, "t": torch.randn(3, 5).t()})
    assert same(back["w"], tensor) and back["w"].stride() == tensor.stride()
    assert back["t"].stride() == (1, 5)


def optimizers(parameters):
    yield "adam", torch.optim.Adam(parameters, lr=0.01, betas=(0.5, 0.999), fused=True)
    yield "amsgrad", torch.optim.Adam(parameters, lr=0.01, amsgrad=True)
    yield "rmsprop", torch.optim.RMSprop(parameters, lr=0.01, centered=True)
    yield "sgd", torch.optim.SGD(parameters, lr=0.01, momentum=0.9, nesterov=True)


@pytest.mark.parametrize("which", range(4))
def test_an_optimizer_and_its_schedule_go_on_bit_for_bit(tmp_path, which):
    def build():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)).to(
            memory_format=torch.channels_last
        )
        name, optimizer = list(optimizers(list(network.parameters())))[which]
        return network, optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=20)

    def train(parts, steps):
        network, optimizer, schedule = parts
        for step in steps:
            images = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            network(images).square().mean().backward()
            optimizer.step()
            schedule.step()

    def state(parts):
        keep = [part.state_dict() for part in parts]
        return {
            **dict(zip(("generator", "optimizer"), keep[:2], strict=True)),
            "schedule": {k: v for k, v in keep[2].items() if not callable(v)},
        }

    straight, stopped, resumed = build(), build(), build()
    train(straight, range(8))
    train(stopped, range(4))
    path = save_checkpoint(tmp_path / "checkpoints", 4, state(stopped))
    trees = load_checkpoint(path)[1]
    assert same(trees, state(stopped))
    for part, key in zip(resumed, trees, strict=True):
        part.load_state_dict(trees[key])
    train(resumed, range(4, 8))
    assert same(state(resumed), state(straight))


def test_the_files_are_plain_safetensors_with_state_dict_names_and_ordinary_rights(tmp_path):
    network = nn.Sequential(OrderedDict(main=nn.Sequential(nn.Linear(2, 2))))
    path = save_checkpoint(tmp_path / "checkpoints", 1200, {"generator": network.state_dict(), "counters": {"seen": 3}})
    assert path == tmp_path / "checkpoints" / "step-000001200"
    assert sorted(os.listdir(path)) == ["MANIFEST.json", "generator.safetensors", "state.json"]
    from safetensors.torch import load_file

    assert sorted(load_file(path / "generator.safetensors")) == ["main.0.bias", "main.0.weight"]
    assert len({(path / name).stat().st_mode for name in os.listdir(path)}) == 1


def test_only_the_asked_keys_are_read(tmp_path):
    trees = {"generator": {"w": torch.ones(2)}, "optimizer": {"m": torch.ones(2)}, "position": 5}
    path = save_checkpoint(tmp_path / "checkpoints", 1, trees, summary={"fid": math.inf, "note": ["größe"]})
    (path / "optimizer.safetensors").unlink()
    assert same(
        load_checkpoint(path, ["generator", "position"]),
        (1, {k: trees[k] for k in ("generator", "position")}, {"fid": math.inf, "note": ["größe"]}),
    )
    with pytest.raises(CheckpointError, match="'ema'.*generator, optimizer, position"):
        load_checkpoint(path, ["ema"])
    with pytest.raises(CheckpointError, match="optimizer.safetensors cannot be read: No such file"):
        load_checkpoint(path)


def test_a_state_that_is_not_finite_is_never_written(tmp_path):
    bad = {
        f"w{index}": torch.tensor([0.0, value]) for index, value in enumerate([math.nan, math.inf, -math.inf, math.nan])
    }
    trees = {"discriminator": {"fine": torch.ones(1)}, "generator": {**bad, "half": torch.ones(1, dtype=torch.float16)}}
    with pytest.raises(DivergedError) as caught:
        save_checkpoint(tmp_path / "checkpoints", 12, trees)
    expected = (
        "step 12: values are not finite in generator 'w0', generator 'w1', generator 'w2' and 1 more; "
        "this state was not saved."
    )
    assert str(caught.value) == expected and os.listdir(tmp_path) == []
    for dtype in (torch.bfloat16, torch.float64, torch.complex64, torch.float8_e4m3fn):
        with pytest.raises(DivergedError):
            save_checkpoint(tmp_path / "checkpoints", 12, {"g": torch.tensor([math.nan]).to(dtype)})


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_finite_values_of_an_infinite_sum_are_kept_and_infinities_that_cancel_are_refused(tmp_path, dtype):
    large = torch.full((100,), torch.finfo(dtype).max, dtype=dtype)
    save_checkpoint(tmp_path / "checkpoints", 1, {"g": large})
    assert torch.equal(load_checkpoint(tmp_path / "checkpoints" / "step-000000001")[1]["g"], large)
    with pytest.raises(DivergedError, match="step 2: values are not finite in g"):
        save_checkpoint(tmp_path / "checkpoints", 2, {"g": torch.tensor([1.0, math.inf, -math.inf]).to(dtype)})


def nested(levels):
    tree = 1
    for _ in range(levels):
        tree = {0: (tree,)}
    return tree


UNSTORABLE = {
    "numpy number": ({"a": [numpy.float64(1)]}, r"'a\.0' is a numpy\.float64"),
    "object": ({"a": object()}, "'a' is a builtins.object"),
    "bytes": (b"x", "is a builtins.bytes"),
    "key": ({None: 1}, "is a builtins.dict"),
    "bool key": ({"a": {True: 1}}, "'a' is a builtins.dict"),
    "sparse": ({"a": torch.eye(2).to_sparse()}, "not a dense tensor"),
    "meta": ({"a": torch.empty(2, device="meta")}, "not a dense tensor"),
    "deep": (nested(40), "more than 64 levels"),
    "huge number": ({"a": 2**20000}, "'a' is a builtins.int"),
    "dtype": ({"a": torch.ones(1, dtype=torch.complex128)}, "'a' has dtype torch.complex128"),
}


@pytest.mark.parametrize("name", UNSTORABLE)
def test_what_cannot_come_back_is_refused_in_one_line_and_leaves_nothing(tmp_path, name):
    tree, why = UNSTORABLE[name]
    with pytest.raises(CheckpointError, match=why) as caught:
        save_checkpoint(tmp_path, 1, {"tree": tree})
    assert "\n" not in str(caught.value) and os.listdir(tmp_path) == []


@pytest.mark.parametrize("key", ["", "../x", "a/b", "A", ".hidden", "x" * 65, "größe"])
def test_a_key_that_is_no_safe_file_name_is_refused(tmp_path, key):
    with pytest.raises(CheckpointError, match="cannot name a part"):
        save_checkpoint(tmp_path, 1, {key: torch.ones(1)})
    with pytest.raises(CheckpointError, match="'summary' |is a torch|cannot be saved|saved are only"):
        save_checkpoint(tmp_path, 1, {}, summary={"picture": torch.ones(1)})


def forge(path, edit_state=None, edit_manifest=None, **files):
    """Rewrites a checkpoint as somebody would who can also compute sha256."""
    content = json.loads((path / "MANIFEST.json").read_bytes())
    del content["check"]
    if edit_state:
        state = json.loads((path / "state.json").read_bytes())
        edit_state(state["trees"])
        files["state.json"] = json.dumps(state).encode()
    for name, data in files.items():
        (path / name).write_bytes(data)
        content["files"][name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    if edit_manifest:
        edit_manifest(content)
    (path / "MANIFEST.json").write_bytes(manifest.sealed(content))


def header(text: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text)) + text + data


F32 = b'{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
FORGED = {
    "missing and extra": (
        dict(edit_state=lambda t: t["g"].update(w={"$tensor": "x"}, v={"$tensor": "y"})),
        "missing: 'x', 'y'; not asked for: 'w'",
    ),
    "twice": (dict(edit_state=lambda t: t["g"].update(v={"$tensor": "w"})), "asked for twice: 'w'"),
    "no file": (dict(edit_state=lambda t: t.update(h={"$tensor": "w"})), "does not list h.safetensors"),
    "unknown tag": (
        dict(edit_state=lambda t: t["g"].update(v={"$object": "os.system"})),
        "no value that a checkpoint holds",
    ),
    "tag with more": (
        dict(edit_state=lambda t: t["g"].update(v={"$float": "nan", "a": 1})),
        "no value that a checkpoint holds",
    ),
    "float": (dict(edit_state=lambda t: t["g"].update(v={"$float": "1.0"})), "no value that a checkpoint holds"),
    "pairs": (dict(edit_state=lambda t: t["g"].update(v={"$dict": [[1, 2], [1, 3]]})), "no new key with its value"),
    "pair key": (dict(edit_state=lambda t: t["g"].update(v={"$dict": [[[1], 2]]})), "no new key with its value"),
    "stride": (
        dict(edit_state=lambda t: t["g"].update(w={"$tensor": "w", "stride": [0]})),
        "does not fit a tensor of shape",
    ),
    "long stride": (
        dict(edit_state=lambda t: t["g"].update(w={"$tensor": "w", "stride": [2**40]})),
        "does not fit a tensor of shape",
    ),
    "text stride": (
        dict(edit_state=lambda t: t["g"].update(w={"$tensor": "w", "stride": ["1"]})),
        "does not fit a tensor of shape",
    ),
    "not trees": ({"state.json": b"[]"}, "does not hold the trees"),
    "state key twice": ({"state.json": b'{"trees": {}, "trees": {}}'}, "'trees' is there twice"),
    "step": (dict(edit_manifest=lambda m: m.update(step=8)), "holds step 8: the folder's name must be step-000000008"),
    "step type": (dict(edit_manifest=lambda m: m.update(step=7.0)), "not the manifest of a checkpoint"),
    "file outside": (
        dict(edit_manifest=lambda m: m["files"].update({"../a.safetensors": m["files"]["state.json"]})),
        "lists files",
    ),
    "fingerprint": (dict(edit_manifest=lambda m: m["files"].update({"state.json": 5})), "lists files"),
    "newer": (dict(edit_manifest=lambda m: m.update(format=2)), "has format 2, this ganzoo reads up to 1"),
    "pickle": ({"g.safetensors": b"\x80\x02}q\x00." * 9}, "header cannot be"),
    "short": ({"g.safetensors": b"\x01"}, "header cannot be"),
    "tensor twice": ({"g.safetensors": header(b'{"w":%s,"w":%s}' % (F32, F32), b"1234")}, "'w' is there twice"),
    "header list": ({"g.safetensors": header(b"[]")}, "its header is not a list of"),
    "offsets": ({"g.safetensors": header(b'{"w":%s}' % F32, b"12345678")}, "is not valid safetensors: "),
    "dtype": (
        {"g.safetensors": header(b'{"w":%s}' % F32.replace(b"F32", b"F31"), b"1234")},
        "is not valid safetensors: ",
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_checkpoint_with_right_checksums_is_still_read_strictly(tmp_path, name):
    change, why = FORGED[name]
    path = save_checkpoint(tmp_path, 7, {"g": {"w": torch.ones(2)}})
    forge(path)
    assert load_checkpoint(path)[0] == 7, "the forger must be able to forge"
    forge(path, **change)
    with pytest.raises(CheckpointError, match=why) as caught:
        load_checkpoint(path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_the_list_is_newest_first_and_ignores_what_is_no_checkpoint(tmp_path):
    assert list_checkpoints(tmp_path / "absent") == []
    for step in (900, 1000000000, 20):
        save_checkpoint(tmp_path, step, {"a": 1})
    for name in (
        ".tmp-1-a",
        ".trash-step-000000001-a",
        ".damaged-step-000000002-a",
        "step-12",
        "step-0000000012",
        "notes",
    ):
        (tmp_path / name).mkdir()
    assert [step for step, _ in list_checkpoints(tmp_path)] == [1000000000, 900, 20]
    assert load_checkpoint(list_checkpoints(tmp_path)[0][1])[0] == 1000000000
