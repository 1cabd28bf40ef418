"""Moves along codes and directions: what sliders and `ganzoo sample --move` do."""

import numpy
import pytest
import tiny
import torch

from ganzoo.cli import main
from ganzoo.errors import UsageError
from ganzoo.models import explore
from ganzoo.models.moves import Moves, directions, sliders


def moved(model, count, values, pil=False):
    """Samples that are moved by name."""
    return (model.sample_pil if pil else model.sample)(count, moves=Moves(model, values))


def test_sliders_are_the_codes_or_else_the_strongest_directions():
    coded, plain = tiny.built_in("infogan"), tiny.built_in("dcgan")
    assert [(one.name, one.kind, one.low, one.high) for one in sliders(coded)] == [
        ("category", "categorical", 0, 2),
        ("continuous-1", "continuous", -2, 2),
        ("continuous-2", "continuous", -2, 2),
    ]
    assert [one.name for one in sliders(plain)] == ["1", "2", "3", "4", "5", "6"]  # of six numbers in a latent


def test_a_move_along_a_direction_is_the_image_of_explore():
    model = tiny.built_in("dcgan")
    rows = explore.explore(model, directions=6, samples=3, steps=3, reach=2.0)
    wanted = explore.sample_rows(model, rows)[1][:, 2]
    found = moved(model, 3, {"2": 2.0})
    assert torch.allclose(found, wanted, atol=1e-5)
    assert not torch.allclose(found, model.sample(3), atol=1e-2)


def test_moves_add_up_and_zero_is_none():
    model = tiny.built_in("dcgan")
    assert torch.equal(moved(model, 2, {"1": 0.0}), model.sample(2))
    vectors, deviations = directions(model)
    latent = model.latent(2) + 1.5 * deviations[0] * vectors[0] - deviations[2] * vectors[2]
    assert torch.allclose(moved(model, 2, {"1": 1.5, "3": -1.0}), model.generate(latent), atol=1e-5)


def test_a_code_that_is_set_is_that_of_every_sample():
    model = tiny.built_in("infogan")
    latent = model.latent(4)
    code = model.generator.codes[0]
    latent[:, code.start : code.start + code.size] = torch.tensor([0.0, 0.0, 1.0])
    assert torch.equal(moved(model, 4, {"category": 2}), model.generate(latent))


@pytest.mark.parametrize(
    ("moves", "said"),
    [({"7": 1.0}, "7"), ({"1": float("nan")}, "nan"), ({"1": 1e9}, "number such as")],
)
def test_moves_that_make_no_sense_are_refused(moves, said):
    with pytest.raises(UsageError, match=said):
        moved(tiny.built_in("dcgan"), 1, moves)


def test_a_category_that_does_not_exist_is_refused():
    for value in (3, 0.5, -1):
        with pytest.raises(UsageError, match="0 to 2"):
            moved(tiny.built_in("infogan"), 1, {"category": value})


def test_the_command_moves_arrays_too(tmp_path, capsys):
    words = ["sample", "infogan.fashion-mnist", "-n", "3", "--move", "category=4", "--move", "continuous-1=-1.5"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--out", str(tmp_path / "moved.npz")])
    assert ended.value.code == 0
    import ganzoo

    wanted = moved(ganzoo.load("infogan.fashion-mnist"), 3, {"category": 4, "continuous-1": -1.5}, pil=True)
    with numpy.load(tmp_path / "moved.npz") as found:
        assert (found["images"][:, :, :, 0] == numpy.stack([numpy.asarray(one) for one in wanted])).all()


@pytest.mark.parametrize(
    "words", [["--move", "1"], ["--move", "=2"], ["--move", "1=x"], ["--move", "1=2", "--classes"]]
)
def test_wrong_moves_are_one_line(words, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["sample", "dcgan.fashion-mnist", *words, "--out", str(tmp_path / "x.png")])
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.count("\n") == 1 and "move" in said
