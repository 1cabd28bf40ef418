"""A run from the first step to the last: its folder, resuming bit for bit, and what a resumed run may not change."""

import errno
import importlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
import small
import torch

from ganzoo.cli import main
from ganzoo.registry.registry import registry
from ganzoo.testing.subject import small_size

SMALLEST = {
    "dcgan": (),
    "wgan-gp": (),
    "wgan-gp-mnist": (),
    "wgan-gp-resnet": (),
    "wgan-gp-resnet-64": (),
    "lsgan": (),
    "lsgan-conditional": ("label_size=4", "hidden=8"),
    "infogan": (),
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with tiny images and the cache of what was prepared from them."""
    folder = tmp_path_factory.mktemp("workplace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANZOO_CACHE", str(folder / "cache"))
        small.images(folder / "grey.npz"), small.images(folder / "other.npz", seed=1)
        yield folder


def call(*words) -> int:
    """The exit code of a command line, run in this process."""
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, words)))
    return ended.value.code


def words_for(workplace: Path, name: str, out: Path, steps: int, *more: str) -> list[str]:
    variant = registry().get("variants", name)
    if variant.kind == "points":
        options = ["--checkpoint-every", "2", "--batch-size", "8", "--threads", "1", "--device", "cpu"]
        return ["train", name, "--data", "ring", "--steps", str(steps), "--out", str(out), *options, *more]
    size = small_size(variant)
    data = (
        small.images(workplace / f"{size}.npz", 24, size)
        if not (workplace / f"{size}.npz").exists()
        else workplace / f"{size}.npz"
    )
    options = [word for option in SMALLEST.get(name, ()) for word in ("--set", f"discriminator.{option}")]
    options += ["--set", "generator.label_size=4"] if name == "lsgan-conditional" else []
    options += ["--set", "loss.width=8"] if name == "vae" else []
    options += ["--set", "loss.width=4"] if variant.loss.name == "cut" else []
    if None in variant.inputs.values():  # no condition of the card computes it
        other = small.images(workplace / f"{size}-other.npz", 20, size, seed=1)
        options += ["--source", str(other) if variant.pairing == "independent" else "edges"]
    options += ["--set", "training.accumulate=2"] if variant.training.accumulate > 1 else []
    return small.arguments(data, out, *options, *more, "--checkpoint-every", "2", variant=name, steps=steps, size=size)


def builtin_variants() -> list:
    """The names of the built-in variants; those that share networks and loss with an earlier one are slow tests."""
    found, seen = [], set()
    for variant in registry().variants():
        if registry().claim("variants", variant.name).plugin.builtin:
            parts = variant.generator.name, variant.discriminator and variant.discriminator.name, variant.loss.name
            found.append(pytest.param(variant.name, marks=[pytest.mark.slow] if parts in seen else []))
            seen.add(parts)
    return found


@pytest.mark.parametrize("name", builtin_variants())
def test_every_variant_resumes_bit_for_bit(workplace, tmp_path, name):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert call(*words_for(workplace, name, whole, 3)) == 0
    shutil.copytree(whole, parts)
    shutil.rmtree(parts / "checkpoints" / "step-000000003")  # as if it had been killed during step 3
    torch.manual_seed(1)  # whatever the process did before: nothing of it may matter
    assert small.steps_of(parts) == [2]
    assert call("train", "--out", parts, "--resume", "--checkpoint-every", 2) == 0
    assert small.same(small.newest(parts), small.newest(whole))
    assert small.records(parts) == small.records(whole)


def test_a_run_whose_plugin_is_gone_says_who_provided_it(workplace, tmp_path, capsys):
    assert call(*words_for(workplace, "dcgan", tmp_path / "run", 1)) == 0
    config = tmp_path / "run" / "config.json"
    text = config.read_text().replace('"name": "dcgan",\n    "summary"', '"name": "gone-gan",\n    "summary"')
    config.write_text(text.replace('"distribution": "ganzoo"', '"distribution": "ganzoo-gone"'))
    assert call("train", "--out", tmp_path / "run", "--resume") == 2
    error = capsys.readouterr().err
    assert "a run of 'gone-gan', which nobody provides here; 'ganzoo-gone 0.1.0' did" in error


def test_steps_are_not_added_to_a_run_whose_schedules_are_measured_by_them(workplace, tmp_path, capsys):
    assert (
        call(*words_for(workplace, "dcgan", tmp_path / "run", 2, "--set", "training.schedules.generator_lr.to_value=0"))
        == 0
    )
    assert call("train", "--out", tmp_path / "run", "--resume", "--steps", "3") == 2
    error = capsys.readouterr().err
    assert "variant.training.steps: 2 before, 3 now" in error and "leave --steps out, or start a new run" in error


@pytest.fixture(scope="module")
def run(workplace):
    """A finished run of six steps; tests copy it before they change it."""
    out = workplace / "run"
    assert (
        call(*small.arguments(workplace / "grey.npz", out, "--checkpoint-every", "1", "--sample-every", "3", steps=6))
        == 0
    )
    return out


@pytest.fixture
def copied(run, tmp_path):
    return Path(shutil.copytree(run, tmp_path / "run"))


def test_resuming_prepares_no_image_again(copied, workplace, capsys):
    before = sorted((workplace / "cache" / "datasets").iterdir())
    assert call("train", "--resume", "--out", str(copied), "--steps", "7") == 0
    assert "preparing" not in capsys.readouterr().err
    assert sorted((workplace / "cache" / "datasets").iterdir()) == before


def test_the_folder_holds_what_it_promises(run, workplace):
    config = json.loads((run / "config.json").read_text())
    assert config["variant"]["name"] == "dcgan" and config["variant"]["generator"]["options"] == {"width": 4}
    assert config["variant"]["training"]["steps"] == 6 and config["seed"] == 0
    assert config["data"]["source"] == str(workplace / "grey.npz") and config["data"]["fingerprint"]
    assert config["versions"].keys() >= {"ganzoo", "torch", "python"}
    assert (run / "samples.png").read_bytes().startswith(b"\x89PNG")
    grids = [f"step-{step:09d}.png" for step in (0, 3, 6)]
    assert sorted(path.name for path in (run / "samples").iterdir()) == ["real.png", *grids]
    found = small.records(run)
    assert [record["step"] for record in found if "terms" in record] == [1, 2, 3, 4, 5, 6]
    assert found[0]["terms"].keys() == {"discriminator.real", "discriminator.fake", "generator.fake"}


def test_the_last_three_and_the_best_are_kept(run):
    from ganzoo.checkpoints.checkpoint import load_checkpoint

    distances = {
        record["step"]: record["samples"]["energy_distance"] for record in small.records(run) if "samples" in record
    }
    best = min(distances, key=distances.get)
    assert set(small.steps_of(run)) == {4, 5, 6, best}
    for step in small.steps_of(run):
        summary = load_checkpoint(run / "checkpoints" / f"step-{step:09d}", [])[2]
        assert summary["energy_distance"] == distances[step] and summary["step"] == step


def test_a_best_one_that_is_old_stays(workplace, tmp_path, monkeypatch):
    from ganzoo.runs.sample_monitor import SampleMonitor

    monkeypatch.setattr(
        SampleMonitor,
        "measure",
        lambda monitor: {"diversity": 1.0, "energy_distance": abs(monitor.trainer.step_number - 2.0)},
    )
    words = small.arguments(workplace / "grey.npz", tmp_path / "run", "--checkpoint-every", "1", "--keep", "2", steps=6)
    assert call(*words) == 0
    assert small.steps_of(tmp_path / "run") == [6, 5, 2]


def test_a_damaged_newest_checkpoint_is_skipped_with_a_line(copied, run, capsys):
    damaged = copied / "checkpoints" / "step-000000006" / "generator.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert call("train", "--out", copied, "--resume", "--checkpoint-every", "1", "--sample-every", "3") == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "skipped checkpoint step-000000006" in line]
    assert len(lines) == 1 and "generator.safetensors is damaged" in lines[0]
    assert small.same(small.newest(copied), small.newest(run))
    assert small.records(copied) == small.records(run)


def test_all_checkpoints_damaged_is_an_error_that_deletes_nothing(copied, capsys):
    for path in (copied / "checkpoints").glob("*/MANIFEST.json"):
        path.write_bytes(b"{}")
    before = sorted(copied.rglob("*.safetensors"))
    assert call("train", "--out", copied, "--resume", "--steps", "8") == 1
    assert "no checkpoint in" in capsys.readouterr().err
    assert sorted(copied.rglob("*.safetensors")) == before


def test_a_torn_record_does_not_stop_a_resumed_run(copied):
    with open(copied / "metrics.jsonl", "a") as file:
        file.write('{"step": 6, "te')
    assert call("train", "--out", copied, "--resume", "--steps", "7") == 0
    assert [record["step"] for record in small.records(copied) if "terms" in record] == [1, 2, 3, 4, 5, 6, 7]


def test_an_existing_run_is_an_error_and_stays_as_it_is(copied, workplace, capsys):
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    assert call(*small.arguments(workplace / "absent.npz", copied)) == 2
    assert "already holds a run: add --resume" in capsys.readouterr().err  # told before any image is read
    assert {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()} == before


def test_what_a_killed_start_left_is_no_run(workplace, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").touch()
    (tmp_path / "run" / ".tmp-1-abcd").write_text("{")
    assert call(*small.arguments(workplace / "grey.npz", tmp_path / "run", steps=1)) == 0
    assert not list((tmp_path / "run").glob(".tmp-*"))


CHANGES = {
    "seed": (["--seed", "1"], ["seed: 0 before, 1 now"]),
    "batch": (["--batch-size", "8"], ["variant.training.batch_size: 4 before, 8 now"]),
    "option": (["--set", "generator.width=8"], ["variant.generator.options.width: 4 before, 8 now"]),
    "data": (["--data", "OTHER"], ["data.fingerprint: "]),
    "precision": (["--precision", "bf16"], ['precision: "fp32" before, "bf16" now']),
    "two": (
        ["--seed", "1", "--set", "training.generator_lr=1"],
        ["seed: 0 before, 1 now", "variant.training.generator_lr: 0.0002 before, 1"],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_run_goes_on_only_as_what_it_was(run, workplace, capsys, name):
    more, expected = CHANGES[name]
    more = [str(workplace / "other.npz") if word == "OTHER" else word for word in more]
    before = (run / "config.json").read_bytes()
    assert call("train", "--out", run, "--resume", *more) == 2
    error = capsys.readouterr().err
    assert "This run was started with other settings" in error
    assert all(line in error for line in expected)
    assert (run / "config.json").read_bytes() == before


def test_another_variant_is_refused(run, capsys):
    assert call("train", "lsgan", "--out", run, "--resume") == 2
    assert "is a run of 'dcgan', not of 'lsgan'" in capsys.readouterr().err


def test_another_number_of_threads_is_told(copied, capsys):
    config = json.loads((copied / "config.json").read_text())
    assert config["threads"] == 1
    assert call("train", "--out", copied, "--resume", "--threads", "2", "--steps", "7") == 0
    torch.set_num_threads(1)
    assert "not be bit-identical" in (error := capsys.readouterr().err) and "threads: 1 before, 2 now" in error


def test_a_resumed_run_uses_its_own_number_of_threads(copied, capsys):
    torch.set_num_threads(2)
    try:
        assert call("train", "--out", copied, "--resume", "--steps", "7") == 0
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(1)
    assert "bit-identical" not in capsys.readouterr().err


def test_a_resumed_run_goes_on_where_it_was_unless_somebody_says_otherwise(monkeypatch, run):
    from ganzoo.config.options import TrainOptions
    from ganzoo.config.schema import read_run_config
    from ganzoo.runs.request import Request

    config = read_run_config(run / "config.json")

    def device(asked, before):
        request = Request(out=run, options=TrainOptions(device=asked))
        return request.completed_by(replace(config, device=before)).options.device

    assert device("auto", "cuda") == "auto"  # there is none here
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device("auto", "cpu") == "cpu" and device("auto", "cuda") == "cuda"
    assert device("cuda", "cpu") == "cuda"


def test_a_finished_run_says_so(copied, capsys):
    assert call("train", "--out", copied, "--resume") == 0
    assert re.search("6 steps.*--steps", capsys.readouterr().err)


def test_images_are_counted_in_batches_that_teach(workplace, tmp_path):
    words = small.arguments(workplace / "grey.npz", tmp_path / "run", variant="wgan-gp")
    words[words.index("--steps")] = "--images"
    words[words.index("--images") + 1] = "41"  # 5 batches of 4 a step: 3 steps are the first to reach it
    assert call(*words) == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["variant"]["training"]["steps"] == 3


def test_curves_for_tensorboard(workplace, tmp_path):
    pytest.importorskip("tensorboard")
    assert call(*small.arguments(workplace / "grey.npz", tmp_path / "run", "--tensorboard", steps=2)) == 0
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))


def test_images_from_data_stay_small_for_the_watch():
    from ganzoo.runs.sample_monitor import select_real

    class Many:
        images = torch.arange(300).to(torch.uint8).view(300, 1, 1, 1).expand(300, 128, 128, 3)

        def __len__(self):
            return 300

    found = select_real(Many())
    assert found.shape == (256, 3, 64, 64)
    assert found[0].unique().tolist() == [-1.0]


def test_real_images_for_the_watch_are_those_of_the_data_set(monkeypatch):
    from ganzoo.runs import sample_monitor

    asked = []
    monkeypatch.setattr(sample_monitor, "select_real", lambda data: asked.append(data) or data.images)
    one, other = (SimpleNamespace(fingerprint=name, images=torch.rand(8, 1, 4, 4)) for name in "ab")
    for data in (one, one, other, one):
        found = sample_monitor.real_images(data)
        assert found.images is data.images and found.spread == sample_monitor.spread(data.images)
    assert asked == [one, other, one]


def test_the_same_pixels_are_the_same_data_whatever_they_are_called(copied, workplace, tmp_path, capsys):
    other = tmp_path / "renamed.npz"
    shutil.copy(workplace / "grey.npz", other)
    assert call("train", "--out", copied, "--resume", "--data", other, "--steps", "7") == 0
    assert json.loads((copied / "config.json").read_text())["data"]["name"] == "renamed"


def test_a_resumed_run_keeps_its_options(workplace, tmp_path, capsys):
    run = tmp_path / "run"
    given = {"sample_every": 2, "checkpoint_every": 1, "keep": 4, "on_collapse": "rollback", "on_bad_image": "skip"}
    words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    assert call(*small.arguments(workplace / "grey.npz", run, *words, "--data-root", tmp_path, steps=2)) == 0
    saved = json.loads((run / "config.json").read_text())["options"]
    assert saved == {**given, "tensorboard": False, "track": [], "data_root": str(tmp_path)}
    assert call("train", "--out", run, "--resume", "--steps", "4", "--keep", "3") == 0
    assert json.loads((run / "config.json").read_text())["options"] == {**saved, "keep": 3}
    assert set(small.steps_of(run)) >= {2, 3, 4}


@pytest.mark.parametrize("file", ["metrics", "checkpoint"])
def test_a_full_disk_ends_a_run_in_one_line_and_it_goes_on_to_the_same_bits(
    run, workplace, tmp_path, monkeypatch, capsys, file
):
    """The line names the last good checkpoint and the way to go on."""
    place = "ganzoo.runs.folder.open_own" if file == "metrics" else "ganzoo.checkpoints.checkpoint.save_file"
    module, _, name = place.rpartition(".")
    real, calls = getattr(importlib.import_module(module), name), []

    def until_full(*given, **options):
        calls.append(given)
        if len(calls) > 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*given, **options)

    words = ["--checkpoint-every", "1", "--sample-every", "3"]
    with monkeypatch.context() as patch:
        patch.setattr(place, until_full)
        assert call(*small.arguments(workplace / "grey.npz", tmp_path / "run", *words, steps=6)) == 1
    error = capsys.readouterr().err
    (line,) = [line for line in error.splitlines() if line.startswith("Error")]
    last = max(small.steps_of(tmp_path / "run"))
    assert "No space left" in line and f"step-{last:09d}" in line and "--resume" in line and "Traceback" not in error
    assert 0 < last < 6 and call("train", "--out", tmp_path / "run", "--resume") == 0
    for found in (run / "checkpoints" / "step-000000006").glob("*.safetensors"):
        assert (tmp_path / "run" / "checkpoints" / "step-000000006" / found.name).read_bytes() == found.read_bytes()


@pytest.mark.parametrize("name", ["checkpoints", "samples", "tensorboard"])
def test_a_folder_of_a_run_that_is_a_link_is_refused_and_nothing_behind_it_changes(copied, tmp_path, capsys, name):
    """A run deletes its leftovers and old checkpoints: behind a link they are someone's files."""
    behind = tmp_path / "behind"
    behind.mkdir() if name == "tensorboard" else (copied / name).rename(behind)
    (behind / ".trash-mine").mkdir()
    (copied / name).symlink_to(behind)
    before = {str(path): path.stat().st_mtime_ns for path in behind.rglob("*")}
    assert call("train", "--out", copied, "--resume", "--steps", "7") == 1
    assert f"{name} is a link, where a folder is expected" in capsys.readouterr().err
    assert {str(path): path.stat().st_mtime_ns for path in behind.rglob("*")} == before


def test_a_run_of_before_has_no_saved_options_and_resumes(copied):
    config = json.loads((copied / "config.json").read_text())
    del config["options"]
    (copied / "config.json").write_text(json.dumps(config))
    assert call("train", "--out", copied, "--resume", "--steps", "7") == 0
    assert json.loads((copied / "config.json").read_text())["options"]["sample_every"] == 500


EARLY = {
    "labels that are not taken": (["--conditional"], "'dcgan' takes no labels: leave out --conditional"),
    "batch": (["--batch-size", "50"], "Batches of 50 cannot be drawn from 48 images of 'grey': use --batch-size 48"),
    "steps and images": (["--images", "8"], "--steps or --images, not both"),
    "size": (
        ["--image-size", "101"],
        "multiples of 16 from 16 to 256 pixels, not 101: use --image-size 96; no variant",
    ),
    "augmentation": (
        ["--with", "ada", "--set", "loss=wasserstein-clipped"],
        "'wasserstein-clipped' states no boundary",
    ),
    "another's size": (["--image-size", "28"], "use --image-size 32, or a variant that draws 28: acgan, "),
}


@pytest.mark.parametrize("name", EARLY)
def test_what_the_arguments_say_is_refused_before_images_are_prepared(workplace, tmp_path, monkeypatch, capsys, name):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    more, expected = EARLY[name]
    assert call(*small.arguments(workplace / "grey.npz", tmp_path / "run", *more)) == 2
    error = capsys.readouterr().err
    assert expected in error and "preparing" not in error


def test_a_name_of_a_class_that_no_model_can_have_is_refused_before_the_training(tmp_path, monkeypatch, capsys):
    """It is a name of a class only if there are labels; config.json of a model holds at most 200 characters of each."""
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    for length in (200, 201):
        pixels = numpy.zeros((8, 28, 28), numpy.uint8)
        pixels[:, :, :] = numpy.arange(8)[:, None, None]
        data = tmp_path / f"{length}.npz"
        numpy.savez(data, images=pixels, labels=numpy.arange(8) % 2, classes=numpy.array(["x" * length, "y"]))
        words = small.arguments(data, tmp_path / f"run-{length}", variant="cgan", steps=1, size=28)
        assert call(*words) == (0 if length == 200 else 2)
    error = capsys.readouterr().err
    assert "201 characters" in error and "at most 200" in error and not (tmp_path / "run-201").exists()
    assert call("pull", tmp_path / "run-200", "--out", tmp_path / "model") == 0
    words = ["--set", "generator.width=4", "--set", "discriminator.width=4", "--threads", "1", "--steps", "1"]
    words += ["--image-size", "32", "--batch-size", "4", "--out", tmp_path / "unlabelled"]
    assert call("train", "dcgan", "--data", tmp_path / "201.npz", *words) == 0


def test_a_split_is_chosen_saved_and_resumed(workplace, tmp_path, capsys):
    from PIL import Image

    for number, name in enumerate(("train/a", "train/b", "val/a", "val/b")):
        folder = tmp_path / "set" / name
        folder.mkdir(parents=True)
        for count in range(4):
            Image.new("L", (32, 32), 40 * number + count).save(folder / f"{count}.png")
    words = ["--split", "val", "--conditional", "--set", "generator.width=4", "--set", "discriminator.width=4"]
    run = tmp_path / "run"
    assert (
        call("train", "cgan-pd", "--data", tmp_path / "set", "--out", run, "--steps", 1, "--batch-size", 4, *words) == 0
    )
    data = json.loads((run / "config.json").read_text())["data"]
    assert data["source"] == f"{tmp_path / 'set'}:val" and data["classes"] == ["a", "b"] and data["images"] == 8
    assert "using 'val', 8 of 16 images" in capsys.readouterr().err
    assert call("train", "--out", run, "--resume") == 0
    assert call("train", "--out", run, "--resume", "--split", "val") == 2
    assert "give --data too" in capsys.readouterr().err
    assert call("sample", run, "-n", 2, "--label", "#1", "--out", tmp_path / "x.npz") == 0
    with numpy.load(tmp_path / "x.npz") as arrays:
        assert arrays["classes"].tolist() == ["a", "b"] and arrays["labels"].tolist() == [1, 1]
    assert call("sample", run, "-n", 2, "--label", "1", "--out", tmp_path / "y.npz") == 2
    assert "known: a, b" in capsys.readouterr().err
