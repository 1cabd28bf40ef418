"""Exported graphs give the generator's images in a process without ganzoo; a failed export leaves no file."""

import sys
from importlib.util import find_spec

import forks
import numpy
import pytest
import small
import tiny
import torch

from ganzoo import ImageSpec
from ganzoo.errors import GanzooError, UsageError
from ganzoo.models.export import SUFFIXES, export
from ganzoo.networks import Generator
from ganzoo.registry.registry import registry
from ganzoo.testing.subject import Subject

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")

OTHERS = """
import sys
sys.modules["ganzoo"] = sys.modules["ganzoo_plugins"] = None
import numpy, pathlib
for path in map(pathlib.Path, sys.argv[1:]):
    arrays = numpy.load(path.with_suffix(".npz"), allow_pickle=False)
    inputs = [arrays[name] for name in ("latent", "label") if name in arrays.files]
    if path.suffix == ".onnx":
        import onnxruntime
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        assert [value.name for value in session.get_outputs()] == ["images"]
        images = session.run(None, dict(zip([value.name for value in session.get_inputs()], inputs, strict=True)))[0]
    else:
        import torch
        graph = torch.jit.load(path) if path.suffix == ".pt" else torch.export.load(path).module()
        images = graph(*map(torch.from_numpy, inputs)).detach().numpy()
    numpy.save(path.with_suffix(".npy"), images)
"""
WITH_ONNX = all(find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript"))
CASES = [
    *[("torchscript", name) for name in tiny.GENERATORS],
    *[("torch-export", name) for name in ("dcgan", "infogan", "lsgan-conditional")],
    *[("onnx", name) for name in ("dcgan", "lsgan-conditional") if WITH_ONNX],
]


EARLY = ("progan", "fastgan", "lightweight-gan", "stylegan2")  # one of each kind of new layers; all others are slow
GENERATORS = {  # the first card with each generator
    registry().get("variants", name).generator.name: name for name in reversed(registry().names("variants"))
}


class Random(Generator):
    """Draws noise of its own, so no graph of it gives the same image twice."""

    latent_dim = 4

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, latent, label=None):
        return (self.scale * torch.rand_like(latent)).view(-1, 1, 2, 2)


class Unexportable(Random):
    """Leaves torch for numpy on the way, which no tracer follows through a branch on its values."""

    def forward(self, latent, label=None):
        if latent.sum() > 1000:
            raise ValueError("far out")
        return torch.from_numpy(latent.numpy() * 2).view(-1, 1, 2, 2)


def needs(format: str) -> None:
    if format == "onnx":
        for name in ("onnx", "onnxruntime", "onnxscript"):
            pytest.importorskip(name)


@pytest.fixture(scope="module")
def drawn_by_others(tmp_path_factory):
    """By case: what one process without ganzoo drew with every exported file, and what the generator draws."""
    expected, paths = {}, {}
    for format, name in CASES:
        model, path = tiny.built_in(name, scale=16), tmp_path_factory.mktemp(name) / f"model{SUFFIXES[format]}"
        done = export(model, path, format)
        assert (done.path, done.format, done.batch_size) == (path, format, None) and 0 <= done.difference <= 1e-4
        latent, label = model.latent(7, seed=5), model.labels(7)
        numpy.savez(
            path.with_suffix(".npz"), latent=latent.numpy(), **({} if label is None else {"label": label.numpy()})
        )
        expected[format, name], paths[format, name] = model.generate(latent, label), path
    other = forks.python("-c", OTHERS, *paths.values())
    assert other.returncode == 0, other.stderr
    return {
        case: (numpy.load(path.with_suffix(".npy"), allow_pickle=False), expected[case]) for case, path in paths.items()
    }


@pytest.mark.parametrize(("format", "name"), CASES)
def test_other_programs_draw_the_same_images(drawn_by_others, format, name):
    found, expected = drawn_by_others[format, name]
    assert expected.std() > 0.01
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("format", "name"),
    [
        pytest.param(format, name, marks=[] if format == "torchscript" and name in EARLY else pytest.mark.slow)
        for format in ("torchscript", "torch-export")
        for name in sorted(GENERATORS)
        if name not in tiny.GENERATORS
    ],
)
def test_every_generator_is_exported_for_any_batch(tmp_path, format, name):
    with Subject.open(GENERATORS[name]) as subject:
        model = tiny.model_of(subject.build("generator").eval(), subject.image, name)
    assert export(model, tmp_path / f"model{SUFFIXES[format]}", format).difference <= 1e-4


def test_a_styled_generator_is_exported_for_any_batch(tmp_path):
    assert export(tiny.styled(classes=2), tmp_path / "model.pt2", "torch-export").difference <= 1e-4


@pytest.mark.parametrize("format", ["torch-export", "onnx"])
def test_a_fixed_batch_size_is_the_only_one(tmp_path, format):
    needs(format)
    model = tiny.built_in("dcgan")
    path = tmp_path / f"model{SUFFIXES[format]}"
    assert export(model, path, format, batch_size=3).batch_size == 3
    if format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        assert session.get_inputs()[0].shape == [3, 6] and session.get_outputs()[0].shape == [3, 1, 32, 32]
    else:
        graph = torch.export.load(path).module()
        assert graph(model.latent(3)).shape == (3, 1, 32, 32)
        with pytest.raises(AssertionError):
            graph(model.latent(4))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_of_another_precision_is_exported_in_float32_and_stays_itself(tmp_path, dtype):
    model = tiny.built_in("dcgan")
    model.generator.to(dtype)
    export(model, tmp_path / "model.pt", "torchscript")
    assert next(model.generator.parameters()).dtype == dtype
    assert torch.jit.load(tmp_path / "model.pt")(torch.zeros(2, 6)).dtype == torch.float32


@pytest.mark.parametrize("format", ["torchscript", "torch-export"])
def test_a_graph_that_draws_something_else_is_not_written(tmp_path, format):
    path = tmp_path / f"model{SUFFIXES[format]}"
    with pytest.raises(GanzooError, match=r"not written.* images differ .*0\.0001"):
        export(tiny.model_of(Random(), ImageSpec(2, 1)), path, format)
    assert list(tmp_path.iterdir()) == []


def test_a_generator_that_no_exporter_follows_is_one_line(tmp_path):
    with pytest.raises(GanzooError, match="This tiny generator cannot be exported as torch-export: ") as caught:
        export(tiny.model_of(Unexportable(), ImageSpec(2, 1)), tmp_path / "model.pt2", "torch-export")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500 and list(tmp_path.iterdir()) == []


def test_a_file_that_was_there_stays_if_the_new_one_is_wrong(tmp_path):
    path = tmp_path / "model.pt"
    export(tiny.built_in("dcgan"), path, "torchscript")
    before = path.read_bytes()
    with pytest.raises(GanzooError):
        export(tiny.model_of(Random(), ImageSpec(2, 1)), path, "torchscript")
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


REFUSED = {
    "format": ("No format is called 'coreml'; known: onnx, torchscript, torch-export", "x.onnx", "coreml", None),
    "name": (r"a file in the format torch-export is called \*\.pt2", "x.pt", "torch-export", None),
    "batch": ("at least one image, got 0", "x.pt2", "torch-export", 0),
    "batch of TorchScript": ("any size: leave the batch size out", "x.pt", "torchscript", 4),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_met_is_said(tmp_path, name):
    expected, file, format, batch_size = REFUSED[name]
    with pytest.raises(UsageError, match=expected):
        export(tiny.built_in("dcgan"), tmp_path / file, format, batch_size=batch_size)


def test_without_the_extra_onnx_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(
        UsageError,
        match=r'Writing ONNX needs onnx: run pip install -c constraints.txt -e "\.\[onnx\]" in the checkout',
    ):
        export(tiny.built_in("dcgan"), tmp_path / "x.onnx", "onnx")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return small.finished_run(tmp_path_factory.mktemp("export"))


def test_the_command_says_how_far_the_images_are(run, tmp_path):
    done = small.forked_ganzoo("export", str(run), "--format", "torchscript", "--out", "x.pt", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.startswith("x.pt: torchscript, any batch size, ")
    assert torch.jit.load(tmp_path / "x.pt")(torch.zeros(5, 100)).shape == (5, 1, 32, 32)


WRONG = {
    "format": ("'--format'", ["export", "{run}", "--format", "coreml", "--out", "x.onnx"]),
    "suffix": ("is called *.pt2", ["export", "{run}", "--format", "torch-export", "--out", "x.onnx"]),
    "batch": ("nor the word dynamic", ["export", "{run}", "--format", "onnx", "--out", "x.onnx", "--batch-size", "0"]),
    "existing": ("is in the way", ["export", "{run}", "--format", "onnx", "--out", "{run}/config.json"]),
    "folder": ("There is no folder", ["export", "{run}", "--format", "torchscript", "--out", "no/x.pt"]),
    "source": ("There is no folder", ["export", "./nothing", "--format", "torchscript", "--out", "x.pt"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_one_line_and_leaves_nothing(run, tmp_path, name):
    expected, words = WRONG[name]
    done = small.forked_ganzoo(*[word.format(run=run) for word in words], cwd=tmp_path)
    assert (
        (done.returncode, done.stdout) == (2, "") and expected in done.stderr and len(done.stderr.splitlines()) == 1
    ), done.stderr
    assert list(tmp_path.iterdir()) == []
