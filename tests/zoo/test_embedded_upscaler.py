"""The weights of Real-ESRGAN that come with the package: official values, their license, and a photograph offline."""

from importlib import resources

import numpy
import small
import torch
from golden_values import golden
from PIL import Image

import ganzoo

TAG = "real-esrgan.animevideo"


def test_the_official_code_makes_the_same_images():
    values = golden("animevideo")
    # `apply` would extend sources as small as these, so that their edges differ.
    made = (ganzoo.load(TAG).generate(torch.zeros(10, 0), source=2 * values["sources"] - 1) + 1) / 2
    assert len(made) == 10 and (made - values["outputs"].clamp(0, 1)).abs().max() < 1e-5


def test_it_is_the_network_that_was_published():
    model = ganzoo.load(TAG)
    assert sum(parameter.numel() for parameter in model.generator.parameters()) == 621_424
    assert model.config.license == "BSD-3-Clause" and model.config.variant == "real-esrgan-compact"
    sources = {one["file"]: one["sha256"] for one in model.config.training["converted_from"]}
    assert sources["realesr-animevideov3-x4.bin"].startswith("548a36f9c3f4ab8d")


def test_the_notice_lies_beside_it():
    notice = resources.files("ganzoo_plugins.real_esrgan").joinpath("files/real-esrgan-LICENSE").read_text()
    assert "BSD 3-Clause License" in notice and "Copyright (c) 2021, Xintao Wang" in notice


def test_a_photograph_is_enlarged_without_a_network_connection(tmp_path):
    ramp = numpy.linspace(0, 255, 20 * 14 * 3, dtype=numpy.uint8).reshape(14, 20, 3)
    Image.fromarray(ramp).save(tmp_path / "photo.png")
    offline = {"HF_HUB_OFFLINE": "1", "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    done = small.forked_ganzoo("apply", TAG, "photo.png", "--out", "big.png", cwd=tmp_path, **offline)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "big.png") as picture:
        big = numpy.asarray(picture.convert("RGB"), dtype=float)
    assert big.shape == (56, 80, 3)
    means = big.reshape(14, 4, 20, 4, 3).mean((1, 3))
    assert numpy.abs(means - ramp).mean() < 12  # of 255: a smooth image stays what it is


def test_it_has_a_mixture_with_itself():
    model = ganzoo.load(TAG)
    mixed = ganzoo.mix(model, TAG, 0.5)
    pairs = zip(model.generator.parameters(), mixed.generator.parameters(), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)
