"""Runs of variants with sources: what is recorded, what a resumed run finds again, and what is refused at the start."""

import hashlib
import json
import shutil

import numpy
import pytest
import small
import torch
from PIL import Image
from safetensors.torch import save_file
from translation import noise, translators

from ganzoo.cli import main
from ganzoo.cli.options import train_options
from ganzoo.config.options import TrainOptions
from ganzoo.data import load_images
from ganzoo.errors import CheckpointError, UsageError
from ganzoo.runs.request import Intervals, Request
from ganzoo.runs.train import train

EVERY = Intervals(sample_every=2, checkpoint_every=2)


@pytest.fixture(scope="module")
def registry():
    return translators()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    for number in range(6):
        noise(tmp_path / "output" / f"{number}.png", number)
        noise(tmp_path / "source" / f"{number}.png", 100 + number, channels=1)
    return tmp_path


def run(folder, registry, variant="translator", out="run", steps=4, resume=False, settings=(), given=None, **options):
    asked = {"device": "cpu", "threads": 1, "steps": steps, "settings": tuple(settings), **options}
    if not resume:
        asked = {"data": str(folder / "output"), "source": str(folder / "source"), **asked}
    request = Request(
        out=folder / out, variant=None if resume else variant, options=TrainOptions(**asked), intervals=EVERY,
        resume=resume, quiet=True,
    )  # fmt: skip
    return train(request, registry, given)


def config(folder, out="run"):
    return json.loads((folder / out / "config.json").read_text())


RUNS = {
    "pairs": {"settings": ["training.load_ratio=1.5", "training.mirror=true"]},
    "unpaired": {"variant": "unpaired"},
    "condition": {"source": "mask", "settings": ["source.shape=half", "training.load_ratio=1.5"]},
    "the card's condition": {"variant": "enlarger", "source": None},
    "cut-outs": {"source": "composite"},
    "rectangles": {"variant": "wide", "image_size": (8, 12), "settings": ["training.mirror=true"]},
    "micro-batches": {"settings": ["training.accumulate=2", "training.load_ratio=1.5"]},
    "degraded": {"source": "degrade", "settings": ["source.factor=1", "source.blur_sigma=[0.2, 1.0]"]},
    "another size": {"variant": "translator", "source": "downscale", "image_size": 16},
}


@pytest.mark.parametrize("options", RUNS.values(), ids=RUNS)
def test_a_run_with_a_source_resumes_bit_for_bit(folder, registry, options):
    run(folder, registry, out="whole", **options)
    shutil.copytree(folder / "whole", folder / "parts")
    shutil.rmtree(folder / "parts" / "checkpoints" / "step-000000004")
    run(folder, registry, out="parts", resume=True)
    assert small.same(small.newest(folder / "parts"), small.newest(folder / "whole"))
    assert small.records(folder / "parts") == small.records(folder / "whole")
    assert config(folder, "parts")["data"] == config(folder, "whole")["data"]


def test_pairs_side_by_side_are_found_again(folder, registry):
    for number in range(4):
        pixels = numpy.random.default_rng(number).integers(0, 256, (8, 16, 3), dtype=numpy.uint8)
        (folder / "joined").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / "joined" / f"{number}.png")
    run(folder, registry, data=str(folder / "joined"), source=None, side_by_side=True, direction="BtoA", steps=2)
    facts = config(folder)["data"]["sources"]
    assert facts["side_by_side"] and facts["direction"] == "BtoA" and facts["source"] is None
    run(folder, registry, resume=True, steps=4)
    assert small.steps_of(folder / "run")[0] == 4


def test_the_configuration_says_where_the_sources_are_and_what_they_were(folder, registry):
    run(folder, registry, "unpaired")
    facts = config(folder)["data"]["sources"]
    assert facts["source"] == str(folder / "source") and facts["unpaired"] and facts["images"] == 6
    assert facts["size"] == [8, 8] and (facts["channels"], facts["source_channels"]) == (None, None)
    assert len(facts["fingerprint"]) == 64 and facts["fingerprint"] != config(folder)["data"]["fingerprint"]
    run(folder, registry, out="paired")
    assert config(folder, "paired")["data"]["sources"]["fingerprint"] is None
    assert config(folder, "paired")["image"]["inputs"]["source"]["shape"] == [1, 8, 8]


def test_smaller_sources_are_found_again(folder, registry):
    for number in range(6):
        noise(folder / "small" / f"{number}.png", number, (4, 4))
    options = {"source": str(folder / "small"), "source_size": 4, "settings": ["training.load_ratio=1.25"]}
    run(folder, registry, steps=2, **options)
    facts = config(folder)
    assert facts["data"]["sources"]["size"] == [4, 4] and facts["image"]["inputs"]["source"]["shape"] == [3, 4, 4]
    run(folder, registry, resume=True)
    assert small.steps_of(folder / "run")[0] == 4


@pytest.mark.parametrize("variant", ["translator", "unpaired"])
def test_changed_sources_are_noticed_on_resuming(folder, registry, variant):
    run(folder, registry, variant, steps=2)
    noise(folder / "source" / "3.png", 7, channels=1)
    with pytest.raises(UsageError, match="fingerprint"):
        run(folder, registry, resume=True)


@pytest.mark.parametrize("options", [{}, {"variant": "unpaired"}, {"source": "composite"}])
def test_nothing_is_prepared_again_on_resuming(folder, registry, options):
    run(folder, registry, steps=2, **options)
    kept = sorted((folder / "cache" / "datasets").iterdir())
    run(folder, registry, resume=True)
    assert sorted((folder / "cache" / "datasets").iterdir()) == kept
    if not options:
        run(folder, registry, resume=True, channels=3, source_channels=1)


def test_sources_may_move_and_the_condition_may_be_named_again(folder, registry):
    run(folder, registry, steps=2)
    (folder / "source").rename(folder / "moved")
    run(folder, registry, resume=True, source=str(folder / "moved"))
    run(folder, registry, out="other", source="mask", settings=["source.least=0.3"], steps=2)
    run(folder, registry, out="other", resume=True, source="mask")
    with pytest.raises(UsageError, match="variant.inputs.source.name"):
        run(folder, registry, out="other", resume=True, source="grey")


def test_pictures_of_a_condition_are_found_from_another_folder(folder, registry, monkeypatch, tmp_path):
    noise(folder / "behind" / "0.png", 0)
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder)
    settings = ["source.background=pictures", "source.pictures=behind"]
    run(folder, registry, source="composite", settings=settings, steps=2)
    written = config(folder)
    assert written["variant"]["inputs"]["source"]["options"]["pictures"] == str(folder / "behind")
    monkeypatch.chdir(folder / "elsewhere")
    run(folder, registry, resume=True)
    (folder / "behind").rename(folder / "elsewhere" / "moved")
    run(folder, registry, resume=True, settings=["source.pictures=moved"], steps=6)
    written["variant"]["inputs"]["source"]["options"]["pictures"] = "moved"  # as runs of before have it
    (folder / "run" / "config.json").write_text(json.dumps(written))
    run(folder, registry, resume=True, steps=8)


def test_a_file_that_a_loss_names_is_found_from_another_folder_and_compared(folder, registry, monkeypatch):
    kernel = folder / "kernel.safetensors"
    save_file({"kernel": torch.full((3, 3, 3, 3), 0.1)}, kernel)
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder)
    run(folder, registry, steps=2, settings=["loss.perceptual=kernel.safetensors"])
    assert config(folder)["assets"] == {"loss.perceptual": hashlib.sha256(kernel.read_bytes()).hexdigest()}
    monkeypatch.chdir(folder / "elsewhere")
    run(folder, registry, resume=True)
    kernel.rename("moved.safetensors")
    run(folder, registry, resume=True, steps=6, settings=["loss.perceptual=moved.safetensors"])
    with pytest.raises(UsageError, match="variant.loss.options.perceptual"):
        run(folder, registry, resume=True, steps=8, settings=["loss.perceptual="])
    save_file({"kernel": torch.full((3, 3, 3, 3), 0.2)}, "moved.safetensors")
    with pytest.raises(UsageError, match="another file of loss.perceptual: its sha256 was"):
        run(folder, registry, resume=True, steps=8)
    run(folder, registry, out="without", steps=2)
    assert "assets" not in config(folder, "without")


def test_what_a_condition_read_is_compared(folder, registry):
    for number in range(2):
        noise(folder / "behind" / f"{number}.png", number)
    settings = ["source.background=pictures", f"source.pictures={folder / 'behind'}"]
    run(folder, registry, source="composite", settings=settings, steps=2)
    assert len(config(folder)["data"]["sources"]["conditions"]["source"]) == 64
    noise(folder / "behind" / "0.png", 9)
    with pytest.raises(UsageError, match="conditions.source"):
        run(folder, registry, resume=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"source": "msak"}, "No condition, data set, file or folder is called 'msak'.* Did you mean 'mask'"),
        ({"source": None}, "has one side alone: give the other with --source"),
        ({"unpaired": True}, "learns from pairs: leave out --unpaired"),
        ({"direction": "BtoA"}, "--direction is for pictures or folders that hold A and B"),
        ({"source": "mask", "unpaired": True}, "--unpaired is for sources that come with the data"),
        ({"source": "mask", "source_size": 4}, "--source-size is for sources"),
        ({"source": "mask", "side_by_side": True}, "--pairs holds the source already"),
        ({"source": "mask", "settings": ["source.shpae=half"]}, "source.shpae: unknown option"),
        ({"source": "mask", "settings": ["source.shape=circle"]}, "source.shape"),
        ({"settings": ["source.factor=4"]}, "the source comes with the data"),
        ({"settings": ["sorce.factor=4"]}, "Did you mean 'source'"),
        ({"settings": ["training.load_ratio=0.5"]}, "training.load_ratio: must be at least 1"),
        ({"image_size": (8, 16)}, "draws squares, not 8 x 16"),
        ({"variant": "unpaired", "batch": 7}, "Batches of 7 cannot be drawn from 6 images"),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_is_written(folder, registry, options, words):
    options = dict(options)
    batch = options.pop("batch", None)
    if batch:
        options["settings"] = [f"training.batch_size={batch}"]
        (folder / "output" / "more.png").write_bytes((folder / "output" / "0.png").read_bytes())
    with pytest.raises(UsageError, match=words):
        run(folder, registry, **options)
    assert not (folder / "run").exists()
    assert not batch or not list((folder / "cache").glob("datasets/*"))


def test_a_variant_without_inputs_takes_no_source(folder):
    from ganzoo.registry.registry import registry as installed

    with pytest.raises(UsageError, match="'dcgan' takes no source"):
        run(folder, installed(), "dcgan", image_size=32)


def test_a_hostile_configuration_is_refused(folder, registry):
    run(folder, registry, steps=2)
    facts = config(folder)
    facts["data"]["sources"]["colour"] = 1
    (folder / "run" / "config.json").write_text(json.dumps(facts))
    with pytest.raises(CheckpointError, match="data.sources: unknown key 'colour'"):
        run(folder, registry, resume=True)


def test_options_of_pairs_and_splits_on_the_command_line():
    asked = {"split": "val", "data": "photos", "source": "edges", "device": "cpu"}
    assert train_options(dict(asked), ["edges"]) == TrainOptions(data="photos:val", source="edges", device="cpu")
    assert train_options(dict(asked)).source == "edges:val"
    pairs = {**asked, "data": None, "pairs": "joined", "source": None}
    assert train_options(dict(pairs)) == TrainOptions(data="joined:val", side_by_side=True, device="cpu")
    with pytest.raises(UsageError, match="--pairs holds both sides"):
        train_options({**pairs, "data": "photos"})


def test_images_that_are_loaded_already_are_not_taken_where_sources_are_needed(folder, registry):
    loaded = load_images(str(folder / "output"), size=8)
    run(folder, registry, given=loaded, steps=2)
    assert config(folder)["data"]["fingerprint"] != loaded.fingerprint


def test_pairs_are_measured_and_shown_with_the_truth(folder, registry):
    run(folder, registry, out="paired")
    run(folder, registry, "unpaired", out="apart")
    looks = {
        out: [one["samples"] for one in small.records(folder / out) if "samples" in one] for out in ("paired", "apart")
    }
    assert looks["paired"] and all("l1" in look for look in looks["paired"])
    assert looks["apart"] and not any("l1" in look for look in looks["apart"])
    tall, flat = (Image.open(folder / out / "samples.png") for out in ("paired", "apart"))
    assert tall.height / tall.width > 1.3 * flat.height / flat.width, "three rows, and two"


@pytest.fixture
def command(folder, registry, monkeypatch, capsys):
    """Calls the command line with these variants; returns the exit code and what it said."""
    for place in ("common", "listing"):
        monkeypatch.setattr(f"ganzoo.cli.{place}.loaded_registry", lambda: registry)

    def call(*words) -> tuple[int, str]:
        fixed = ["--out", str(folder / "run"), "--device", "cpu", "--threads", "1", "--steps", "2", "--quiet"]
        with pytest.raises(SystemExit) as ended:
            main(["train", *map(str, words), *fixed])
        return ended.value.code, capsys.readouterr().err

    return call


@pytest.mark.parametrize(
    ("variant", "words", "inputs"),
    [
        ("translator", ["--source", "source"], None),
        ("unpaired", ["--source", "source", "--source-channels", "3"], None),
        (
            "translator",
            ["--source", "mask", "--set", "source.shape=top"],
            {"name": "mask", "options": {"shape": "top"}},
        ),
        ("enlarger", [], {"name": "downscale", "options": {"factor": 2}}),
        ("enlarger", ["--source", "source"], None),
    ],
)
def test_sources_on_the_command_line(command, folder, variant, words, inputs):
    words = [str(folder / word) if word == "source" else word for word in words]
    code, said = command(variant, "--data", folder / "output", *words)
    assert code == 0, said
    assert config(folder)["variant"]["inputs"] == {"source": inputs}


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["--image-size", "0x8"], 2, "'0x8' is no size"),
        (["--image-size", "8x8x8"], 2, "is no size"),
        (["--image-size", "8x16"], 2, "draws squares, not 8 x 16"),
        (["--channels", "2"], 2, "'2' is not one of '1', '3', '4'"),
        (["--source", "nowhere/at/all"], 2, "There is no file or folder"),
        (["--pairs", "joined"], 2, "--pairs holds both sides"),
        (["--direction", "AtoB", "--source", "mask"], 2, "--direction is for sources that come with the data"),
    ],
)
def test_wrong_words_are_one_line(command, folder, words, code, part):
    found, said = command("translator", "--data", folder / "output", *words)
    assert (found, part in said) == (code, True), said
    assert "Traceback" not in said and not (folder / "run").exists()


@pytest.mark.parametrize(
    ("variant", "part"),
    [
        ("translator", "source    comes with the data, paired"),
        ("unpaired", "source    comes with the data, from a set of its own"),
        ("enlarger", "source    computed by downscale"),
    ],
)
def test_show_says_where_the_source_comes_from(command, variant, part, capsys):
    with pytest.raises(SystemExit):
        main(["show", variant])
    assert f"  {part}; --source gives another\n" in capsys.readouterr().out
