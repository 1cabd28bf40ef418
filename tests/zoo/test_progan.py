"""ProGAN against its official code in TensorFlow; its growth, and resuming within a fade."""

import math
from copy import deepcopy

import pytest
import torch
from golden.from_names import numbers
from golden_values import close, golden, turned, under
from stepping import count_parameters, part, scripted_turn, small_trainer
from tiny import model_of

from ganzoo import ImageSpec
from ganzoo.models.export import export
from ganzoo_plugins.progan.loss import WassersteinDrift
from ganzoo_plugins.progan.model import ProGANDiscriminator, ProGANGenerator, level, with_deviation

IMAGE = ImageSpec(16, 3, 3)
SMALL = {"channel_base": 64, "width": 6}
LODS = (2.0, 1.3, 1.0, 0.6, 0.0)


@pytest.mark.parametrize(("size", "counts"), [(32, (20_719_628, 20_726_785)), (1024, (23_079_115, 23_087_249))])
def test_counts_are_the_official_ones(size, counts):
    with torch.device("meta"):
        built = [part(kind, "progan", ImageSpec(size, 3)) for kind in ("generators", "discriminators")]
    assert tuple(map(count_parameters, built)) == counts


def test_growth_has_two_stages_for_each_doubling():
    """lod of the official schedule, which is 3 − this level at 32 pixels: steady, fading, steady, fading ..."""
    found = [level(stages / 6, 3) for stages in (0, 0.5, 1, 1.25, 1.5, 2, 2.9, 3.5, 5.5, 6)]
    assert found == pytest.approx([0, 0, 0, 0.25, 0.5, 1, 1, 1.5, 2.5, 3])


# -- against the official code ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored():
    return golden("progan")


def theirs(ours, role):
    """The official name of one of our parameters."""
    name, kind = ours.rsplit(".", 1)
    if name == "start.linear" or (name, kind) == ("start", "bias"):
        return f"{role}/4x4/Dense/{kind}"
    fixed = {"start.convolution": "4x4/Conv", "convolution": "4x4/Conv", "hidden": "4x4/Dense0", "output": "4x4/Dense1"}
    if name in fixed:
        return f"{role}/{fixed[name]}/{kind}"
    group, number, *rest = name.split(".")
    if group == "blocks":
        layer = {"G": {"first": "Conv0_up", "second": "Conv1"}, "D": {"first": "Conv0", "second": "Conv1_down"}}
        size = 8 << int(number)
        return f"{role}/{size}x{size}/{layer[role][rest[0]]}/{kind}"
    return f"{role}/{'ToRGB' if role == 'G' else 'FromRGB'}_lod{2 - int(number)}/{kind}"


def official(network, role):
    """Gives a network the weights that the official one had, which follow from the names."""
    for name, parameter in network.named_parameters():
        parameter.data.copy_(turned(torch.from_numpy(unit(theirs(name, role), turned_shape(parameter)))))
    return network


def turned_shape(parameter):
    shape = parameter.permute(2, 3, 1, 0).shape if parameter.dim() == 4 else parameter.t().shape
    return tuple(shape)


def unit(name, shape):
    """Their numbers before they are scaled by the fan in."""
    return numbers(name, shape) / (1.4 * (shape[-1] / math.prod(shape)) ** 0.5 if len(shape) > 1 else 1)


@pytest.fixture
def networks(stored):
    """Both networks with the official weights, at a level of detail: the official count of what is missing."""

    def grown(lod):
        for one in pair:
            one.growth.fill_(((2 - lod) if (2 - lod) % 1 == 0 else math.floor(2 - lod) + (1 + (2 - lod) % 1) / 2) / 2)
        return pair

    pair = (
        official(ProGANGenerator(IMAGE, 5, **SMALL), "G"),
        official(ProGANDiscriminator(IMAGE, **SMALL), "D"),
    )
    return grown


@pytest.mark.parametrize("lod", LODS)
def test_images_scores_and_classes_are_the_official_ones(stored, networks, lod):
    generator, discriminator = networks(lod)
    label = torch.arange(8) % 3
    images = generator(stored["latent"], label)
    assert close(images[:2], stored[f"{lod}.images"])
    assert close(generator.eval()(stored["latent"], label), images.clamp(-1, 1))
    scores, classes = discriminator(stored["real"], label, classes=True)
    assert close(scores, stored[f"{lod}.scores"][:, 0]) and close(classes, stored[f"{lod}.classes"])
    assert torch.equal(discriminator(stored["real"], label), scores)


def test_losses_and_gradients_within_a_fade_are_the_official_ones(stored, networks):
    generator, discriminator = networks(0.6)
    loss, label = WassersteinDrift(IMAGE), torch.arange(8) % 3
    fake = generator(stored["latent"], label)
    turn = scripted_turn(
        lambda images, **heads: discriminator(images, label, **heads),
        discriminator=None,  # the official losses get images that have faded already
        real=stored["real"],
        fake=fake.detach(),
        label=label,
        uniform=lambda *shape: stored["mix"],
    )
    terms = loss.discriminator(turn)
    assert set(terms) == {"real", "fake", "penalty", "drift", "real-class", "fake-class"}
    assert sum(terms.values()).item() == pytest.approx(stored["loss.discriminator"].item(), rel=1e-5)
    sum(terms.values()).backward()
    compare(discriminator, under(stored, "discriminator"), "D")
    discriminator.requires_grad_(False)
    turn.fake = fake
    terms = loss.generator(turn)
    assert sum(terms.values()).item() == pytest.approx(stored["loss.generator"].item(), rel=1e-5)
    sum(terms.values()).backward()
    compare(generator, under(stored, "generator"), "G")


def compare(network, gradients, role):
    """Compares the gradients of all parameters; TensorFlow has them at every growth, as zeros."""
    for name, parameter in network.named_parameters():
        wanted = turned(gradients[theirs(name, role)])
        found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        assert close(found, wanted), name


# -- growing ----------------------------------------------------------------------------------------------------------


def test_real_images_fade_as_the_generated_ones_do(networks):
    _, discriminator = networks(0.6)
    images = torch.randn(2, 3, 16, 16)
    halves = (
        images.unflatten(2, (8, 2)).unflatten(4, (8, 2)).mean((3, 5)).repeat_interleave(2, 2).repeat_interleave(2, 3)
    )
    assert torch.allclose(discriminator.faded(images), 0.4 * images + 0.6 * halves, atol=1e-6)
    networks(1.3)
    quarters = (
        halves.unflatten(2, (4, 4)).unflatten(4, (4, 4)).mean((3, 5)).repeat_interleave(4, 2).repeat_interleave(4, 3)
    )
    assert torch.allclose(discriminator.faded(images), 0.7 * halves + 0.3 * quarters, atol=1e-6)
    networks(0.0)
    assert discriminator.faded(images) is images


def test_minibatch_deviation_of_groups():
    x = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 2, 4, 4)
    with_map = with_deviation(x, 4)[:, 2]
    assert with_map.flatten().tolist() == pytest.approx([math.sqrt(5)] * 128), "0, 2, 4, 6 and 1, 3, 5, 7"
    assert with_deviation(x[:7], 4).shape == (7, 3, 4, 4), "7 images are groups of one"


def growing(**options):
    small = {"channel_base": 32, "width": 4}
    return small_trainer(
        "progan", ImageSpec(16, 1), generator={"latent_dim": 5, **small}, discriminator=small, steps=10, **options
    )


def test_a_run_grows_from_four_pixels_and_starts_adam_anew_at_every_stage():
    trainer, stages, taken = growing(), [], []
    for _ in range(10):
        trainer.step()
        stages.append(trainer.generator.optimizer_stage)
        taken.append(max(int(one["step"]) for one in trainer.optimizers["generator"].state.values()))
    assert stages == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4], "8 of 10 steps for two doublings"
    assert taken == [1, 2] * 5, "moments are of this stage alone"
    assert trainer.ema.growth == trainer.generator.growth == trainer.discriminator.growth == 1


def test_an_exported_graph_has_grown_as_far_as_the_network(tmp_path):
    generator = part("generators", "progan", ImageSpec(16, 1), latent_dim=4, **SMALL).eval()
    generator.growth.fill_(0.9)  # within the fade of the last doubling
    assert 0 < generator.place()[1] < 1
    assert export(model_of(generator, ImageSpec(16, 1)), tmp_path / "half.pt2", "torch-export").difference <= 1e-4


def test_layers_of_larger_sizes_rest_until_they_fade_in():
    trainer = growing()
    before = {name: value.clone() for name, value in trainer.generator.named_parameters()}
    trainer.step()
    moved = {name for name, value in trainer.generator.named_parameters() if not torch.equal(value, before[name])}
    assert moved and all(name.startswith(("start.", "to_images.0.")) for name in moved)
    images = trainer.sampler(torch.randn(2, 5))
    assert images.shape == (2, 1, 16, 16) and torch.equal(images[:, :, ::4, ::4], images[:, :, 3::4, 3::4])


def test_a_run_that_stopped_within_a_fade_or_before_a_new_stage_ends_in_the_same_bits():
    runs = [growing() for _ in range(3)]
    for step in range(10):
        for run, stop in zip(runs[1:], (3, 6), strict=True):  # step 3 is within a fade, step 6 the first of a stage
            if step == stop:
                run.load_state(deepcopy(runs[0].state()))
            if step >= stop:
                run.step()
        runs[0].step()
    whole, *resumed = (run.state() for run in runs)
    for state in resumed:
        for name in ("generator", "generator_ema", "discriminator"):
            assert all(torch.equal(value, state[name][key]) for key, value in whole[name].items()), name


def test_a_discriminator_that_does_not_grow_can_judge():
    trainer = small_trainer("progan", ImageSpec(16, 1), generator={"latent_dim": 5, **SMALL}, discriminator=SMALL)
    real, seen = torch.randn(2, 1, 16, 16), []
    turn = scripted_turn(
        lambda images: seen.append(images) or images.mean((1, 2, 3)),
        discriminator=torch.nn.Flatten(),
        real=real,
        fake=real + 1,
        label=None,
        uniform=lambda *shape: torch.zeros(2, *shape),
    )
    terms = WassersteinDrift(ImageSpec(16, 1), target=2.0).discriminator(turn)
    assert seen[0] is real and trainer.loss.target == 1
    assert terms["penalty"].item() == pytest.approx(10 / 4 * (1 / 16 - 2) ** 2, rel=1e-4)
    with pytest.raises(ValueError, match="target"):
        WassersteinDrift(ImageSpec(16, 1), target=0.0)
