"""`ganzoo explore`: directions against eigenvectors found by hand, the grid of codes, files and wrong requests."""

import json
import math

import pytest
import small
import tiny
import torch
from PIL import Image
from torch import nn

from ganzoo import ImageSpec
from ganzoo.errors import UsageError
from ganzoo.files.pictures import save_animation
from ganzoo.models.explore import animation, explore, first_layer, principal_directions, sample_rows, sheet, spread
from ganzoo.networks import Generator

GREY = ImageSpec(2, 1)


def linear(weight: list[list[float]]) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
    return layer


class Labelled(Generator):
    """The label's own layer comes first, then one that takes latent and label together."""

    latent_dim = 2

    def __init__(self):
        super().__init__()
        self.embedding, self.both, self.last = nn.Embedding(3, 2), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, latent, label=None):
        return self.last(self.both(torch.cat([latent, self.embedding(label)], 1))).tanh().view(-1, 1, 2, 2)


class Constant(Generator):
    """A parameter of the generator itself is no layer; its first one is inside a block that has parameters too."""

    latent_dim = 4

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain, self.layer = (
                nn.Parameter(torch.ones(1)),
                nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4)),
            )

        def forward(self, x):
            return self.layer(x) * self.gain

    def __init__(self):
        super().__init__()
        self.shift, self.block = nn.Parameter(torch.zeros(4)), self.Block()

    def forward(self, latent, label=None):
        return (self.block(latent) + self.shift).tanh().view(-1, 1, 2, 2)


class Bare(Generator):
    """Multiplies by a parameter of its own: there is no layer to find."""

    latent_dim = 4

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(4))

    def forward(self, latent, label=None):
        return (latent @ self.weight).tanh().view(-1, 1, 2, 2)


def test_directions_by_hand():
    """A = [[2, 1], [1, 2], 0, 0]: AᵀA = [[5, 4], [4, 5]], with eigenvectors (1, 1)/√2 and (1, -1)/√2, 9 and 1."""
    generator = tiny.LinearGenerator(linear([[2, 1], [1, 2], [0, 0], [0, 0]]), 2)
    vectors, strengths = principal_directions(generator, 2, torch.tensor([[0.3, -2.0]]))
    half = 1 / math.sqrt(2)
    torch.testing.assert_close(vectors[0], torch.tensor([half, half]))
    assert vectors[1].abs().tolist() == pytest.approx([half, half]) and vectors[1].prod() < 0
    assert strengths.tolist() == pytest.approx([3.0, 1.0])


@pytest.mark.parametrize("name", tiny.GENERATORS)
def test_the_top_direction_moves_the_first_layer_most(name):
    model = tiny.built_in(name)
    generator, latent, label = model.generator, model.latent(1), model.labels(1)
    dimension = generator.latent_dim
    vectors, strengths = principal_directions(generator, dimension, latent, label)
    torch.testing.assert_close(vectors @ vectors.T, torch.eye(dimension), rtol=0, atol=1e-5)
    weight = first_layer(generator, latent, label).float()
    moved = (weight @ vectors.T).norm(dim=0)
    torch.testing.assert_close(moved, strengths, rtol=1e-4, atol=1e-5)
    assert (moved[:-1] >= moved[1:] - 1e-5).all()
    others = nn.functional.normalize(torch.randn(dimension, 500, generator=torch.Generator().manual_seed(0)), dim=0)
    assert ((weight @ others).norm(dim=0) <= moved[0] * 1.00001).all()


def test_the_first_layer_is_a_layers_weight():
    generator = tiny.built_in("dcgan").generator
    stored = next(module for module in generator.modules() if isinstance(module, nn.ConvTranspose2d)).weight
    torch.testing.assert_close(first_layer(generator, torch.randn(1, 6)), stored.flatten(1).T.double())
    conditional = tiny.built_in("lsgan-conditional")
    stored = conditional.generator.main[0].weight[:, :6].double()
    torch.testing.assert_close(first_layer(conditional.generator, torch.randn(1, 6), torch.tensor([1])), stored)


def test_labels_and_parameters_of_their_own_are_not_the_first_layer():
    labelled = Labelled()
    torch.testing.assert_close(
        first_layer(labelled, torch.randn(1, 2), torch.tensor([2])), labelled.both.weight[:, :2].double()
    )
    assert all(parameter.requires_grad for parameter in labelled.parameters()), "what trained before still does"
    constant = Constant().eval()
    torch.testing.assert_close(
        first_layer(constant, torch.randn(1, 4)), constant.block.layer.weight.double(), rtol=1e-5, atol=1e-6
    )


def test_exploring_leaves_the_generator_as_it_was():
    model = tiny.built_in("dcgan")
    before = model.sample(4)
    explore(model)
    assert torch.equal(model.sample(4), before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.generator.modules())


def test_a_generator_without_layers_is_told():
    with pytest.raises(UsageError, match="first layer of Bare .*latent"):
        explore(tiny.model_of(Bare(), GREY))


def test_directions_go_both_ways_from_each_sample():
    model = tiny.model_of(tiny.LinearGenerator(linear([[2, 1], [1, 2], [0, 0], [0, 0]]), 2), GREY)
    rows = explore(model, directions=2, samples=3, steps=5, reach=2, seed=4)
    assert [(row.name, row.kind, row.values) for row in rows] == [
        (f"direction {n}", "direction", (-2, -1, 0, 1, 2)) for n in (1, 2)
    ]
    torch.testing.assert_close(rows[0].latents[:, 2], model.latent(3, 4))
    away = rows[0].latents[:, 4] - rows[0].latents[:, 2]
    torch.testing.assert_close(
        away, torch.full((3, 2), math.sqrt(2)), rtol=0.05, atol=0, msg="two standard deviations of a normal prior"
    )
    uniform = explore(tiny.built_in("lsgan"), directions=1, samples=1, steps=3, reach=1)[0]
    assert float((uniform.latents[0, 2] - uniform.latents[0, 1]).norm()) == pytest.approx(1 / math.sqrt(3), rel=0.05)


def test_more_directions_than_numbers():
    with pytest.raises(UsageError, match="Latents of 6 .* 7"):
        explore(tiny.built_in("dcgan"), directions=7)


NOTHING = [{"samples": 0}, {"steps": 1}, {"directions": 0}, {"reach": 0.0}, {"reach": math.nan}, {"reach": math.inf}]


@pytest.mark.parametrize("wrong", NOTHING)
def test_nothing_to_show(wrong):
    with pytest.raises(UsageError, match="at least one sample"):
        explore(tiny.built_in("dcgan"), **wrong)


@pytest.mark.parametrize("reach", [0.1, 3.0, 123.456, 1e9])
def test_the_middle_of_an_odd_number_of_values_is_exactly_0(reach):
    values = spread(reach, 7)
    assert values[3] == 0 and values[0] == -reach and values[-1] == reach and (values.diff() > 0).all()
    assert torch.equal(values, -values.flip(0))


def test_codes_have_a_row_each():
    model = tiny.built_in("infogan")
    rows = explore(model, samples=4, steps=5, seed=1)
    assert [(row.name, row.kind, len(row.values)) for row in rows] == [
        ("category", "categorical", 3),
        ("continuous 1", "continuous", 5),
        ("continuous 2", "continuous", 5),
    ]
    assert (
        rows[1].values == (-2, -1, 0, 1, 2) and rows[1].trained == (-1, 1) and "trained on -1 to 1" in rows[1].caption
    )
    noise = model.latent(4, 1)[:, :5]
    for row in rows:
        assert torch.equal(row.latents[:, :, :5], noise[:, None].expand(-1, len(row.values), -1)), (
            "only the code changes"
        )
    assert torch.equal(rows[0].latents[:, :, 5:8], torch.eye(3).expand(4, 3, 3))
    assert rows[2].latents[:, :, 9].tolist() == [[-2, -1, 0, 1, 2]] * 4
    assert torch.equal(rows[1].latents[:, 0, 5:8], torch.eye(3)[[0, 1, 2, 0]]), "each sample on a category of its own"
    assert [tuple(images.shape[:2]) for images in sample_rows(model, rows)] == [(4, 3), (4, 5), (4, 5)]


def test_directions_can_be_asked_for_where_there_are_codes():
    assert [row.kind for row in explore(tiny.built_in("infogan"), directions=2)] == ["direction"] * 2


def test_images_are_those_of_the_latents_and_labels():
    model = tiny.built_in("lsgan-conditional")
    rows = explore(model, directions=2, samples=3, steps=3)
    middle = sample_rows(model, rows)[0][:, 1]
    torch.testing.assert_close(middle, model.sample(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(sample_rows(model, rows, label=2)[1][:, 1], model.sample(3, label=2), rtol=0, atol=1e-5)
    big = explore(model, directions=1, samples=30, steps=5)
    assert sample_rows(model, big)[0].shape == (30, 5, 1, 28, 28)


def test_sheets_and_animations(tmp_path):
    model = tiny.built_in("infogan")
    rows = explore(model, samples=2, steps=6)
    drawn = sample_rows(model, rows)
    picture = sheet(rows, drawn)
    assert (
        picture.mode == "RGB" and picture.width == (6 * 30 + 2) * (640 // 182) and picture.height == 3 * (20 + 62 * 3)
    )
    frames = animation(rows, drawn)
    assert len(frames) == 10 and {frame.size for frame in frames} == {frames[0].size}
    assert frames[1].tobytes() == frames[9].tobytes() != frames[0].tobytes(), "there and back"
    for suffix in (".gif", ".webp"):
        with Image.open(save_animation(frames, tmp_path / f"walk{suffix}")) as moving:
            assert moving.n_frames == 10 and moving.size == frames[0].size


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explore")
    small.finished_run(folder)
    return folder


def test_the_command_writes_what_it_says(place, tmp_path):
    words = ["explore", str(place / "run"), "--directions", "2", "--samples", "1", "--steps", "3", "--json"]
    done = small.forked_ganzoo(*words, "--out", "sheet.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["variant"], said["out"], said["seed"], said["samples"]) == ("dcgan", "sheet.png", 0, 1)
    assert [(row["name"], row["values"]) for row in said["rows"]] == [
        ("direction 1", [-3, 0, 3]),
        ("direction 2", [-3, 0, 3]),
    ]
    assert said["rows"][0]["strength"] >= said["rows"][1]["strength"] > 0
    again = small.forked_ganzoo(*words, "--out", "again.png", cwd=tmp_path)
    assert again.returncode == 0 and (tmp_path / "again.png").read_bytes() == (tmp_path / "sheet.png").read_bytes()
    for out, kind in (("walk.gif", "GIF"), ("walk.webp", "WEBP")):
        assert small.forked_ganzoo(*words, "--out", out, cwd=tmp_path).returncode == 0
        with Image.open(tmp_path / out) as picture:
            assert picture.format == kind
    walks = ["sample", str(place / "run"), "--interpolate", "-n", "3", "--columns", "4", "--out", "rows.png"]
    done = small.forked_ganzoo(*walks, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "rows.png") as picture:
        factor = 640 // (4 * 34 + 2)
        assert picture.size == ((4 * 34 + 2) * factor, (3 * 34 + 2) * factor)


WRONG = {
    "kind": ("unknown kind '.npz'; known: .png", ["explore", "{run}", "--out", "x.npz"]),
    "no kind": ("unknown kind ''", ["explore", "{run}", "--out", "x"]),
    "existing": ("is in the way", ["explore", "{run}", "--out", "{run}/samples.png"]),
    "folder": ("There is no folder", ["explore", "{run}", "--out", "no/x.png"]),
    "directions": ("no more directions", ["explore", "{run}", "--out", "x.png", "--directions", "101"]),
    "range": ("'--range'", ["explore", "{run}", "--out", "x.png", "--range", "0"]),
    "large range": ("1000", ["explore", "{run}", "--out", "x.png", "--range", "1e30"]),
    "label": ("takes no label", ["explore", "{run}", "--out", "x.png", "--label", "1"]),
    "source": ("There is no folder", ["explore", "./nothing", "--out", "x.png"]),
    "truncation": ("'--truncation'", ["sample", "{run}", "--out", "x.png", "--truncation", "0"]),
    "arrays of a walk": ("--interpolate writes a sheet", ["sample", "{run}", "--out", "x.npz", "--interpolate"]),
    "walk of one column": (
        "at least two --columns",
        ["sample", "{run}", "--out", "x.png", "--interpolate", "--columns", "1"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_one_line_and_leaves_nothing(place, tmp_path, name):
    expected, words = WRONG[name]
    done = small.forked_ganzoo(*[word.format(run=place / "run") for word in words], cwd=tmp_path)
    assert (
        (done.returncode, done.stdout) == (2, "") and expected in done.stderr and len(done.stderr.splitlines()) == 1
    ), done.stderr
    assert list(tmp_path.iterdir()) == []
