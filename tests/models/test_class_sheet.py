"""`ganzoo sample --classes`: a row for each class, the same latents in every row."""

import pytest
import tiny
import torch
from PIL import Image

from ganzoo.cli import main
from ganzoo.errors import UsageError


def call(*words) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, words)))
    return ended.value.code


def test_every_class_is_drawn_from_the_same_latents():
    model = tiny.built_in("lsgan-conditional")
    images = model.each_class(4, seed=3, truncation=0.5, batch_size=5)
    assert images.shape == (12, 1, 28, 28)
    latent = model.latent(4, 3, 0.5)
    for number in range(3):
        row = model.generate(latent, torch.full((4,), number))
        torch.testing.assert_close(images[4 * number : 4 * number + 4], row, rtol=0, atol=1e-5)
    assert not torch.allclose(images[0], images[4], atol=0.01)
    with pytest.raises(UsageError, match="dcgan .*unconditional"):
        tiny.built_in("dcgan").each_class(2)


def test_the_sheet_has_a_row_for_each_class(tmp_path, monkeypatch, capsys):
    model, asked = tiny.built_in("lsgan-conditional"), []
    monkeypatch.setattr("ganzoo.models.load.load", lambda *_, **__: model)
    draw = model.each_class
    monkeypatch.setattr(model, "each_class", lambda *words, **more: asked.append((words, more)) or draw(*words, **more))
    assert call("sample", "./run", "--classes", "-n", 5, "--seed", 2, "--out", tmp_path / "sheet.png") == 0
    assert asked == [((5,), {"seed": 2, "truncation": None, "batch_size": 64})]
    sheet = Image.open(tmp_path / "sheet.png").convert("L")
    factor = 640 // (5 * 30 + 2)
    left = sheet.width - factor * (5 * 30 + 2)
    assert sheet.height == factor * (3 * 30 + 2)
    thirds = [sheet.crop((0, row * sheet.height // 3, left, (row + 1) * sheet.height // 3)) for row in range(3)]
    assert left > 0 and all(third.getextrema()[0] < 128 for third in thirds)  # each row has its name
    assert call("sample", "./run", "--classes", "--label", 1, "--out", tmp_path / "other.png") == 2
    assert call("sample", "./run", "--classes", "--out", tmp_path / "other.npz") == 2
    assert capsys.readouterr().err.count("leave out --label, --interpolate and --columns") == 2
