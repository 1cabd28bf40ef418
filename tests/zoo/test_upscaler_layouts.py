"""Published files for super-resolution: BasicSR's names, those of older code, and ncnn, of every shape they come in."""

import ncnn_files
import pytest
import torch
from messages import logged
from safetensors.torch import save_file

from ganzoo import Field, SampleSpec
from ganzoo.convert.convert import convert
from ganzoo.convert.pickle_reader import read_inputs
from ganzoo.convert.recognize import recognize
from ganzoo.convert.request import Request
from ganzoo.errors import CheckpointError, UsageError
from ganzoo.registry.registry import registry
from ganzoo_plugins.esrgan.model import RRDBNet
from ganzoo_plugins.real_esrgan.model import CompactUpscaler
from ganzoo_plugins.srgan.model import SRResNet


def spec(scale: int, source: int = 3, output: int = 3) -> SampleSpec:
    return SampleSpec(Field((output, 16 * scale, 16 * scale)), {"source": Field((source, 16, 16))})


def rrdb(scale: int = 4, source: int = 3, output: int = 3, **options) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return RRDBNet(spec(scale, source, output), **{"width": 8, "blocks": 2, "growth": 4, **options}).state_dict()


def old_names(state: dict[str, torch.Tensor], blocks: int = 2) -> dict[str, torch.Tensor]:
    """The names of xinntao/ESRGAN's first code, whose Sequential counts upsampling and activations."""
    ups = sum(name.startswith("conv_up") and name.endswith("weight") for name in state)
    words = {"conv_first": "model.0", "conv_body": f"model.1.sub.{blocks}"}
    words |= {f"conv_up{number}": f"model.{3 * number}" for number in range(1, ups + 1)}
    words |= {"conv_hr": f"model.{2 + 3 * ups}", "conv_last": f"model.{4 + 3 * ups}"}
    found = {}
    for name, value in state.items():
        stem, _, end = name.rpartition(".")
        if stem.startswith("body."):
            _, block, dense, layer = stem.split(".")
            inner = "" if layer == "conv1x1" else ".0"
            found[f"model.1.sub.{block}.{dense.upper()}.{layer}{inner}.{end}"] = value
        else:
            found[f"{words[stem]}.{end}"] = value
    return found


def bsrgan_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The names of cszn/BSRGAN."""
    words = {"body": "RRDB_trunk", "conv_body": "trunk_conv", "conv_hr": "HRconv"}
    words |= {f"conv_up{number}": f"upconv{number}" for number in (1, 2)}
    found = {}
    for name, value in state.items():
        head, _, rest = name.partition(".")
        found[f"{words.get(head, head)}.{rest.replace('rdb', 'RDB')}"] = value
    return found


def compact(scale: int = 4, channels: int = 3, **options) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return CompactUpscaler(spec(scale, channels, channels), **{"width": 6, "convolutions": 2, **options}).state_dict()


def residual(scale: int = 4, channels: int = 3) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return SRResNet(spec(scale, channels, channels), width=6, blocks=2).state_dict()


DENSE = {"width": 8, "blocks": 2, "growth": 4}
CASES = {  # tensors in the file, ours, the layout, the variant, scale, options that the file determines
    "x4plus": (rrdb(), None, "basicsr-rrdbnet", "real-esrgan", 4, DENSE),
    "x2plus": (rrdb(2), None, "basicsr-rrdbnet", "real-esrgan", 2, DENSE),
    "x1": (rrdb(1), None, "basicsr-rrdbnet", "real-esrgan", 1, DENSE),
    "grey": (rrdb(4, 1, 1), None, "basicsr-rrdbnet", "real-esrgan", 4, DENSE),
    "wide growth": (rrdb(growth=7), None, "basicsr-rrdbnet", "real-esrgan", 4, {**DENSE, "growth": 7}),
    "old x4": (old_names(rrdb()), rrdb(), "esrgan-old", "esrgan", 4, DENSE),
    "old x2": (
        old_names(rrdb(2, unshuffle=False)),
        rrdb(2, unshuffle=False),
        "esrgan-old",
        "esrgan",
        2,
        {**DENSE, "unshuffle": False},
    ),
    "old x1": (
        old_names(rrdb(1, unshuffle=False)),
        rrdb(1, unshuffle=False),
        "esrgan-old",
        "esrgan",
        1,
        {**DENSE, "unshuffle": False},
    ),
    "old x8": (old_names(rrdb(8)), rrdb(8), "esrgan-old", "esrgan", 8, DENSE),
    "old x2 that folds pixels": (old_names(rrdb(2)), rrdb(2), "esrgan-old", "esrgan", 2, DENSE),
    "ESRGAN+": (old_names(rrdb(plus=True)), rrdb(plus=True), "esrgan-old", "esrgan", 4, {**DENSE, "plus": True}),
    "BSRGAN": (bsrgan_names(rrdb()), rrdb(), "bsrgan", "esrgan", 4, DENSE),
    "BSRGAN x2": (
        bsrgan_names(rrdb(2, unshuffle=False)),
        rrdb(2, unshuffle=False),
        "bsrgan",
        "esrgan",
        2,
        {**DENSE, "unshuffle": False},
    ),
    "compact x4": (compact(), None, "basicsr-compact", "real-esrgan-compact", 4, {"width": 6, "convolutions": 2}),
    "compact x2 grey": (
        compact(2, 1),
        None,
        "basicsr-compact",
        "real-esrgan-compact",
        2,
        {"width": 6, "convolutions": 2},
    ),
    "MSRResNet x4": (residual(), None, "basicsr-msrresnet", "srgan", 4, {"width": 6, "blocks": 2}),
    "MSRResNet x3": (residual(3), None, "basicsr-msrresnet", "srgan", 3, {"width": 6, "blocks": 2}),
    "MSRResNet x2 grey": (residual(2, 1), None, "basicsr-msrresnet", "srgan", 2, {"width": 6, "blocks": 2}),
}


def shapes_of(tensors):
    return {name: tuple(value.shape) for name, value in tensors.items()}


@pytest.mark.parametrize("case", CASES)
def test_names_and_shapes_determine_the_network_and_one_layout_takes_it(case):
    theirs, ours, name, variant, scale, options = CASES[case]
    table = registry().table("layouts")
    found = {other: match for other in table if (match := table[other]().recognize(shapes_of(theirs))) is not None}
    assert list(found) == [name]
    match = found[name]
    assert match.part.options == options and match.role == "generator" and variant in table[name].variants
    assert match.image.height == scale * match.image.inputs["source"].shape[1]
    assert ("scale of 2" in match.note) == (scale == 2 and options.get("unshuffle") is False)
    assert ("adds noise" in match.note) == ("plus" in options)
    made = table[name]().convert(theirs, match)
    wanted = theirs if ours is None else ours
    assert made.keys() == wanted.keys() and all(torch.equal(made[key], value) for key, value in wanted.items())


@pytest.mark.parametrize("case", CASES)
def test_a_tensor_too_few_or_of_another_shape_is_not_accounted_for(case):
    theirs, _, name, *_ = CASES[case]
    layout, shapes = registry().get("layouts", name)(), shapes_of(theirs)
    for key in list(shapes)[:: max(1, len(shapes) // 7)]:
        assert layout.recognize({other: shape for other, shape in shapes.items() if other != key}) is None, key
        assert layout.recognize({**shapes, key: (*shapes[key][:-1], shapes[key][-1] + 1)}) is None, key
    assert layout.recognize({**shapes, "other.weight": (3,)}) is None and layout.recognize({}) is None


@pytest.fixture
def attempt(tmp_path):
    """Converts tensors without a variant; `said` gathers what was logged."""

    def run(tensors, out="out", **options):
        save_file({name: value.contiguous() for name, value in tensors.items()}, tmp_path / "file.safetensors")
        return convert(Request(files=[tmp_path / "file.safetensors"], out=tmp_path / out, **options), registry())

    with logged() as run.said:
        yield run


STATE = {name: value.half().float() for name, value in compact().items()}
ZEROS = {name: torch.zeros_like(value) for name, value in STATE.items()}
FILES = {  # what torch.save writes, and the key that is given
    "params_ema and params": ({"params": ZEROS, "params_ema": STATE}, None),
    "the other one": ({"params": STATE, "params_ema": ZEROS}, "params"),
    "params": ({"params": STATE}, None),
    "bare": (STATE, None),
    "model of DataParallel": ({"model": {f"module.{name}": value for name, value in STATE.items()}}, None),
    "net": ({"net": STATE, "epoch": 3}, None),
    "state_dict": ({"state_dict": {f"netG.{name}": value for name, value in STATE.items()}}, None),
    "half": ({name: value.half() for name, value in STATE.items()}, None),
    "two networks": ({"params": STATE, "params_ema": compact(width=7)}, None),
}


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """What each of `FILES` is read as, by one process, and what was logged."""
    folder, files = tmp_path_factory.mktemp("files"), []
    for number, (content, _) in enumerate(FILES.values()):
        torch.save(content, folder / f"{number}.pth")
        files.append(recognize([folder / f"{number}.pth"]))
    with logged() as said:
        return dict(zip(FILES, read_inputs(files, [key for _, key in FILES.values()]), strict=True)), said


@pytest.mark.parametrize("name", [name for name in FILES if name != "two networks"])
def test_files_of_basicsr_are_read_and_averaged_weights_come_first(read, name):
    found = {key.removeprefix("netG."): value for key, value in read[0][name].items()}
    assert found.keys() == STATE.keys() and all(torch.equal(found[key].float(), STATE[key]) for key in STATE)


def test_that_an_average_was_taken_is_said_once(read):
    assert [line.partition("--key")[2] for line in read[1]] == [" params takes the others"]


def test_two_networks_under_those_keys_are_not_one(read):
    assert isinstance(read[0]["two networks"], UsageError) and "several networks" in str(read[0]["two networks"])


def test_a_prefix_of_the_network_and_half_precision_are_no_hindrance(attempt):
    model = attempt({f"netG.{name}": value.half() for name, value in STATE.items()}, license="Apache-2.0")
    assert all(torch.equal(value, STATE[key]) for key, value in model.generator.state_dict().items())
    found = model.variant, model.config.license, model.config.task
    assert found == ("real-esrgan-compact", "Apache-2.0", "super-resolution")


def test_esrgan_and_real_esrgan_have_one_network_and_both_names_are_right(attempt):
    assert attempt(rrdb()).variant == "real-esrgan" and "esrgan has too" in " ".join(attempt.said)
    assert attempt(rrdb(), out="named", variant="esrgan").variant == "esrgan"


def test_a_converted_network_enlarges_any_size(attempt):
    model = attempt(old_names(rrdb(2)))
    assert model.config.generator.options["blocks"] == 2
    assert model.apply(torch.zeros(1, 3, 7, 10)).shape == (1, 3, 14, 20)
    assert model.config.inputs["source"].options["factor"] == 2  # of the condition that makes such sources


# -- ncnn --------------------------------------------------------------------------------------------------------------


def test_a_pair_of_ncnn_becomes_the_network_that_computes_the_same(tmp_path):
    tensors = ncnn_files.compact_tensors(scale=2)
    path = ncnn_files.write(tmp_path, ncnn_files.param(ncnn_files.compact_lines()), ncnn_files.numbers(tensors))
    with logged() as said:
        model = convert(Request(files=[path], out=tmp_path / "out"), registry())
    assert model.variant == "real-esrgan-compact" and model.image.height == 128
    assert all(torch.equal(value, tensors[name]) for name, value in model.generator.state_dict().items())
    assert any("differ by" in line and "net.param" in line for line in said)
    assert [one["file"] for one in model.config.training["converted_from"]] == ["net.param", "net.bin"]


def dense_lines(ups: int = 2) -> tuple[list[str], dict[str, torch.Tensor]]:
    """An RRDB network as ncnn's tools write it, with our random tensors."""
    state = rrdb(2**ups, blocks=1, unshuffle=False)
    lines, count, order = ["Input in 0 1 data"], 0, []

    def convolution(name: str, blob: str, active: bool = False) -> str:
        nonlocal count
        weight, count = state[f"{name}.weight"], count + 1
        order.append(name)
        tail = " 9=2 -23310=1,2.000000e-01" if active else ""
        head = f"Convolution c{count} 1 1 {blob} o{count} 0={len(weight)} 1=3 4=1 5=1"
        lines.append(f"{head} 6={weight.numel()}{tail}")
        return f"o{count}"

    def split(blob: str, parts: int) -> list[str]:
        names = [f"{blob}_{number}" for number in range(parts)]
        lines.append(f"Split s{blob} 1 {parts} {blob} {' '.join(names)}")
        return names

    def summed(kind: str, first: str, second: str, tail: str = "") -> str:
        lines.append(f"{kind} a{first} 2 1 {first} {second} sum{first}{tail}")
        return f"sum{first}"

    fifth = " 0=1 -23301=2,2.000000e-01,1.000000e+00"
    first, body, last = split(convolution("conv_first", "data"), 3)
    for part in (1, 2, 3):
        copies = {0: split(body, 6)}
        kept = copies[0].pop()
        for number in range(1, 6):
            joined = [blobs.pop() for blobs in copies.values()]
            if number > 1:
                lines.append(f"Concat j{part}{number} {number} 1 {' '.join(joined)} j{part}{number}")
            blob = f"j{part}{number}" if number > 1 else joined[0]
            made = convolution(f"body.0.rdb{part}.conv{number}", blob, active=number < 5)
            if number < 5:
                copies[number] = split(made, 5 - number)
        body = summed("Eltwise", made, kept, fifth)
    body = convolution("conv_body", summed("Eltwise", body, first, fifth))
    x = summed("BinaryOp", last, body)
    for number in range(1, ups + 1):
        lines.append(f"Interp i{number} 1 1 {x} n{number} 0=1 1=2.0 2=2.0")
        x = convolution(f"conv_up{number}", f"n{number}", active=True)
    convolution("conv_last", convolution("conv_hr", x, active=True))
    return lines, {f"{name}.{end}": state[f"{name}.{end}"] for name in order for end in ("weight", "bias")}


def test_dense_blocks_of_ncnn_are_recognized_by_their_order(tmp_path):
    lines, tensors = dense_lines()
    path = ncnn_files.write(tmp_path, ncnn_files.param(lines), ncnn_files.numbers(tensors, half=False))
    model = convert(Request(files=[path], out=tmp_path / "out"), registry())
    assert model.config.generator.options == {"width": 8, "blocks": 1, "growth": 4} and model.variant == "real-esrgan"
    assert all(torch.equal(value, tensors[name]) for name, value in model.generator.state_dict().items())


@pytest.mark.parametrize(
    ("old", "new"),
    [("9=2 -23310=1,2.000000e-01", "9=2 -23310=1,9.000000e-01"), ("-23301=2,2.000000e-01", "-23301=2,9.000000e-01")],
    ids=["activation", "sum"],
)
def test_layers_that_compute_something_else_are_refused(tmp_path, old, new):
    lines, tensors = dense_lines()
    tensors = {name: value * (4 if value.dim() == 4 else 1) for name, value in tensors.items()}
    changed = [line.replace(old, new) for line in lines]
    path = ncnn_files.write(tmp_path, ncnn_files.param(changed), ncnn_files.numbers(tensors, half=False))
    with pytest.raises(CheckpointError, match="computes something else than the network"):
        convert(Request(files=[path], out=tmp_path / "out"), registry())
    assert not (tmp_path / "out").exists()


def test_a_graph_that_resizes_in_the_end_is_of_another_scale(tmp_path):
    lines = [line.replace(" output", " whole") for line in ncnn_files.compact_lines()]
    lines += ["Interp half 1 1 whole output 0=3 1=5.000000e-01 2=5.000000e-01"]
    data = ncnn_files.numbers(ncnn_files.compact_tensors())
    path = ncnn_files.write(tmp_path, ncnn_files.param(lines), data)
    with pytest.raises(CheckpointError, match="makes 12x12 pixels of 12x12, and the network with its numbers 24x24"):
        convert(Request(files=[path], out=tmp_path / "out"), registry())
    assert not (tmp_path / "out").exists()
