"""A small model folder cannot ask for any memory: batches by size, bounds that are stated, one line."""

import json

import pytest
import tiny
import torch

from ganzoo import ImageSpec
from ganzoo.cli import main
from ganzoo.errors import CheckpointError, UsageError
from ganzoo.files import pictures
from ganzoo.models import model as models
from ganzoo.models.load import load_folder
from ganzoo.models.meta_device import build_on_meta
from ganzoo.registry.registry import registry


def call(*words) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, words)))
    return ended.value.code


@pytest.mark.parametrize(
    ("size", "asked", "batch"),
    [(32, 64, 64), (256, 64, 64), (32, 500, 500), (512, 64, 16), (2048, 64, 1), (4096, 8, 1)],
)
def test_batches_are_smaller_for_larger_images(size, asked, batch):
    model = tiny.built_in("dcgan")
    model.image = ImageSpec(size, 1)
    assert model.batch_of(asked) == batch


def test_images_that_do_not_fit_into_the_free_memory_are_refused_before_the_first(monkeypatch):
    model = tiny.built_in("lsgan-conditional")
    monkeypatch.setattr(model, "generate", lambda *_: pytest.fail("generated"))
    monkeypatch.setattr(models, "available_bytes", lambda: 2 * 4 * 10 * 28 * 28)
    for ask in (lambda: model.sample(11), lambda: model.each_class(4)):
        with pytest.raises(UsageError, match=r"images of 28 pixels take .* GiB are free"):
            ask()
    monkeypatch.undo()
    assert model.sample(10).shape == (10, 1, 28, 28)


def test_an_allocation_that_fails_is_one_line(monkeypatch):
    model = tiny.built_in("dcgan")

    def full(*_):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 99 bytes")

    monkeypatch.setattr(model, "_sampler", full)
    with pytest.raises(UsageError, match="2 image.*do not fit into memory .--batch-size"):
        model.sample(2)


def test_a_sheet_has_bounds_and_says_them(tmp_path, monkeypatch, capsys):
    pictures.check_sheet(64, 8, 1024)
    with pytest.raises(UsageError, match="8,000 images of 256 pixels has 524 megapixels, at most 179"):
        pictures.check_sheet(8000, 8, 256)
    model = tiny.built_in("lsgan-conditional")
    model.image = ImageSpec(4096, 1, 10)
    monkeypatch.setattr("ganzoo.models.load.load", lambda *_, **__: model)
    monkeypatch.setattr(model, "generate", lambda *_: pytest.fail("generated"))
    for more in ([], ["--classes"], ["--interpolate"]):
        assert call("sample", "./run", "-n", 11, *more, "--out", tmp_path / "sheet.png") == 2
        assert "megapixels" in capsys.readouterr().err


def test_grids_are_as_they_were():
    images = torch.linspace(-1.5, 1.5, 150 * 3 * 4 * 4).reshape(150, 3, 4, 4)
    before = images.clone()
    whole = images.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    assert torch.equal(pictures.to_uint8(images), whole) and torch.equal(images, before)
    sheet = torch.frombuffer(bytearray(pictures.grid(images, 10, padding=0).tobytes()), dtype=torch.uint8)
    wanted = whole.reshape(15, 10, 4, 4, 3).permute(0, 2, 1, 3, 4)
    assert torch.equal(sheet.reshape(wanted.shape), wanted)


@pytest.mark.parametrize("classes", [1, 1_000_000])
def test_classes_of_a_generator_without_labels_are_not_believed(tmp_path, classes):
    tiny.built_in("dcgan").save(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    facts = json.loads(config.read_text())
    facts["image"]["classes"] = classes
    config.write_text(json.dumps(facts))
    with pytest.raises(CheckpointError, match=f"image.classes: {classes}, but the generator 'dcgan' takes no labels"):
        load_folder(tmp_path / "model")


def test_classes_of_a_generator_with_labels_are():
    model = tiny.built_in("lsgan-conditional")
    assert build_on_meta(model.config, "here", registry(), 100).label.linear.in_features == 3
