"""What only a CUDA device can show: the same mathematics as on the processor, and the same bits from run to run.

    pytest --cuda -v -n 8 tests/engine/test_cuda.py tests/data/test_data_batches.py tests/losses/test_double_backward.py

With -v what failed stands there even if time runs out before the report.
"""

from __future__ import annotations

import json
from dataclasses import replace

import benches
import pytest
import torch
from small import arguments, ganzoo, images

import ganzoo as package
from ganzoo.config.recipe import bind
from ganzoo.engine.build import build_trainer
from ganzoo.engine.randomness import repeatable
from ganzoo.files.pictures import to_uint8
from ganzoo.networks.inputs import call
from ganzoo.registry.registry import registry
from ganzoo.testing.subject import SmoothImages, Subject, inputs_of, labels_of, smooth

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and --cuda")
NAMES = [variant.name for variant in package.variants()]
EMBEDDED = [
    tag
    for variant in package.variants()
    for tag, weights in sorted(variant.weights.items())
    if weights.package_file and not weights.image.sources
]
BATCH = 4


class Moved:
    """The batches of another source, on a device."""

    def __init__(self, batches, device):
        self._batches, self._device = batches, device

    def sample(self, number, part):
        fields = self._batches.sample(number, part)
        return {name: fields[name].to(self._device) for name in fields}


@pytest.fixture(scope="module")
def small(request):
    """A variant, narrow, and the images it is trained on."""
    with Subject.open(request.param) as subject:
        variant = subject.small
        return replace(variant, training=replace(variant.training, batch_size=BATCH, accumulate=1)), subject.image


def trainer_of(small, device, **options):
    repeatable(device)
    variant, image = small
    return build_trainer(
        bind(variant, registry()), image, Moved(SmoothImages(image, BATCH), device), device=device, **options
    )


def tensors_of(tree, path=""):
    """Every tensor of a tree, by its path."""
    if isinstance(tree, torch.Tensor):
        return {path: tree}
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list | tuple) else ()
    return {name: tensor for key, value in items for name, tensor in tensors_of(value, f"{path}/{key}").items()}


def different(one, other):
    """The paths of tensors that are not the same bits."""
    one, other = tensors_of(one), tensors_of(other)
    assert one.keys() == other.keys()
    return [path for path in one if not torch.equal(one[path], other[path])]


@pytest.mark.parametrize("small", NAMES, indirect=True, scope="module")
class TestVariant:
    def test_networks_and_gradients_are_those_of_the_processor(self, small):
        here, there = (trainer_of(small, device, dtype=torch.float64) for device in ("cpu", "cuda"))
        latent, labels = here.generator.latent(3, torch.Generator().manual_seed(1)).double(), labels_of(here.image, 3)
        given = inputs_of(here.image, smooth(here.image, 3, 0).double())
        found = []
        for trainer in (here, there):
            moved = labels if labels is None else labels.to(trainer.device)
            inputs = {name: value.to(trainer.device) for name, value in given.items()}
            generator = trainer.generator.eval()
            drawn = call(generator, latent.to(trainer.device), moved, inputs)
            judge = trainer.discriminator
            judged = [] if judge is None else [*tensors_of([call(judge.eval(), drawn, moved, inputs)]).values()]
            sum((value.square().sum() for value in judged), drawn.square().sum()).backward()
            gradients = [p.grad for p in generator.parameters() if p.grad is not None]
            found.append([tensor.detach().cpu() for tensor in (drawn, *judged, *gradients)])
        assert len(found[0]) == len(found[1]) > 1
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(other, one, rtol=1e-8, atol=1e-10)

    def test_a_training_repeats_bit_for_bit_and_goes_on_from_its_state(self, small):
        one, other = trainer_of(small, "cuda"), trainer_of(small, "cuda")
        for trainer in (one, other):
            for _ in range(2):
                trainer.step()
        assert different(one.state(), other.state()) == []
        stopped = trainer_of(small, "cuda")
        stopped.load_state(one.state())
        for trainer in (stopped, other):
            for _ in range(2):
                trainer.step()
        assert different(stopped.state(), other.state()) == []

    def test_bf16_trains(self, small):
        trainer = trainer_of(small, "cuda", precision="bf16")
        for _ in range(3):
            terms = trainer.step()
        assert all(torch.isfinite(term) for term in terms.values())
        assert all(
            torch.isfinite(tensor).all()
            for tensor in tensors_of(trainer.state()).values()
            if tensor.is_floating_point()
        )


@pytest.mark.parametrize("tag", EMBEDDED)
def test_pretrained_generators_draw_the_same(tag):
    here, there = package.load(tag), package.load(tag, device="cuda")
    assert next(there.generator.parameters()).is_cuda
    assert torch.equal(here.latent(16), there.latent(16))
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        torch.testing.assert_close(there.sample(16), here.sample(16), rtol=0, atol=2e-4)
    off = (to_uint8(package.load(tag, device="cuda").sample(16)).int() - to_uint8(here.sample(16)).int()).abs().float()
    assert off.mean() < 0.5  # grey levels, by TensorFloat-32's ten bits


def test_a_compiled_generator_draws_the_same():
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        compiled, plain = (package.load("dcgan.fashion-mnist", device="cuda", compile=flag) for flag in (True, False))
        torch.testing.assert_close(compiled.sample(8), plain.sample(8), rtol=0, atol=2e-4)


def on_cuda(words):
    return ["cuda" if word == "cpu" else word for word in words]


@pytest.mark.parametrize("variant", ["dcgan", "wgan-gp", "sagan"])
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path, variant):
    data = images(tmp_path / "data.npz")
    more = ("--checkpoint-every", "3", "--sample-every", "4")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for out, steps in ((whole, 8), (parts, 3)):
        done = ganzoo(*on_cuda(arguments(data, out, *more, variant=variant, steps=steps)))
        assert done.returncode == 0, done.stderr
    done = ganzoo("train", "--out", str(parts), "--resume", "--steps", "8", *more)
    assert done.returncode == 0, done.stderr
    weights = [sorted((out / "checkpoints").glob("step-*8/*.safetensors")) for out in (whole, parts)]
    assert len(weights[0]) == len(weights[1]) > 2
    assert [file.read_bytes() for file in weights[0]] == [file.read_bytes() for file in weights[1]]
    assert json.loads((whole / "config.json").read_text())["device"] == "cuda"
    drawn = ganzoo("sample", str(whole), "-n", "4", "--device", "cuda", "--out", str(tmp_path / "drawn.png"))
    assert drawn.returncode == 0 and (tmp_path / "drawn.png").exists(), drawn.stderr


def test_the_same_bench_twice_gives_the_same_rows(tmp_path):
    data = images(tmp_path / "data.npz")
    rows = []
    for jobs in ("1", "2"):
        out = tmp_path / jobs
        words = [
            "bench",
            "dcgan",
            "vae",
            "--train",
            "--data",
            str(data),
            "--reference",
            str(data),
            "--image-size",
            "32",
            "--steps",
            "4",
        ]
        words += [
            "--set",
            "training.batch_size=4",
            "--eval-images",
            "20",
            "--points",
            "2",
            "--metric",
            "frechet",
            "--device",
            "cuda",
        ]
        done = ganzoo(*words, "--jobs", jobs, "--out", str(out))
        assert done.returncode == 0, done.stderr
        assert json.loads((out / "protocol.json").read_text())["device"] == "cuda"
        assert {row["status"] for row in benches.rows(out)} == {"done"}
        rows.append(benches.timeless(out))
    assert rows[0] == rows[1] and len(rows[0]) == 2


def test_a_run_of_the_processor_goes_on_there(tmp_path):
    data = images(tmp_path / "data.npz")
    assert ganzoo(*arguments(data, tmp_path / "run", steps=2)).returncode == 0
    done = ganzoo("train", "--out", str(tmp_path / "run"), "--resume", "--steps", "3")
    assert done.returncode == 0 and "bit-identical" not in done.stderr
    assert json.loads((tmp_path / "run" / "config.json").read_text())["device"] == "cpu"


def test_terms_of_a_step_stay_on_the_device():
    with Subject.open("dcgan") as subject:
        trainer = trainer_of(
            (replace(subject.small, training=replace(subject.small.training, batch_size=BATCH)), subject.image), "cuda"
        )
    assert all(term.is_cuda for term in trainer.step().values())
