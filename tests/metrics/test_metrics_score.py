"""Scoring a model: negative controls, what is kept, what is refused, and a registered third party's metric."""

import os
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from messages import logged

from ganzoo.data import load_images
from ganzoo.errors import PluginError, UsageError
from ganzoo.metrics.features import as_images, extract_features, load_extractor, needs_of
from ganzoo.metrics.score import reference_features, samples, score
from ganzoo.models.model import Model
from ganzoo.networks import Generator
from ganzoo.registry.registry import registry
from ganzoo.variant import ImageSpec

COUNT = 800


class Playback(Generator):
    """Draws images (N, C, H, W) that it is given, a random one each time, or in turn."""

    latent_dim = 1

    def __init__(self, images, in_turn=False):
        super().__init__()
        self.images = torch.nn.Parameter(images)
        self.in_turn, self.drawn = in_turn, 0

    def latent(self, n, random):
        if self.in_turn:
            self.drawn += n
            return torch.arange(self.drawn - n, self.drawn)[:, None] % len(self.images)
        return torch.randint(len(self.images), (n, 1), generator=random)

    def forward(self, latent, label=None):
        return self.images[latent[:, 0].long()]


def playback(images, in_turn=False):
    config = SimpleNamespace(variant="playback", image=ImageSpec(images.shape[2], images.shape[1]), classes=())
    return Model(Playback(images, in_turn), config)


class Plain:
    """An extractor that needs no weights: means of quarters."""

    fingerprint = "a" * 64

    def __call__(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images.mean(1, keepdim=True), 2).flatten(1)


@pytest.fixture(scope="module")
def all_metrics():
    return registry().table("metrics")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def clothes(cache):
    return load_images("fashion-mnist-test", size=28, datasets=registry().table("datasets"), cache=cache)


def part_of(data, part, name):
    return replace(data, images=data.images[part], labels=data.labels[part], fingerprint=name * 64)


@pytest.fixture(scope="module")
def real(clothes):
    return part_of(clothes, slice(COUNT), "1")


@pytest.fixture(scope="module")
def plain():
    return load_extractor("plain", {"plain": Plain})


# -- negative controls -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scores(clothes, real, all_metrics, cache):
    """Every metric of five drawers, seen by the embedded extractor."""
    noise = torch.rand(COUNT, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    copies, others = as_images(real.images), as_images(clothes.images[COUNT : 2 * COUNT])
    mixture = torch.cat([others[: COUNT // 2], noise[: COUNT // 2]])
    drawn = {"copies": copies, "others": others, "mixture": mixture, "collapsed": others[:1], "noise": noise}
    extractor = load_extractor("fashion-cnn")

    def scored(images):
        return score(playback(images, in_turn=True), real, extractor, all_metrics, images=COUNT, cache=cache)

    return {name: scored(images) for name, images in drawn.items()}


def ranked(scores, metric, names):
    values = [scores[name][f"{metric}[fashion-cnn]"] for name in names]
    assert sorted(values) == values and len(set(values)) == len(values), dict(zip(names, values, strict=True))


@pytest.mark.parametrize("metric", ["frechet", "kid"])
def test_distances_rank_the_controls(scores, metric):
    ranked(scores, metric, ["copies", "others", "mixture", "noise"])
    ranked(scores, metric, ["copies", "others", "mixture", "collapsed"])
    assert scores["copies"]["frechet[fashion-cnn]"] < 1e-9


def test_precision_sees_noise_and_recall_sees_collapse(scores):
    ranked(scores, "precision", ["noise", "mixture", "others", "copies"])
    ranked(scores, "density", ["noise", "mixture", "others", "copies"])
    ranked(scores, "recall", ["collapsed", "others", "copies"])
    ranked(scores, "recall", ["noise", "others", "copies"])
    ranked(scores, "coverage", ["collapsed", "mixture", "others", "copies"])
    ranked(scores, "coverage", ["noise", "mixture", "others", "copies"])
    assert scores["copies"]["precision[fashion-cnn]"] == scores["copies"]["recall[fashion-cnn]"] == 1
    assert 0.3 < scores["mixture"]["precision[fashion-cnn]"] < 0.6


def test_classes_are_counted(scores):
    assert scores["copies"]["modes[fashion-cnn]"] == scores["copies"]["modes-tenth[fashion-cnn]"] == 10
    assert scores["collapsed"]["modes[fashion-cnn]"] == 1
    ranked(scores, "class-divergence", ["copies", "others", "mixture", "collapsed"])
    assert scores["copies"]["class-divergence[fashion-cnn]"] == 0
    ranked(scores, "inception-score", ["collapsed", "noise", "mixture", "others"])
    assert scores["collapsed"]["inception-score[fashion-cnn]"] == pytest.approx(1)


# -- the way there -----------------------------------------------------------------------------------------------------


def test_the_same_numbers_again_and_whatever_else_is_asked(real, plain, cache):
    model, chosen = playback(as_images(real.images[:300])), registry().table("metrics")
    chosen = {name: chosen[name] for name in ("frechet", "kid", "precision-recall")}
    found = score(model, real, plain, chosen, images=200, seed=3, cache=cache)
    assert score(model, real, plain, chosen, images=200, seed=3, cache=cache) == found
    assert score(model, real, plain, {"kid": chosen["kid"]}, images=200, seed=3, cache=cache).items() <= found.items()
    assert score(model, real, plain, chosen, images=200, seed=4, cache=cache) != found
    in_parts = score(model, real, plain, chosen, images=200, seed=3, batch_size=7, cache=cache)
    assert in_parts == pytest.approx(found, rel=1e-5)


def test_drawings_are_rounded_as_they_would_be_stored():
    images = torch.tensor([0.001, -1.2, 1.7, 0.5]).reshape(4, 1, 1, 1)
    (seen,) = samples(playback(images, in_turn=True), 4, 0, 4)
    assert torch.equal(seen.flatten(), torch.tensor([128, 0, 255, 191]) / 127.5 - 1)


def test_what_was_seen_of_real_images_is_kept(real, plain, cache, tmp_path, monkeypatch):
    first = reference_features(real, plain, ("features",), tmp_path)
    monkeypatch.setattr(Plain, "__call__", lambda self, images: pytest.fail("looked again"))
    again = reference_features(real, plain, ("features",), tmp_path)
    assert torch.equal(first.features, again.features) and torch.equal(first.moments.m2, again.moments.m2)
    assert again.moments.count == COUNT and again.logits is None
    other = replace(plain, fingerprint="b" * 64)
    with pytest.raises(pytest.fail.Exception, match="looked again"):
        reference_features(real, other, ("features",), tmp_path)


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def cut(file):
    file.write_bytes(file.read_bytes()[:10])


def remove(file):
    file.unlink()


@pytest.mark.parametrize("suffix", [".safetensors", ".sha256"])
@pytest.mark.parametrize("damage", [flip, cut, remove])
def test_damage_is_seen_and_mended(real, plain, tmp_path, suffix, damage):
    wanted = reference_features(real, plain, (), tmp_path)
    (file,) = (tmp_path / "statistics").glob(f"*{suffix}")
    whole = file.read_bytes()
    damage(file)
    with logged() as lines:
        found = reference_features(real, plain, (), tmp_path)
    assert torch.equal(found.moments.m2, wanted.moments.m2)
    assert file.read_bytes() == whole
    assert len(lines) == (0 if (damage, suffix) == (remove, ".safetensors") else 1)


def test_a_cache_that_cannot_be_written_only_costs_time(real, plain, tmp_path):
    (tmp_path / "statistics").write_text("in the way")
    with logged() as lines:
        assert reference_features(real, plain, (), tmp_path).moments.count == COUNT
    assert len(lines) == 1 and "cannot be cached" in lines[0]


def test_memory_of_moments_does_not_grow(plain):
    seen = extract_features((torch.zeros(10, 1, 8, 8) for _ in range(5)), plain, ())
    assert seen.features is None and seen.logits is None and seen.moments.count == 50


def test_a_third_partys_metric_takes_part(real, plain, cache):
    def farthest(real, fake, random):
        return {"farthest": fake.features.norm(dim=1).max(), "drawn": torch.rand(1, generator=random).item()}

    model = playback(as_images(real.images[:50]))
    theirs = {"farthest": farthest, "count": lambda real, fake, random: fake.moments.count}
    found = score(model, real, plain, theirs, images=60, cache=cache)
    assert set(found) == {"farthest[plain]", "drawn[plain]", "count[plain]"}
    assert found["count[plain]"] == 60.0 and found["farthest[plain]"] > 0
    with pytest.raises(PluginError, match="Two metrics give a number called 'drawn"):
        score(model, real, plain, {"farthest": farthest, "drawn": lambda *_: 1.0}, images=60, cache=cache)


def test_images_of_another_shape_are_refused(real, plain, cache):
    with pytest.raises(UsageError, match="32 pixels and 3 channels"):
        score(playback(torch.zeros(2, 3, 32, 32)), real, plain, {}, images=10, cache=cache)


def test_a_classifier_is_asked_for_where_there_is_none(plain, all_metrics):
    with pytest.raises(UsageError, match="'classes' .*classifier.*'plain'"):
        needs_of({"classes": all_metrics["classes"]}, plain)


def test_a_metric_that_needs_the_unknown_is_refused(plain):
    def odd(real, fake, random):
        return 0.0

    odd.needs = ("gradients",)
    with pytest.raises(PluginError, match="'odd' needs .*gradients"):
        needs_of({"odd": odd}, plain)


def with_attributes(**attributes):
    return type("Extractor", (Plain,), attributes)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (with_attributes(fingerprint="short"), "64 hex digits"),
        (with_attributes(fingerprint=None), "64 hex digits"),
        (with_attributes(classes=("a", "b")), "or neither"),
        (with_attributes(classify=lambda self, features: features), "or neither"),
        (with_attributes(purpose="garments"), "`suits"),
        (with_attributes(suits=lambda self, image, classes: True), "`purpose`"),
        (with_attributes(suits=lambda self, image, classes: True, purpose=3), "a text"),
        (lambda: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_an_extractor_that_breaks_the_contract_is_named(factory, message):
    with pytest.raises(PluginError, match=rf"The extractor 'mine' .*{message}"):
        load_extractor("mine", {"mine": factory})


def test_features_of_a_wrong_shape_are_refused():
    extractor = load_extractor("mine", {"mine": with_attributes(__call__=lambda self, images: images)})
    with pytest.raises(PluginError, match=r"'mine' .*4 images .*\(4, D\).*\(4, 1, 8, 8\)"):
        extract_features([torch.zeros(4, 1, 8, 8)], extractor, ())
    with pytest.raises(UsageError, match="no images"):
        extract_features([], extractor, ())


def test_the_cache_is_where_the_environment_says(real, plain, tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path))
    reference_features(real, plain, ())
    assert len(os.listdir(tmp_path / "statistics")) == 2


def test_classes_of_images_that_the_extractor_was_not_made_for_are_left_out(real, all_metrics, cache):
    """fashion-cnn finds garments in anything; distances between its features are still numbers."""
    digits = replace(real, classes=tuple(f"digit {digit}" for digit in range(10)), name="digits")
    model, extractor = playback(as_images(real.images[:200])), load_extractor("fashion-cnn")
    wanted = {name: all_metrics[name] for name in ("frechet", "classes")}
    with logged() as lines:
        assert set(score(model, digits, extractor, wanted, images=200, cache=cache)) == {"frechet[fashion-cnn]"}
    assert len(lines) == 1 and "metrics of classes (classes)" in lines[0] and "'digits'" in lines[0]
    with pytest.raises(UsageError, match="Choose another extractor"):
        score(model, digits, extractor, {"classes": all_metrics["classes"]}, images=200, cache=cache)
    with logged() as lines:
        assert len(score(model, real, extractor, wanted, images=200, cache=cache)) > 2
    assert lines == []
