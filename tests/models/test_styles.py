"""Styles: directions against weights stacked by hand, mixtures, truncation of some layers, and wrong requests."""

from dataclasses import replace

import pytest
import small
import tiny
import torch
from PIL import Image
from torch import nn

from ganzoo import ImageSpec, Part
from ganzoo.cli.types import TruncationAmount
from ganzoo.config.recipe import bind_part
from ganzoo.engine.build import build_part
from ganzoo.errors import UsageError
from ganzoo.models.explore import explore, sample_rows
from ganzoo.models.styles import chosen_layers, mixed, style_directions, style_weights
from ganzoo.models.truncation import truncated
from ganzoo.networks import Generator
from ganzoo.registry.registry import registry

IMAGE = ImageSpec(16, 1)
OPTIONS = {"latent_dim": 6, "style_dim": 5, "mapping_layers": 2, "channel_base": 64, "width": 8}


def built(classes=0):
    torch.manual_seed(0)
    image = ImageSpec(16, 1, classes)
    generator = build_part(bind_part("generator", Part("stylegan2", OPTIONS), registry()), image)
    with torch.no_grad():
        generator.mean_style.normal_()
    made = tiny.model_of(generator, image, "stylegan2")
    made.config = replace(made.config, generator=Part("stylegan2", OPTIONS))
    return made


@pytest.fixture(scope="module")
def model():
    return built()


class OneStyle(Generator):
    """One style for the whole image, which only a parameter of the generator's own takes."""

    latent_dim = 4

    def __init__(self):
        super().__init__()
        self.first, self.weight = nn.Linear(4, 4), nn.Parameter(torch.eye(4))

    def mapping(self, latent, label=None):
        return self.first(latent)

    def synthesis(self, style, label=None):
        return (style @ self.weight).tanh().view(-1, 1, 2, 2)

    def truncate(self, style, truncation):
        return style * truncation


def test_directions_move_the_stacked_weights_of_all_layers_most(model):
    layers = [*model.generator.layers, *model.generator.to_images]
    stacked = torch.cat([layer.convolution.style.weight * layer.convolution.style.scale for layer in layers]).double()
    found = style_weights(model.generator, model.style(model.latent(1)))
    assert torch.allclose(found.T @ found, stacked.T @ stacked, atol=1e-6) and found.shape == stacked.shape
    vectors, strengths = style_directions(model, 5, "sefa")
    assert torch.allclose(vectors @ vectors.T, torch.eye(5), atol=1e-5)
    assert torch.allclose((stacked.float() @ vectors.T).norm(dim=0), strengths, rtol=1e-4)
    assert strengths.tolist() == sorted(strengths.tolist(), reverse=True)


def test_principal_components_are_those_of_many_styles(model):
    vectors, strengths = style_directions(model, 2, "pca")
    styles = model.style(model.latent(4096))[:, 0]
    along = (styles - styles.mean(0)) @ vectors.T
    assert torch.allclose(along.std(0), strengths, rtol=1e-3)
    assert torch.corrcoef(along.T)[0, 1].abs() < 1e-3 and strengths[0] > strengths[1]


def test_rows_move_styles_of_the_chosen_layers_alone(model):
    rows = explore(model, directions=2, samples=2, steps=3, layers="1-2")
    style = model.style(model.latent(2))
    assert all(row.styled and row.latents.shape == (2, 3, *style.shape[1:]) for row in rows)
    moved = rows[0].latents - style[:, None]
    assert not moved[:, :, [0, 3, 4, 5]].any() and moved[:, [0, 2], 1:3].abs().min() > 0
    assert torch.allclose(moved[:, 0], -moved[:, 2], atol=1e-5) and moved[:, 1].abs().max() < 1e-6
    assert torch.allclose(sample_rows(model, rows)[0][:, 1], model.sample(2), atol=1e-5)
    assert len(explore(model)) == 5, "as many as a style has numbers"


@pytest.mark.parametrize("classes", [0, 3])
def test_mixtures_have_the_rows_style_but_in_some_layers(classes):
    model = built(classes)
    images = mixed(model, slice(2, 6), rows=2, columns=3, seed=5, label=2 if classes else None)
    assert images.shape == (3, 4, 1, 16, 16) and (images[0, 0] == 1).all()
    alone = model.sample(5, 5, label=2 if classes else None)
    assert torch.allclose(images[0, 1:], alone[:3], atol=1e-5)
    assert torch.allclose(images[1:, 0], alone[3:], atol=1e-5)
    label = torch.full((5,), 2) if classes else None
    style = model.style(model.latent(5, 5), label)
    both = torch.cat([style[3:4, :2], style[1:2, 2:]], 1)
    assert torch.allclose(images[1, 2], model.render(both, None if label is None else label[:1])[0], atol=1e-5)


def test_truncation_of_the_first_layers_alone(model):
    style, mean = model.style(model.latent(3)), model.generator.mean_style
    some = model.style(model.latent(3), truncation=(0.5, 2))
    assert torch.allclose(some[:, :2], (style[:, :2] + mean) / 2, atol=1e-6)
    assert torch.equal(some[:, 2:], style[:, 2:])
    assert torch.allclose(model.sample(3, truncation=(0.5, 2)), model.render(some), atol=1e-5)
    walk = list(model.interpolate(2, 2, truncation=(0.5, 2)))
    assert torch.allclose(walk[0], model.render(some[:1]), atol=1e-5)


@pytest.mark.parametrize(
    ("text", "layers"),
    [("coarse", (0, 4)), ("middle", (4, 8)), ("fine", (8, 10)), ("3", (3, 4)), ("0-9", (0, 10))],
)
def test_layers_by_name_and_number(text, layers):
    assert chosen_layers(text, 10) == slice(*layers)


@pytest.mark.parametrize("text", ["", "all", "3-", "10", "2-10", "5-4", "-1", "1-2-3"])
def test_layers_that_are_none(text):
    with pytest.raises(UsageError, match=r"[Ll]ayers"):
        chosen_layers(text, 10)
    with pytest.raises(UsageError, match="0 to 5"):
        chosen_layers("fine", 6)


def test_generators_without_layers_of_styles_are_refused(model):
    plain, one = tiny.built_in("dcgan"), tiny.model_of(OneStyle(), ImageSpec(2, 1))
    for wrong in ({"method": "pca"}, {"layers": "coarse"}):
        with pytest.raises(UsageError, match="no styles"):
            explore(plain, **wrong)
    with pytest.raises(UsageError, match="no layers with styles"):
        plain.sample(2, truncation=(0.5, 2))
    with pytest.raises(UsageError, match="one style"):
        truncated(one.generator, torch.ones(1, 4), (0.5, 2))
    with pytest.raises(UsageError, match="--method pca"):
        explore(one, directions=1)
    with pytest.raises(UsageError, match="no more directions"):
        explore(model, directions=6)
    assert [row.styled for row in explore(one, directions=2, method="pca")] == [True, True]


def test_the_commands(model, tmp_path):
    model.save(tmp_path / "model")
    sheet = ["--samples", "2", "--steps", "3"]
    walk = ["sample", "./model", "-n", "2", "--interpolate", "--columns", "3"]
    for out, words in {
        "mixed.png": ["explore", "./model", "--mix", "0-2", *sheet],
        "moved.png": ["explore", "./model", "--method", "pca", "--layers", "coarse", "--directions", "2"],
        "walks.png": [*walk, "--truncation", "0.5:2"],
        "whole.png": walk,
    }.items():
        done = small.forked_ganzoo(*words, "--out", out, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "mixed.png") as picture:
        factor = 640 // (4 * 18 + 2)
        assert picture.size == ((4 * 18 + 2) * factor, (3 * 18 + 2) * factor)
    assert (tmp_path / "whole.png").read_bytes() != (tmp_path / "walks.png").read_bytes(), "truncation acts on walks"
    for words in (["--mix", "0-2", "--directions", "2"], ["--mix", "0-2", "--range", "1"], ["--mix", "7"]):
        done = small.forked_ganzoo("explore", "./model", *words, "--out", "x.png", cwd=tmp_path)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
        assert ("--mix" in done.stderr or "0 to 5" in done.stderr) and not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("text", ["0", "-1", "x", "0.7:", "0.7:0", "0.7:x", "inf", "nan", ":3"])
def test_truncations_that_are_none(text):
    with pytest.raises(Exception, match="no truncation"):
        TruncationAmount().convert(text, None, None)
    assert TruncationAmount().convert("0.7", None, None) == 0.7
    assert TruncationAmount().convert("0.7:8", None, None) == (0.7, 8)


def test_styles_of_another_shape_or_without_numbers_are_one_line(model):
    style = model.style(model.latent(1))
    for wrong, words in ((style[:, 0], "styles"), (style * float("nan"), "NaN"), (style.tolist(), "not list")):
        with pytest.raises(UsageError, match=words):
            model.render(wrong)
    with pytest.raises(UsageError, match="Truncation"):
        model.style(model.latent(1), truncation=float("nan"))
