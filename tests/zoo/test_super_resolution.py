"""SRGAN, ESRGAN and Real-ESRGAN against BasicSR (tests/golden/super_resolution.py): networks, steps of the engine."""

from functools import partial

import pytest
import torch
from golden.from_names import state
from golden_values import golden
from pretrained import vgg19_features, vgg19_tensors
from safetensors.torch import save_file
from stepping import count_calls, names_of, scripted_turn, step_by_phase
from torch.nn.functional import softplus
from translations import NamedBatches, images, load_named, trace, translation_trainer
from upscalers import enlarging

from ganzoo import ImageSpec
from ganzoo.engine.build import note_idle_discriminator
from ganzoo.networks import sharpened
from ganzoo.networks.normalization import SpectralConv2d
from ganzoo_plugins.esrgan.model import RRDBNet
from ganzoo_plugins.real_esrgan.model import CompactUpscaler, UNetDiscriminator
from ganzoo_plugins.srgan.loss import SuperResolution
from ganzoo_plugins.srgan.model import SRResNet, VGGStyleDiscriminator

NETWORKS = {
    "residual": partial(SRResNet, width=4, blocks=2),
    "compact": partial(CompactUpscaler, width=4, convolutions=2),
    "dense": partial(RRDBNet, width=4, blocks=2),
}
SIZES = {"residual": (10, 12), "compact": (10, 12), "dense": (8, 12)}
VARIANTS = {"srgan": "srgan", "esrgan": "esrgan", "real-esrgan": "realesrgan"}  # and their golden names
NARROW = {
    "srgan": {"width": 4, "blocks": 2},
    "esrgan": {"width": 4, "blocks": 1},
    "real-esrgan": {"width": 4, "blocks": 1},
}


def official(network):
    """BasicSR's names of our tensors, which differ where torch's own spectral norm renames weights."""
    spectral = {name for name, module in network.named_modules() if isinstance(module, SpectralConv2d)}
    endings = {"weight": "weight_orig", "u": "weight_u"}
    names = {}
    for name in network.state_dict():
        layer, _, ending = name.rpartition(".")
        names[name] = f"{layer}.{endings[ending]}" if layer in spectral else name
    return names


def load_official(network, prefix):
    """Gives a network the numbers of the official one; in float64."""
    network, names = network.double(), official(network)
    tensors = network.state_dict()
    made = state({names[name]: tuple(value.shape) for name, value in tensors.items()}, prefix)
    wanting = network.load_state_dict(
        {name: torch.from_numpy(made[names[name]]).double() for name in tensors if names[name] in made}, strict=False
    )
    assert all(name.endswith("num_batches_tracked") for name in wanting.missing_keys)
    return network


@pytest.mark.parametrize(
    "name, scale", [(name, scale) for name in ("residual", "compact") for scale in (2, 3, 4)] + [("dense", 1)]
    + [("dense", 2), ("dense", 4)],
)  # fmt: skip
@torch.no_grad()
def test_generators_give_the_official_images(name, scale):
    found = f"{name}.{scale}"
    network = load_named(NETWORKS[name](enlarging(scale, SIZES[name])), found)
    made = (network(torch.empty(2, 0), source=images(found, 2, 3, *SIZES[name])) + 1) / 2
    assert torch.allclose(made[:, :, ::2, ::2], golden("super-resolution")[found], rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", [128, 256])
@torch.no_grad()
def test_discriminators_in_the_style_of_vgg_give_the_official_logits(size):
    network = load_named(VGGStyleDiscriminator(ImageSpec(size, 3), width=2), f"vgg.{size}")
    logits = network(images(f"vgg.{size}", 2, 3, size, size))
    assert torch.allclose(logits, golden("super-resolution")[f"vgg.{size}"][:, 0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("skips", [True, False])
@torch.no_grad()
def test_u_nets_give_the_official_logits(skips):
    network = load_official(UNetDiscriminator(ImageSpec((24, 32), 3), width=2, skips=skips), f"unet.{skips}")
    logits = network(images("unet", 2, 3, 24, 32))
    assert torch.allclose(logits[:, :, ::2, ::2], golden("super-resolution")[f"unet.{skips}"], rtol=0, atol=1e-9)


def small_trainer(variant, size, batch=3, **loss):
    spec, width = enlarging(4, size // 4), {"width": 2}
    batches = NamedBatches(spec, batch, VARIANTS[variant])
    return translation_trainer(
        variant, spec, batches, generator=NARROW[variant], discriminator=width, loss=loss, steps=400_000
    )


@pytest.mark.parametrize("variant, size", [("srgan", 128), ("esrgan", 128), ("real-esrgan", 48)])
def test_steps_are_the_official_ones(variant, size):
    tensors, name, trainer = golden("super-resolution"), VARIANTS[variant], small_trainer(variant, size)
    networks = {"generator": trainer.generator, "discriminator": trainer.discriminator, "ema": trainer.ema}
    load_official(trainer.discriminator, f"{name}.D")
    load_named(trainer.generator, f"{name}.G"), load_named(trainer.ema, f"{name}.G")
    for step in range(3):
        terms = trainer.step()
        ours = [f"generator.{term}" for term in ("pixel", "adversarial")] + ["discriminator.real", "discriminator.fake"]
        found = torch.stack([terms[term] for term in ours]).double()
        assert torch.allclose(found, tensors[f"{name}.step.{step}"], rtol=1e-6, atol=1e-8)
    for role, network in networks.items():
        names = official(network)
        shown = Renamed({names[own]: value for own, value in network.named_parameters()})
        assert torch.allclose(trace(shown, role), tensors[f"{name}.moved.{role}"], rtol=0, atol=1e-6)


class Renamed:
    """Parameters under other names."""

    def __init__(self, parameters):
        self.parameters = parameters

    def named_parameters(self):
        return self.parameters.items()


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_generator_steps_first_on_images_that_both_see(variant):
    trainer = small_trainer(variant, 48)
    calls = count_calls(trainer.generator)
    visits, _ = step_by_phase(trainer)
    assert [visit.phase for visit in visits] == ["generator", "discriminator"] and len(calls) == 1
    for visit in visits:
        assert visit.changed and visit.changed <= names_of(trainer, visit.phase)


@pytest.mark.parametrize("variant", VARIANTS)
def test_training_on_pixels_alone_asks_no_discriminator(variant):
    trainer = small_trainer(variant, 48, adversarial=0.0)
    calls = count_calls(trainer.discriminator)
    visits, terms = step_by_phase(trainer)
    assert [visit.phase for visit in visits] == ["generator"] and terms.keys() == {"generator.pixel"}
    assert not calls and "discriminator" not in trainer.optimizers


def test_real_images_are_sharpened_for_errors_and_plain_for_the_discriminator():
    spec, real = enlarging(4, 8), torch.rand(2, 3, 32, 32) * 2 - 1
    fake, seen = torch.zeros(2, 3, 32, 32), []
    loss = SuperResolution(spec, pixel=3.0, adversarial=2.0, sharpen=True)
    loss.vgg = lambda images, truth: (images - truth).square().mean()
    loss.perceptual_weight = 5.0
    turn = scripted_turn(lambda shown: seen.append(shown) or shown.mean((1, 2, 3)), real=real, fake=fake)
    terms, target = loss.generator(turn), sharpened(real)
    assert not torch.equal(target, real)
    assert torch.allclose(terms["pixel"], 3 * target.abs().mean() / 2)  # of pixels in [0, 1]
    assert torch.allclose(terms["perceptual"], 5 * target.square().mean())
    assert torch.allclose(terms["adversarial"], 2 * softplus(torch.zeros(())))
    loss.discriminator(turn)
    assert len(seen) == 3 and any(shown is real for shown in seen) and not any(shown is target for shown in seen)


@pytest.mark.parametrize(
    "options, facts",
    [
        ({"pixel": -1.0}, "0 or more, got pixel=-1"),
        ({"pixel": 0.0, "adversarial": 0.0}, "nothing to learn"),
        ({"perceptual": "vgg19.safetensors", "layers": {"conv9_9": 1.0}}, "conv9_9"),
    ],
)
def test_options_that_cannot_work_are_refused(options, facts):
    with pytest.raises(ValueError, match=facts):
        SuperResolution(enlarging(4, 8), **options)


def test_learning_rates_are_halved_at_the_official_milestones():
    trainer = small_trainer("esrgan", 48)
    rates = {}
    for step in (0, 49_999, 50_000, 100_000, 200_000, 300_000, 399_999):
        trainer._schedules.at(step)
        rates[step] = trainer.optimizers["generator"].param_groups[0]["lr"] / 1e-4
    assert list(rates.values()) == pytest.approx([1, 1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 16])


def test_weights_start_as_small_as_the_official_ones():
    torch.manual_seed(0)
    with torch.no_grad():
        dense, residual = RRDBNet(enlarging(4, 8), blocks=1), SRResNet(enlarging(4, 8), blocks=1)
    for weight in (dense.body[0].rdb1.conv1.weight, residual.body[0].conv1.weight, residual.conv_last.weight):
        assert weight.std().item() == pytest.approx(0.1 * (2 / weight[0].numel()) ** 0.5, rel=0.1)
    for weight in (dense.conv_first.weight, dense.conv_hr.weight):  # PyTorch's own start: uniform
        assert weight.abs().max() <= weight[0].numel() ** -0.5
    assert residual.body[0].conv1.bias.eq(0).all() and dense.conv_hr.bias.ne(0).any()


@pytest.mark.parametrize("adversarial", [0.0, 0.1])
def test_a_run_says_that_the_discriminator_does_not_learn(adversarial, caplog):
    with caplog.at_level("INFO", "ganzoo"):
        note_idle_discriminator(small_trainer("real-esrgan", 48, adversarial=adversarial))
    assert ("discriminator does not learn" in caplog.text) == (adversarial == 0)


@pytest.mark.parametrize("variant, layers", [("esrgan", 1), ("real-esrgan", 5)])
def test_the_distance_of_features_is_that_of_the_official_layers(variant, layers, tmp_path):
    """L1 of convolutions of VGG-19 before their ReLUs, which see pixels with ImageNet's mean and deviation."""
    save_file(vgg19_tensors(), tmp_path / "vgg19.safetensors")
    trainer = small_trainer(variant, 32, batch=1, perceptual=str(tmp_path / "vgg19.safetensors"), adversarial=0.0)
    batch = trainer.batches.sample(0, slice(0, 1))
    target = sharpened(batch["output"]) if variant == "real-esrgan" else batch["output"]
    with torch.no_grad():
        made = trainer.generator(torch.empty(1, 0), source=batch["source"])
        mean, deviation = (
            torch.tensor(one, dtype=torch.float64).view(1, 3, 1, 1)
            for one in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        )
        tensors = {name: value.double() for name, value in vgg19_tensors().items()}
        ours, theirs = (vgg19_features(tensors, ((shown + 1) / 2 - mean) / deviation) for shown in (made, target))
    weights = (
        {2: 0.1, 7: 0.1, 16: 1.0, 25: 1.0, 34: 1.0} if layers == 5 else {34: 1.0}
    )  # conv1_2, conv2_2, conv3_4, ...
    wanted = sum(weight * (ours[place] - theirs[place]).abs().mean() for place, weight in weights.items())
    assert trainer.step()["generator.perceptual"].item() == pytest.approx(wanted.item(), rel=1e-6)
