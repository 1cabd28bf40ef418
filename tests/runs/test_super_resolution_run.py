"""Runs of the variants that enlarge images: scales, colours, resuming, a training on pixels alone, and the baseline."""

import json
import shutil

import pytest
import small
import torch

from ganzoo.config.options import TrainOptions
from ganzoo.models.load import load
from ganzoo.registry.registry import registry
from ganzoo.runs.request import Intervals, Request
from ganzoo.runs.train import train

JUDGE = "discriminator.width=2"
NARROW = {
    "srgan": ["generator.width=4", "generator.blocks=1", JUDGE],
    "esrgan": ["generator.width=4", "generator.blocks=1", JUDGE],
    "real-esrgan": ["generator.width=4", "generator.blocks=1", JUDGE],
    "real-esrgan-compact": ["generator.width=4", "generator.convolutions=1", JUDGE],
    "bicubic": [],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path


def run(folder, variant, *settings, out="run", steps=2, channels=3, resume=False, start=None, **options):
    asked = {"device": "cpu", "threads": 1, "steps": steps, **options}
    if not resume:
        data = small.images(folder / f"{channels}.npz", count=6, size=48, channels=channels)
        asked |= {
            "data": str(data),
            "image_size": 48,
            "settings": (*NARROW[variant], "training.batch_size=2", *settings),
        }
    request = Request(
        out=folder / out, variant=None if resume else variant, options=TrainOptions(**asked),
        intervals=Intervals(sample_every=2, checkpoint_every=2), resume=resume, quiet=True, start_from=start,
    )  # fmt: skip
    return train(request, registry())


@pytest.mark.parametrize("scale, channels", [(2, 1), (3, 3), (4, 3)])
@pytest.mark.parametrize("variant", NARROW)
def test_every_scale_grey_and_colour(folder, variant, scale, channels):
    run(folder, variant, f"source.factor={scale}", channels=channels)
    model = load(str(folder / "run"))
    assert model.image.inputs["source"].shape == (channels, 48 // scale, 48 // scale)
    made = model.apply(torch.rand(1, channels, 10, 14) * 2 - 1)
    assert made.shape == (1, channels, 10 * scale, 14 * scale) and made.isfinite().all()


@pytest.mark.parametrize("variant", NARROW)
def test_a_resumed_run_ends_in_the_same_bits(folder, variant):
    run(folder, variant, out="whole", steps=4)
    shutil.copytree(folder / "whole", folder / "parts")
    shutil.rmtree(folder / "parts" / "checkpoints" / "step-000000004")
    run(folder, variant, out="parts", steps=4, resume=True)
    assert small.same(small.newest(folder / "parts"), small.newest(folder / "whole"))


def test_bf16_and_micro_batches_train(folder):
    run(folder, "real-esrgan-compact", "training.accumulate=2", precision="bf16")
    assert load(str(folder / "run")).apply(torch.zeros(1, 3, 8, 8)).isfinite().all()


def test_pixels_alone_then_the_discriminator(folder):
    run(folder, "esrgan", "loss.adversarial=0", "loss.pixel=1", out="pixels")
    terms = [record["terms"] for record in small.records(folder / "pixels") if "terms" in record]
    assert terms and all(found.keys() == {"generator.pixel"} for found in terms)
    run(folder, "esrgan", out="judged", start=str(folder / "pixels"))
    origin = json.loads((folder / "judged" / "config.json").read_text())["origin"]
    assert origin["variant"] == "esrgan"
