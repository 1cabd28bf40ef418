"""Points: the networks, the distributions, and every loss and mix-in of the zoo on them."""

from __future__ import annotations

import json
import math

import pytest
import torch

from ganzoo.config.options import TrainOptions
from ganzoo.data.batches import generator_for
from ganzoo.data.streams import load_stream
from ganzoo.engine.randomness import seeded
from ganzoo.errors import GanzooError, UsageError
from ganzoo.registry.registry import registry
from ganzoo.runs.request import Intervals, Request
from ganzoo.runs.train import train
from ganzoo.variant import Field, ImageSpec, SampleSpec

PLANE = SampleSpec(Field((2,), "points"))
STREAMS = ("ring", "ring-tight", "grid", "grid-tight", "swiss-roll")
REFUSED = {  # losses that need more than logits, or images, and a word of the reason
    "auxiliary-classifier": "classes",
    "ebgan": "codes",
    "infogan": "codes",
    "evidence-lower-bound": "images",
    "cut": "source",
    "cyclegan": "images",
    "pix2pixhd": "features",
    "lazy-logistic": "images",
    "blurred-logistic": "images",
    "fastgan": "part",
    "lightweight-gan": "part",
}
SHORT = {"wasserstein-clipped": ("loss.warmup=0", "loss.long_every=0"), "geometric": ("loss.generator_steps=2",)}


def stream(name):
    return load_stream(name, datasets=registry().table("datasets"))


def part(kind, name, **options):
    with seeded(0):
        return registry().get(kind, name)(PLANE, **options)


def short_run(out, *settings, mixins=(), steps=3, data="ring", variant="points"):
    options = TrainOptions(data=data, steps=steps, settings=settings, mixins=mixins, device="cpu", threads=1)
    request = Request(out=out, variant=variant, options=options, batch_size=16, quiet=True, intervals=Intervals(2, 2))
    return train(request, registry())


@pytest.mark.parametrize("name", STREAMS)
def test_draws_depend_on_their_generator_alone_and_stay_in_the_window(name):
    found = stream(name)
    points = found.draw(4000, generator_for(0, "test"))
    assert points.shape == (4000, 2) and points.dtype == torch.float32
    assert torch.equal(points, stream(name).draw(4000, generator_for(0, "test")))
    assert points.abs().max() < 1.6
    assert len({stream(other).fingerprint for other in STREAMS}) == len(STREAMS)


@pytest.mark.parametrize("name, modes, deviation", [("ring", 8, 0.05), ("grid", 25, 0.025), ("ring-tight", 8, 0.01)])
def test_mixtures_have_equal_modes_of_their_deviation(name, modes, deviation):
    found = stream(name)
    assert len(found.centres) == modes == len({tuple(centre) for centre in found.centres.tolist()})
    points = found.draw(50_000, generator_for(0, "test"))
    distances, nearest = torch.cdist(points, found.centres).min(1)
    assert torch.bincount(nearest, minlength=modes).min() > 0.85 * len(points) / modes
    assert distances.square().mean().sqrt() == pytest.approx(math.sqrt(2) * deviation, rel=0.02)


def test_the_ring_has_no_mode_twice():
    """With the end point among the angles, as in two published codes, the first and last mode coincide."""
    assert torch.pdist(stream("ring").centres).min() == pytest.approx(2 * math.sin(math.pi / 8), abs=1e-6)


def test_a_split_of_a_stream_and_a_stream_of_images_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no split called 'test'"):
        short_run(tmp_path / "run", data="ring:test")
    with pytest.raises(UsageError, match="holds no points"):
        short_run(tmp_path / "run", data="fashion-mnist-test")
    with pytest.raises(UsageError, match="holds points, not images"):
        short_run(tmp_path / "run", variant="dcgan")
    assert not (tmp_path / "run").exists()


def test_networks_have_the_cards_sizes_and_linear_ends():
    generator, discriminator = part("generators", "points"), part("discriminators", "points")
    count = [sum(weight.numel() for weight in network.parameters()) for network in (generator, discriminator)]
    assert count == [4482, 4417]
    assert all(layer.bias.abs().max() == 0 for layer in generator.main if hasattr(layer, "bias"))
    with torch.no_grad():
        assert generator(1000 * torch.ones(1, 2)).abs().max() > 0  # bounded by no tanh: see the last layer
        generator.main[-1].weight.fill_(1.0)
        assert generator(torch.ones(1, 2)).shape == (1, 2) and discriminator(torch.ones(5, 2)).shape == (5,)
    with pytest.raises(ValueError, match="needs points"):
        registry().get("generators", "points")(ImageSpec(32, 1))


def test_packs_share_the_logit_of_their_neighbours():
    judge = part("discriminators", "points", pac=2, scale=10.0)
    points = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = judge(points)
        moved = judge(points + torch.tensor([[0.0, 0], [1, 1], [0, 0], [0, 0], [0, 0], [0, 0]]))
        assert torch.equal(logits[0::2], logits[1::2]) and len(logits.unique()) == 3
        assert (logits != moved).tolist() == [True, True, False, False, False, False]
        assert torch.allclose(10 * judge.main(points.reshape(3, 4)).flatten(), logits[::2])
    with pytest.raises(ValueError, match="packs of 2"):
        judge(points[:5])


@pytest.mark.parametrize("name", sorted(registry().names("losses")))
def test_every_loss_trains_on_points_or_refuses_in_one_line(name, tmp_path):
    settings = (f"loss={name}", *SHORT.get(name, ()))
    if name not in REFUSED:
        folder = short_run(tmp_path / "run", *settings)
        terms = [record["terms"] for record in folder.records() if "terms" in record]
        assert terms and all(math.isfinite(value) for one in terms for value in one.values())
        return
    with pytest.raises(GanzooError, match=REFUSED[name]) as refused:
        short_run(tmp_path / "run", *settings)
    assert "\n" not in str(refused.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", sorted(registry().names("regularizers")))
def test_every_regularizer_takes_points_or_refuses_in_one_line(name, tmp_path):
    if name == "consistency":
        with pytest.raises(UsageError, match="image, and these are points"):
            short_run(tmp_path / "run", mixins=(name,))
        assert not (tmp_path / "run").exists()
        return
    folder = short_run(tmp_path / "run", mixins=(name,))
    assert json.loads(folder.config.read_text())["variant"]["regularizers"][0]["name"] == name


@pytest.mark.parametrize("name", ["diffaugment", "ada"])
def test_augmentations_of_images_are_refused(name, tmp_path):
    """They run on points without an error: a shift of (N, 2) numbers, or colours of them, means nothing."""
    with pytest.raises(UsageError, match="image, and these are points"):
        short_run(tmp_path / "run", mixins=(name,))
    assert not (tmp_path / "run").exists()


def test_options_of_images_are_refused(tmp_path):
    options = TrainOptions(data="ring", image_size=32, device="cpu")
    with pytest.raises(UsageError, match="no --image-size"):
        train(Request(out=tmp_path / "run", variant="points", options=options, quiet=True), registry())
    with pytest.raises(UsageError, match="mirror"):
        short_run(tmp_path / "run", "training.mirror=true")


def test_penalties_see_points_one_by_one():
    """A mix of shape (N, 1, 1, 1) against points (N, 2) would make N² of them without an error."""
    from ganzoo.losses import gradient_penalty

    real, fake, mix = torch.zeros(3, 2), torch.ones(3, 2), torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1)
    found = gradient_penalty(lambda x: x.square().sum(1) / 2, real, fake, mix, target=0.0)
    assert found.item() == pytest.approx((0 + 0.5 + 2) / 3)  # the gradient at x is x, its square norm 2·mix²


def test_a_run_looks_scores_and_resumes(tmp_path):
    """A few looks on the way, the numbers of the end in metrics.jsonl, beside the average those of the raw weights."""
    folder = short_run(tmp_path / "run", "training.ema=0.9", steps=4)
    looks = [record for record in folder.records() if "samples" in record]
    assert [look["step"] for look in looks] == [2, 4] and all(len(look["shares"]) == 8 for look in looks)
    assert {"modes", "raw-modes", "high-quality", "sliced-wasserstein"} <= looks[0]["samples"].keys()
    (final,) = [record["final"] for record in folder.records() if "final" in record]
    assert {"modes", "raw-modes", "reverse-kl", "raw-reverse-kl"} <= final.keys()
    resumed = Request(
        out=folder.path, resume=True, quiet=True, options=TrainOptions(steps=6, device="cpu"), intervals=Intervals(2, 2)
    )
    train(resumed, registry())
    whole = short_run(tmp_path / "whole", "training.ema=0.9", steps=6)
    numbers = [[r.get("samples") for r in one.records() if "samples" in r] for one in (folder, whole)]
    assert numbers[0] == numbers[1]
    assert (folder.path / "samples.png").read_bytes() == (whole.path / "samples.png").read_bytes()
