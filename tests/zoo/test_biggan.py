"""BigGAN against ajbrock/BigGAN-PyTorch: counts, golden values, initialization, truncation, steps."""

from copy import deepcopy

import pytest
import torch
from golden_values import close, converted, golden, under
from stepping import count_parameters, names_of, part, small_trainer, step_by_phase

from ganzoo import ImageSpec
from ganzoo.networks.residual import SelfAttention
from ganzoo.registry.registry import registry
from ganzoo_plugins.biggan.layouts import AjbrockBigGAN

COLOUR32, COLOUR64 = ImageSpec(32, 3, 10), ImageSpec(64, 3, 10)
SMALL = {"generator": {"width": 2, "latent_dim": 8}, "discriminator": {"width": 2}}
PLAIN = {"hierarchical": False, "shared_dim": 0}
VARIANTS = ["biggan", "biggan-cifar"]
GOLDEN = ["biggan-32", "biggan-64"]


def counts(name, image):
    variant = registry().get("variants", name)
    with torch.device("meta"):
        options = [{**part.options, "initialization": "normal"} for part in (variant.generator, variant.discriminator)]
        return count_parameters(part("generators", "biggan", image, **options[0])), count_parameters(
            part("discriminators", "biggan", image, **options[1])
        )


def test_counts_are_those_of_the_official_code():
    """Of launch_cifar_ema.sh; and of resolution 64 with ch 96, z 120, shared 128, hier, attention at 32."""
    assert counts("biggan-cifar", COLOUR32) == (4_304_387, 4_207_361)
    assert counts("biggan", COLOUR64) == (70_250_628, 43_991_330)


@pytest.mark.parametrize("name", GOLDEN)
def test_networks_give_what_the_official_code_gives(name):
    tensors, layout = golden(name), AjbrockBigGAN()
    generator, discriminator = (converted(layout, tensors, role) for role in ("generator", "discriminator"))
    with torch.no_grad():
        assert close(generator.eval()(tensors["latent"], tensors["label"]), tensors["drawn"])
        assert close(generator.train()(tensors["latent"], tensors["label"]), tensors["drawn_in_training"])
        for number in (0, 1):
            assert close(discriminator(tensors["images"], tensors["label"]), tensors[f"logits.{number}"])
    official = under(tensors, "discriminator") | under(tensors, "after")
    vectors = layout.convert(official, layout.recognize(shapes(tensors, "discriminator")))
    compared = [name for name in vectors if name.endswith(".u")]
    assert len(compared) == len(under(tensors, "after")) and all(
        close(discriminator.state_dict()[name], vectors[name]) for name in compared
    )


def shapes(tensors, role):
    return {name: tuple(value.shape) for name, value in under(tensors, role).items()}


@pytest.mark.parametrize("role", ["generator", "discriminator"])
@pytest.mark.parametrize("name", GOLDEN)
def test_what_is_not_quite_official_is_not_recognized(name, role):
    layout, found = AjbrockBigGAN(), shapes(golden(name), role)
    match = layout.recognize(found)
    assert match.image == ImageSpec(int(name[-2:]), 3, 2) and match.part.options["width"] == (
        1 if (name, role) == ("biggan-64", "generator") else 2
    )
    assert match.part.options["attention"] == {"biggan-32": 0, "biggan-64": 8}[name]
    assert layout.recognize({}) is None and layout.recognize({**found, "extra": (3,)}) is None
    for missing in [key for key in found if not key.endswith("sv0")][::9]:
        assert layout.recognize({key: shape for key, shape in found.items() if key != missing}) is None, missing


OFFICIAL = [  # ours, theirs
    *[("input.0.", "linear."), ("output.0.weight", "output_layer.0.gain"), ("output.0.", "output_layer.0.")],
    *[("output.2.", "output_layer.2."), ("output.", "linear."), ("embedding.", "embed.")],
    *[("convolution", "conv"), ("shortcut", "conv_sc"), ("norm1", "bn1"), ("norm2", "bn2"), ("normalize.", "")],
    *[("running_", "stored_"), (".shift.", ".bias."), (".query.", ".theta."), (".key.", ".phi."), (".value.", ".g.")],
    *[(".1.output.", ".1.o."), (".1.scale", ".1.gamma")],
]


@pytest.mark.parametrize("role", ["generator", "discriminator"])
@pytest.mark.parametrize("size", [128, 256])
def test_official_networks_of_larger_images_are_recognized(size, role):
    image = ImageSpec(size, 3, 2)
    options = {"width": 8} | ({"latent_dim": 28, "shared_dim": 3} if role == "generator" else {})
    with torch.device("meta"):
        ours = part(f"{role}s", "biggan", image, **options, initialization="normal").state_dict()
    theirs = {}
    for name, tensor in ours.items():
        for own, official in OFFICIAL:
            starts = own[0] != "." and own.endswith(".") and own.split(".")[0] in ("input", "output", "embedding")
            name = official + name[len(own) :] if starts and name.startswith(own) else name
            name = name if starts else name.replace(own, official)
        if name.endswith(".u"):
            theirs[f"{name}0"], theirs[f"{name[:-1]}sv0"] = (1, *tensor.shape), (1,)
        elif not name.endswith("num_batches_tracked"):
            theirs[name] = tuple(tensor.shape)
    match = AjbrockBigGAN().recognize(theirs)
    assert match is not None and (match.role, match.image) == (role, image)
    assert match.part.options["width"] == 8 and match.part.options["attention"] == 64


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_range(name, channels):
    torch.manual_seed(0)
    variant = registry().get("variants", name)
    label = torch.tensor([0, 2, 1])
    for size in variant.sizes:
        image = ImageSpec(size, channels, 3)
        generator = part("generators", "biggan", image, **variant.generator.options | SMALL["generator"])
        images = generator(generator.latent(3, torch.Generator().manual_seed(0)), label)
        assert images.shape == (3, channels, size, size) and images.abs().max() <= 1 and images.min() < 0 < images.max()
        assert part("discriminators", "biggan", image, **variant.discriminator.options | SMALL["discriminator"])(
            images, label
        ).shape == (3,)


def test_what_the_networks_are_not_made_for_is_refused():
    for kind in ("generators", "discriminators"):
        with pytest.raises(ValueError, match="16, 32, 64, 128, 256 pixels, not 48"):
            part(kind, "biggan", ImageSpec(48, 3, 10))
        with pytest.raises(ValueError, match="0 classes"):
            part(kind, "biggan", ImageSpec(32, 3))
    with pytest.raises(ValueError, match="shared_dim above 0"):
        part("generators", "biggan", COLOUR32, shared_dim=0)


def test_every_block_hears_the_class_and_its_own_chunk_of_the_latent():
    torch.manual_seed(0)
    generator = part("generators", "biggan", ImageSpec(32, 1, 3), width=2, latent_dim=10, shared_dim=4).eval()
    assert generator.latent_dim == 8, "two for each of four slots"
    seen = []
    for block in generator.blocks:
        block[0].norm1.gain.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    latent = torch.arange(8.0)[None]
    generator(latent, torch.tensor([1]))
    for number, condition in enumerate(seen):
        assert torch.equal(
            condition[0], torch.cat([generator.shared.weight[1], latent[0, 2 * number + 2 : 2 * number + 4]])
        )


def test_attention_stands_at_half_the_size_from_64_pixels_on():
    for kind in ("generators", "discriminators"):
        for size, expected in ((32, 0), (64, 1)):
            network = part(kind, "biggan", ImageSpec(size, 1, 3), width=4)
            assert sum(isinstance(layer, SelfAttention) for layer in network.modules()) == expected


def test_initial_weights_are_orthogonal_or_normal_and_tables_too():
    torch.manual_seed(0)
    generator = part("generators", "biggan", ImageSpec(32, 3, 4), width=8)
    for weight in (generator.blocks[0][0].convolution1.weight.flatten(1), generator.shared.weight):
        assert torch.allclose(weight @ weight.t(), torch.eye(len(weight)), atol=1e-5)
    other = part("generators", "biggan", ImageSpec(32, 3, 50), width=16, initialization="normal", **PLAIN)
    for weight in (other.blocks[0][0].convolution1.weight, other.blocks[1][0].norm1.gain.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_truncated_latents_stay_inside():
    generator = part("generators", "biggan", ImageSpec(32, 1, 3), width=2)
    latent = generator.latent(200, torch.Generator().manual_seed(0))
    cut = generator.truncate(latent, 0.5)
    assert latent.abs().max() > 2 and cut.abs().max() <= 0.5 and cut.std() > 0.25


@pytest.mark.parametrize(("name", "repeats"), [("biggan", 1), ("biggan-cifar", 4)])
def test_the_discriminator_steps_first_and_fakes_take_no_real_batch(name, repeats):
    trainer = small_trainer(name, ImageSpec(32, 1, 3), accumulate=2, ema_start=0, ema=0.5, **SMALL)
    visits, terms = step_by_phase(trainer)
    phases = [visit.phase for visit in visits]
    assert phases == ["discriminator"] * 2 * repeats + ["generator"] * 2 and trainer.batches_taken == repeats
    assert all(visit.changed <= names_of(trainer, visit.phase) for visit in visits) and all(
        term.isfinite() for term in terms.values()
    )


def test_samples_of_the_average_use_standing_statistics():
    """`Trainer.sampler` recomputes the averaged weights' statistics over 16 batches of latents of all classes."""
    trainer = small_trainer("biggan-cifar", ImageSpec(32, 1, 3), ema_start=0, ema=0.9, **SMALL)
    trainer.step()
    copied = deepcopy(trainer.ema.state_dict())
    standing = trainer.sampler.state_dict()
    norms = [name for name in copied if name.endswith("running_var")]
    assert len(norms) == 7 and not any(torch.allclose(copied[name], standing[name]) for name in norms)
    x, label = trainer.ema.latent(256, torch.Generator().manual_seed(5)), torch.arange(256) % 3
    seen = []
    trainer.ema.output[0].register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    trainer.ema(x, label)
    assert torch.allclose(seen[0].var((0, 2, 3)), standing["output.0.running_var"], rtol=0.1)
