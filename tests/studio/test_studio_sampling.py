"""Samples of the studio: what can be chosen of a model, and the command that makes the same file."""

import shlex

import pytest
import tiny

from ganzoo import Field, ImageSpec, SampleSpec
from ganzoo.cli import main
from ganzoo.errors import UsageError
from ganzoo.registry.registry import registry
from ganzoo.studio import files, sampling
from ganzoo.studio.commands import command
from ganzoo.studio.shelf import Shelf, abilities_of

IMAGE = Field((3, 8, 8))


def ended_well(words):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0


def remade(line, folder):
    """The file that a command line of the studio writes, made in `folder`."""
    words = shlex.split(line)
    assert words[0] == "ganzoo" and words[-2] == "--out"
    out = folder / words[-1]
    ended_well([*words[1:-1], str(out)])
    return out.read_bytes()


@pytest.mark.parametrize(
    ("spec", "able"),
    [
        (ImageSpec(8, 3), {"sample", "walk"}),
        (ImageSpec(8, 3, 10), {"sample", "walk"}),
        (SampleSpec(IMAGE, {"source": Field((3, 4, 4))}), {"apply"}),
        (SampleSpec(IMAGE, {"source": IMAGE, "mask": Field((1, 8, 8))}), set()),
        (SampleSpec(Field((2,), "points")), {"sample"}),
        (SampleSpec(Field((3,), "points")), set()),
    ],
)
def test_what_a_model_can_do_follows_from_its_samples(spec, able):
    assert abilities_of(spec) == able


def test_the_shelf_holds_embedded_weights_and_nothing_else():
    shelf = Shelf((), registry())
    assert {"dcgan.fashion-mnist", "r3gan.fashion-mnist"} <= set(shelf.able("sample"))
    assert "real-esrgan.animevideo" in shelf.able("apply")
    for name in ("/etc", "./runs/first", "owner/name", "../x", "hf://owner/name", "no-such.tag"):
        with pytest.raises(UsageError, match="is not in this studio"):
            shelf.model(name)


def test_models_named_at_the_start_come_first_and_alone_if_asked(tmp_path):
    import ganzoo

    ganzoo.load("dcgan.fashion-mnist").save(tmp_path / "mine")
    name = str(tmp_path / "mine")
    assert Shelf([name], registry()).able("sample")[0] == name
    assert Shelf([name], registry(), zoo=False).able("sample") == [name]
    assert Shelf([name], registry(), zoo=False).able("apply") == []


def test_what_can_be_chosen_is_asked_of_the_generator():
    coded = sampling.controls_of(tiny.built_in("infogan"))
    assert [one.kind for one in coded.sliders] == ["categorical", "continuous", "continuous"]
    labelled = sampling.controls_of(tiny.built_in("lsgan-conditional"))
    assert labelled.classes == ("class 0", "class 1", "class 2") and labelled.truncates
    assert sampling.controls_of(tiny.built_in("dcgan")).classes == ()


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("r3gan.fashion-mnist", sampling.Request(seed=7, truncation=0.7, moves={"2": -1.5, "3": 0.0})),
        ("cgan.fashion-mnist", sampling.Request(count=10, label="Ankle boot")),
        ("cgan.fashion-mnist", sampling.Request(count=20)),
        ("infogan.fashion-mnist", sampling.Request(count=5, moves={"category": 3, "continuous-1": 0.0})),
    ],
)
def test_the_command_makes_the_same_file(name, request_, tmp_path, capsys):
    shelf = Shelf((), registry())
    model = shelf.model(name)
    path = files.save(tmp_path, sampling.grid(model, request_), "grid.png")
    line = sampling.grid_command(name, model, request_)
    with open(path, "rb") as file:
        assert remade(line, tmp_path) == file.read()


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (sampling.Request(count=65), "Images"),
        (sampling.Request(count=0), "Images"),
        (sampling.Request(count=None), "Images"),
        (sampling.Request(count=True), "Images"),
        (sampling.Request(seed=-1), "seed"),
        (sampling.Request(seed=2**40), "seed"),
        (sampling.Request(seed=1.5), "seed"),
        (sampling.Request(seed="1"), "seed"),
        (sampling.Request(seed=float("nan")), "seed"),
        (sampling.Request(label="nothing"), "label"),
        (sampling.Request(truncation=-1.0), "Truncation"),
        (sampling.Request(moves={"99": 1.0}), "99"),
    ],
)
def test_what_a_browser_may_not_ask_is_one_line(request_, said):
    with pytest.raises(UsageError, match=said) as refused:
        sampling.grid(tiny.built_in("dcgan"), request_)
    assert "\n" not in str(refused.value)


def test_commands_are_quoted_and_exact():
    line = command(
        "sample", "./my runs/a", n=3, label="it's", truncation=0.7, move={"1": 1 / 3}, force=False, out="x.png"
    )
    words = shlex.split(line)
    assert words[:3] == ["ganzoo", "sample", "./my runs/a"] and "it's" in words and "--force" not in words
    assert float(words[words.index("--move") + 1].partition("=")[2]) == 1 / 3
