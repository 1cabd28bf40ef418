"""ncnn's .param and .bin: whole ones come out bit for bit, damaged and hostile ones are one line."""

import struct
import time

import ncnn_files
import numpy
import pytest
import torch
from torch.nn import functional

from ganzoo import Field, SampleSpec
from ganzoo.convert import ncnn
from ganzoo.convert.ncnn_graph import refuse_difference, run
from ganzoo.convert.pickle_reader import read_inputs
from ganzoo.convert.recognize import recognize
from ganzoo.errors import CheckpointError, GanzooError, UsageError
from ganzoo_plugins.real_esrgan.model import CompactUpscaler

LINES, TENSORS = ncnn_files.compact_lines(), ncnn_files.compact_tensors()
TEXT, DATA = ncnn_files.param(LINES), ncnn_files.numbers(TENSORS)


@pytest.mark.parametrize("half", [True, False], ids=["float16", "float32"])
def test_a_whole_pair_comes_out_bit_for_bit(tmp_path, half):
    data = ncnn_files.numbers(TENSORS, half)
    file = recognize([ncnn_files.write(tmp_path, TEXT, data)])
    assert file.kind == "ncnn" and file.size == len(data)
    (found,) = read_inputs([file], [None])
    assert list(found) == [
        "0.convolution.weight",
        "0.convolution.bias",
        "1.prelu.weight",
        "2.convolution.weight",
        "2.convolution.bias",
        "3.prelu.weight",
        "4.convolution.weight",
        "4.convolution.bias",
    ]
    for ours, theirs in zip(found.values(), TENSORS.values(), strict=True):
        assert torch.equal(ours.float(), theirs)


def test_the_graph_computes_what_the_layers_say(tmp_path):
    path = ncnn_files.write(tmp_path, TEXT, DATA)
    image = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    hidden = image
    for number in (0, 2):
        hidden = functional.conv2d(hidden, TENSORS[f"body.{number}.weight"], TENSORS[f"body.{number}.bias"], padding=1)
        hidden = functional.prelu(hidden, TENSORS[f"body.{number + 1}.weight"])
    hidden = functional.conv2d(hidden, TENSORS["body.4.weight"], TENSORS["body.4.bias"], padding=1)
    wanted = functional.pixel_shuffle(hidden, 2) + image.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.allclose(run(ncnn.read_graph(path, path.with_suffix(".bin")), image), wanted, atol=1e-6)


def test_activations_inside_of_a_convolution_and_weighted_sums(tmp_path):
    lines = ["Input in 0 1 data", "Convolution c 1 1 data x 0=1 1=1 6=1 9=2 -23310=1,2.000000e-01"]
    lines += ["Split s 1 2 x a b", "Eltwise e 2 1 a b y 0=1 -23301=2,2.000000e-01,1.000000e+00", "ReLU r 1 1 y z"]
    path = ncnn_files.write(tmp_path, ncnn_files.param(lines), bytes(4) + struct.pack("<f", 3.0))
    image = torch.tensor([[[[-1.0, 2.0]]]])
    assert torch.allclose(run(ncnn.read_graph(path, path.with_suffix(".bin")), image), torch.tensor([0.0, 7.2]))


def test_windows_line_ends_and_both_files_given(tmp_path):
    path = ncnn_files.write(tmp_path, TEXT.replace(b"\n", b"\r\n"), DATA)
    file = recognize([path, path.with_suffix(".bin")])
    assert file.paths == (path, path.with_suffix(".bin")) and len(read_inputs([file], [None])[0]) == 8


def edited(old: str, new: str) -> bytes:
    assert sum(old in line for line in LINES), old
    return ncnn_files.param([line.replace(old, new) for line in LINES])


def flagged(value: int, place: int = 0) -> bytes:
    return DATA[:place] + struct.pack("<I", value) + DATA[place + 4 :]


FIRST = 4 + 2 * 4 * 3 * 9  # bytes of the first convolution's weights
HOSTILE = {
    "no text": (b"7767517\n\xff\xfe\x00", DATA, "not UTF-8"),
    "wrong magic": (TEXT.replace(b"7767517", b"7767518"), DATA, "of no kind|not a file|does not start"),
    "magic alone": (b"7767517\n", DATA, "line 2"),
    "negative counts": (ncnn_files.param(LINES, layers="-3"), DATA, "line 2"),
    "too many layers": (ncnn_files.param(LINES, layers=999), DATA, "states 999 layers and holds 10"),
    "huge blobs": (ncnn_files.param(LINES, blobs=999_999_999), DATA, "states 999999999 blobs"),
    "blobs beyond": (ncnn_files.param(LINES, blobs="1" * 30), DATA, "line 2"),
    "unknown layer": (edited("PReLU prelu0", "LSTM prelu0"), DATA, "'LSTM'; read are .*Convolution"),
    "unknown key": (edited("4=1 5=1", "4=1 77=1 5=1"), DATA, "key 77"),
    "key twice": (edited("4=1 5=1", "4=1 5=1 5=1"), DATA, "the key 5 again"),
    "no number": (edited("4=1 5=1", "4=1 5=nan"), DATA, "no key=value"),
    "infinite": (edited("1=2.000000e+00 2=", "1=2e999 2="), DATA, "not finite"),
    "10^12 numbers": (edited("6=144", "6=1000000000000"), DATA, "states 1000000000000 numbers"),
    "10^12 numbers that agree": (edited("0=4 1=3 4=1 5=1 6=144", "0=4 1=3 4=1 5=1 6=999999999936"), DATA, "4 channels"),
    "huge output": (edited("0=4 1=3 4=1 5=1 6=108", "0=4000000000 1=3 4=1 5=1 6=108000000000"), DATA, "up to 4096"),
    "negative numbers": (edited("6=144", "6=-144"), DATA, "6 is -144"),
    "no output channels": (edited("0=4 1=3 4=1 5=1 6=144", "0=0 1=3 4=1 5=1 6=144"), DATA, "0 is 0"),
    "fraction": (edited("0=4 1=3 4=1 5=1 6=144", "0=4.5 1=3 4=1 5=1 6=144"), DATA, "0 is 4.5"),
    "stride": (edited("6=144", "6=144 3=2"), DATA, "3=2"),
    "quantized": (edited("6=144", "6=144 8=1"), DATA, "8=1"),
    "no padding": (edited("0=4 1=3 4=1 5=1 6=144", "0=4 1=3 4=0 5=1 6=144"), DATA, "keep the size"),
    "array": (edited("6=144", "6=144 9=2 -23310=5,1.0"), DATA, "as many numbers"),
    "slopes": (edited("PReLU prelu0 1 1 c0 p0 0=4", "PReLU prelu0 1 1 c0 p0 0=9"), DATA, "9 slopes for 4"),
    "shuffle": (edited("large 0=2", "large 0=5"), DATA, "shuffles 12 channels by 5"),
    "resize of no kind": (edited("nearest 0=1 1=", "nearest 1="), DATA, "0 is missing"),
    "huge resize": (edited("1=2.000000e+00 2=2.000000e+00", "1=900 2=900"), DATA, "resizes by 900"),
    "missing input": (edited("BinaryOp add 2 1 large nearest", "BinaryOp add 2 1 large elsewhere"), DATA, "elsewhere"),
    "a blob read twice": (
        edited("BinaryOp add 2 1 large nearest", "BinaryOp add 2 1 large base"),
        DATA,
        "reads already",
    ),
    "inputs unnamed": (edited("PReLU prelu0 1 1 c0 p0", "PReLU prelu0 900000000 1 c0 p0"), DATA, "does not name them"),
    "a name twice": (edited("conv1 1 1", "conv0 1 1"), DATA, "two layers called 'conv0'"),
    "an odd line": (ncnn_files.param([*LINES, "what"]), DATA, "is no layer"),
    "no numbers": (ncnn_files.param(LINES[:1]), b"\0\0\0\0", "no layer that holds numbers"),
    "flag in the middle": (TEXT, flagged(0xDEADBEEF, FIRST + 16 + 16), "flag 0xdeadbeef"),
    "quantized flag": (TEXT, flagged(0x000D4B38), "0x000d4b38"),
    "flag of the other width": (TEXT, flagged(0), "flag|end"),
    "truncated": (TEXT, DATA[:-1], "would end at"),
    "truncated in a flag": (TEXT, DATA[: FIRST + 16 + 16 + 2], "ends before"),
    "trailing bytes": (TEXT, DATA + b"\0\0\0\0", f"has {len(DATA) + 4} bytes, .*end at {len(DATA)}"),
    "empty numbers": (TEXT, b"", "is empty"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_damage_is_one_line(tmp_path, name):
    text, data, says = HOSTILE[name]
    path = ncnn_files.write(tmp_path, text, data)
    with pytest.raises(GanzooError, match=says) as refused:
        (found,) = read_inputs([recognize([path])], [None])
        raise found if isinstance(found, GanzooError) else AssertionError(list(found))
    assert "\n" not in str(refused.value) and str(tmp_path) in str(refused.value)


def test_channels_that_double_do_not_grow_without_end(tmp_path):
    lines = ["Input in 0 1 data", "Convolution c 1 1 data b0 0=64 1=1 6=64"]
    for number in range(40):
        lines += [f"Split s{number} 1 2 b{number} l{number} r{number}"]
        lines += [f"Concat j{number} 2 1 l{number} r{number} b{number + 1}"]
    path = ncnn_files.write(tmp_path, ncnn_files.param(lines), bytes(4 + 4 * 64))
    with pytest.raises(CheckpointError, match="8192 channels"):
        ncnn.read_graph(path, path.with_suffix(".bin"))


def test_a_million_lines_are_refused_at_once(tmp_path):
    lines = ["Input in 0 1 data", *(f"Split s{number} 1 1 a b" for number in range(1_000_000))]
    path = ncnn_files.write(tmp_path, ncnn_files.param(lines, blobs=1), DATA)
    began = time.perf_counter()
    with pytest.raises(CheckpointError, match="too large|states"):
        ncnn.read_graph(path, path.with_suffix(".bin"))
    assert time.perf_counter() - began < 2


def test_the_numbers_alone_or_the_layers_alone_say_what_is_missing(tmp_path):
    path = ncnn_files.write(tmp_path, TEXT, DATA)
    with pytest.raises(UsageError, match="give .*net.param"):
        recognize([path.with_suffix(".bin")])
    path.with_suffix(".bin").unlink()
    with pytest.raises(UsageError, match="net.bin with their numbers must lie beside it"):
        recognize([path])


def test_random_damage_never_ends_in_another_error(tmp_path):
    random = numpy.random.default_rng(0)
    image = SampleSpec(Field((3, 32, 32)), {"source": Field((3, 16, 16))})
    network = CompactUpscaler(image, width=4, convolutions=1)
    network.load_state_dict(TENSORS)
    for _ in range(300):
        text, data = bytearray(TEXT), bytearray(DATA)
        for content in (text, data):
            for place in random.integers(0, len(content), random.integers(0, 4)):
                content[place] = random.integers(0, 256)
        path = ncnn_files.write(tmp_path, bytes(text), bytes(data))
        try:
            graph = ncnn.read_graph(path, path.with_suffix(".bin"))
        except CheckpointError as refused:
            assert "\n" not in str(refused)
            continue
        assert sum(array.size for array in graph.tensors().values()) <= len(DATA)
        try:
            refuse_difference("net.param", graph, network)
        except CheckpointError as refused:
            assert "\n" not in str(refused)
