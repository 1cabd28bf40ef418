"""A loaded generator: what it draws depends on the seed alone, and on nothing of how it is asked."""

import dataclasses
import subprocess
import sys

import numpy
import pytest
import small
import tiny
import torch

import ganzoo
from ganzoo.checkpoints.checkpoint import list_checkpoints, load_checkpoint
from ganzoo.cli import main
from ganzoo.errors import CheckpointError, UsageError
from ganzoo.files.pictures import to_uint8
from ganzoo.networks.latents import sample_latents


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Finished runs of two steps: without labels, with labels, and with a moving average."""
    folder = tmp_path_factory.mktemp("runs")
    labelled = (
        "--set",
        "generator.label_size=4",
        "--set",
        "discriminator.label_size=4",
        "--set",
        "discriminator.hidden=8",
    )
    data = small.images(folder / "grey.npz")
    asked = {
        "plain": ("dcgan",),
        "labelled": ("lsgan-conditional", *labelled),
        "average": ("dcgan", "--set", "training.ema=0.9"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANZOO_CACHE", str(folder / "cache"))
        for name, (variant, *more) in asked.items():
            size = 28 if variant == "lsgan-conditional" else 32
            with pytest.raises(SystemExit) as ended:
                main(small.arguments(data, folder / name, *more, variant=variant, steps=2, size=size))
            assert ended.value.code == 0
    return folder


def lively(model):
    """The model with larger weights: after two steps its images would be one grey, and close to anything."""
    for module in model.generator.modules():
        if isinstance(module, torch.nn.ConvTranspose2d):
            module.weight.mul_(20)
    return model


def test_the_same_seed_gives_the_same_images_whatever_the_batch_size(runs):
    model = lively(ganzoo.load(runs / "plain"))
    images = model.sample(64, seed=3)
    assert (
        images.std() > 0.1
        and images.shape == (64, 1, 32, 32)
        and images.dtype == torch.float32
        and images.abs().max() <= 1
    )
    for batch_size in (1, 7, 64, 100):
        torch.testing.assert_close(model.sample(64, seed=3, batch_size=batch_size), images, rtol=0, atol=1e-4)
    torch.testing.assert_close(model.sample(16, seed=3), images[:16], rtol=0, atol=1e-4)
    assert torch.equal(model.sample(64, seed=3), images)
    assert not torch.allclose(model.sample(64, seed=4), images, atol=0.1)


@pytest.mark.parametrize("name, mode", [("dcgan", "L"), ("wgan-gp-resnet", "RGB")])
def test_pillow_images_are_the_samples_as_bytes(name, mode):
    model = tiny.built_in(name)
    images = model.sample_pil(5, seed=3, batch_size=2, truncation=0.7)
    assert [(image.mode, image.size) for image in images] == [(mode, (32, 32))] * 5
    expected = to_uint8(model.sample(5, seed=3, truncation=0.7))
    assert [image.tobytes() for image in images] == [pixels.numpy().tobytes() for pixels in expected]
    conditional = tiny.built_in("lsgan-conditional")
    one, other = (conditional.sample_pil(1, label=label)[0].tobytes() for label in (0, 1))
    assert one != other


def test_latents_do_not_depend_on_how_many_are_drawn(runs):
    generator = ganzoo.load(runs / "plain").generator
    many = sample_latents(generator, 600, 5)
    assert all(torch.equal(sample_latents(generator, n, 5), many[:n]) for n in (1, 16, 256, 257, 600))
    assert len(many.unique(dim=0)) == 600


def test_the_process_wide_random_numbers_are_left_alone(runs):
    model = ganzoo.load(runs / "plain")
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    model.sample(3)
    assert torch.equal(torch.rand(3), expected)


def test_a_run_and_its_newest_checkpoint_are_one_model(runs):
    path = list_checkpoints(runs / "plain" / "checkpoints")[0][1]
    assert torch.equal(ganzoo.load(runs / "plain").sample(4), ganzoo.load(path).sample(4))


def test_the_moving_average_is_taken_if_there_is_one(runs):
    trees = small.newest(runs / "average")
    taken = ganzoo.load(runs / "average").generator.state_dict()
    assert small.same(dict(taken), dict(trees["generator_ema"])) and not small.same(
        dict(taken), dict(trees["generator"])
    )
    itself = ganzoo.load(runs / "average", average=False)
    assert (
        small.same(dict(itself.generator.state_dict()), dict(trees["generator"]))
        and itself.config.training["averaged"] is False
    )
    assert "generator_ema" not in small.newest(runs / "plain")
    plain = [dict(ganzoo.load(runs / "plain", average=average).generator.state_dict()) for average in (True, False)]
    assert small.same(*plain)


def test_only_a_run_has_weights_besides_its_average():
    with pytest.raises(UsageError, match="only a run or a checkpoint"):
        ganzoo.load("dcgan.fashion-mnist", average=False)


def test_a_model_does_not_train(runs):
    model = ganzoo.load(runs / "plain")
    assert not model.generator.training and not any(p.requires_grad for p in model.generator.parameters())
    before = {name: value.clone() for name, value in model.generator.state_dict().items()}
    model.sample(8)
    assert small.same(before, dict(model.generator.state_dict()))


def test_labels_by_name_by_number_and_in_turn(runs):
    model = ganzoo.load(runs / "labelled")
    assert model.classes == ["0", "1", "2"]
    assert model.labels(5).tolist() == [0, 1, 2, 0, 1]
    assert model.labels(2, "1").tolist() == model.labels(2, 1).tolist() == [1, 1]
    all_in_turn, ones = model.sample(6, seed=2), model.sample(6, seed=2, label=1)
    torch.testing.assert_close(ones[1::3], all_in_turn[1::3], rtol=0, atol=1e-5)
    assert not torch.allclose(ones[0], all_in_turn[0], atol=1e-6)


@pytest.mark.parametrize("label", ["cat", 3, -1, "-1", "²", ""])
def test_an_unknown_label_is_named_with_the_known_ones(runs, label):
    with pytest.raises(UsageError, match="known: 0, 1, 2"):
        ganzoo.load(runs / "labelled").sample(1, label=label)


def test_an_unconditional_generator_takes_no_label(runs):
    with pytest.raises(UsageError, match="unconditional: it takes no label, got 1"):
        ganzoo.load(runs / "plain").sample(1, label=1)


@pytest.mark.parametrize("wrong", [{"n": 0}, {"n": -1}, {"n": 1, "batch_size": 0}])
def test_no_images_are_no_request(runs, wrong):
    with pytest.raises(UsageError, match="at least one"):
        ganzoo.load(runs / "plain").sample(**wrong)


@pytest.mark.parametrize("name", ["plain", "labelled"])
def test_a_walk_goes_through_its_stops_and_closes(runs, name):
    model = ganzoo.load(runs / name)
    frames = list(model.interpolate(stops=3, frames=4, seed=1))
    assert len(frames) == 12 and all(frame.shape == frames[0].shape and frame.isfinite().all() for frame in frames)
    label = None if name == "plain" else 0
    stops = model.sample(3, seed=1, label=label)
    torch.testing.assert_close(torch.cat(frames[::4]), stops, rtol=0, atol=1e-4)
    step = (frames[1] - frames[0]).abs().max()
    assert 0 < step and (frames[0] - frames[-1]).abs().max() < 2 * (frames[0] - frames[4]).abs().max() + step


def test_what_is_no_run_is_said(runs, tmp_path):
    with pytest.raises(UsageError, match="There is no folder"):
        ganzoo.load(tmp_path / "absent")
    with pytest.raises(UsageError, match="neither a run"):
        ganzoo.load(tmp_path)


def test_damaged_weights_are_refused(runs, tmp_path):
    import shutil

    copy = shutil.copytree(runs / "plain", tmp_path / "run")
    weights = list_checkpoints(copy / "checkpoints")[0][1] / "generator.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match="no checkpoint in .* can be used"):
        ganzoo.load(copy)
    assert not load_checkpoint(weights.parent, [])[1]


def test_importing_ganzoo_and_listing_import_no_torch():
    code = "import ganzoo, sys; ganzoo.variants(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_a_text_is_a_name_and_a_position_has_a_hash(runs):
    model = ganzoo.load(runs / "labelled")
    model.config = dataclasses.replace(model.config, classes=("10", "2", "#0"))
    assert [int(model.labels(1, label)) for label in ("2", 2, "#2", "10", "#1", "#0")] == [1, 2, 2, 0, 1, 2]
    for unknown in ("0", "1", "#3", 3):
        with pytest.raises(UsageError, match="known: 10, 2, #0 .*'#0' to '#2'"):
            model.labels(1, unknown)


NAN = float("nan")


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda m: m.render(torch.zeros(1, 99)), r"\(1, 99\)"),
        (lambda m: m.generate(torch.zeros(100)), r"\(100,\)"),
        (lambda m: m.style(torch.zeros(0, 100)), r"\(0, 100\)"),
        (lambda m: m.render([0.0] * 100), "not list"),
        (lambda m: m.render(torch.zeros(1, 100, dtype=torch.int64)), "int64"),
        (lambda m: m.render(torch.full((1, 100), NAN)), "NaN"),
        (lambda m: m.generate(torch.full((1, 100), float("inf"))), "infinity"),
        (lambda m: list(m.interpolate(torch.full((2, 100), NAN))), "NaN"),
        (lambda m: list(m.interpolate(torch.zeros(2, 3))), r"\(2, 3\)"),
        (lambda m: list(m.interpolate([])), "at least two stops"),
        (lambda m: list(m.interpolate([0.5, 1])), "seed"),
        (lambda m: list(m.interpolate(3, seed="x")), "seed"),
        (lambda m: m.generate(torch.zeros(1, 100), [0]), "Labels"),
        (lambda m: m.generate(torch.zeros(1, 100), torch.zeros(2, dtype=torch.int64)), "Labels"),
        (lambda m: m.generate(torch.zeros(2, 100), source=torch.zeros(1, 3, 8, 8)), "'source'"),
        (lambda m: m.latent(0), "at least one"),
        (lambda m: m.sample(1, truncation="strong"), "Truncation"),
        *[
            (lambda m, seed=seed: m.sample(1, seed=seed), "whole number from 0")
            for seed in (NAN, 1.5, -1, 2**63, True, None, torch.tensor(1.0), torch.tensor([1]))
        ],
        (lambda m: ganzoo.invert(m, -torch.ones(1, 1, 32, 32), steps=0, seed=NAN), "whole number from 0"),
        (lambda m: ganzoo.invert(m, torch.rand(1, 1, 32, 32), steps=0), "from 0 to 1"),
    ],
)
def test_wrong_latents_labels_and_seeds_are_one_line(runs, call, words):
    with pytest.raises(UsageError, match=words) as raised:
        call(ganzoo.load(runs / "plain"))
    assert "\n" not in str(raised.value)


def test_labels_out_of_range_are_named(runs):
    model = ganzoo.load(runs / "labelled")
    with pytest.raises(UsageError, match="not from 9999 to 9999"):
        model.generate(model.latent(1), torch.tensor([9999]))


def test_seeds_of_numpy_are_those_of_python(runs):
    model = ganzoo.load(runs / "plain")
    assert torch.equal(model.sample(1, seed=numpy.int64(3)), model.sample(1, seed=3))
