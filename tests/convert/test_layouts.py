"""Layouts of other code: what they recognize, and that the converted network computes the original formula."""

import pytest
import torch
from stepping import count_parameters
from torch.nn import functional

from ganzoo import ImageSpec, Part
from ganzoo.layouts import Layout, Match
from ganzoo.registry.registry import registry
from ganzoo_plugins.dcgan.layouts import Newmu, PytorchExamples
from ganzoo_plugins.dcgan.model import DCGANDiscriminator, DCGANGenerator
from ganzoo_plugins.dcgan.newmu import NewmuGenerator, keep_statistics


def shapes_of(tensors) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def arrays(
    width: int = 4, latent_dim: int = 6, size: int = 16, channels: int = 3, prefix: str = ""
) -> dict[str, torch.Tensor]:
    """Random arrays in the form and order of the DCGAN authors' dumps."""
    random = torch.Generator().manual_seed(3)
    stages = {16: 2, 32: 3, 64: 4}[size]
    widths = [width * 2**i for i in reversed(range(stages))]
    shapes: list[tuple[int, ...]] = [(latent_dim, widths[0] * 16), (widths[0] * 16,), (widths[0] * 16,)]
    for wide, narrow in zip(widths, widths[1:], strict=False):
        shapes += [(wide, narrow, 5, 5), (narrow,), (narrow,)]
    shapes += [(width, channels, 5, 5)]
    return {
        f"{prefix}{number:02d}": torch.randn(shape, generator=random) * 0.3 for number, shape in enumerate(shapes, 1)
    }


def original(arrays: dict[str, torch.Tensor], latent: torch.Tensor) -> torch.Tensor:
    """The authors' generator: flipped kernels, and batch norm by the statistics of this very batch."""
    weights = list(arrays.values())
    hidden = latent @ weights[0]
    for number in range(0, len(weights) - 1, 3):
        if number:
            hidden = functional.conv_transpose2d(
                hidden, weights[number].flip(2, 3), stride=2, padding=2, output_padding=1
            )
        axes = (0, 2, 3) if number else (0,)
        mean = hidden.mean(axes, keepdim=True)
        deviation = (hidden - mean).square().mean(axes, keepdim=True).add(1e-8).sqrt()
        gain, shift = (weights[number + i].view(1, -1, *[1] * (hidden.dim() - 2)) for i in (1, 2))
        hidden = ((hidden - mean) / deviation * gain + shift).relu()
        hidden = hidden.view(len(latent), -1, 4, 4) if not number else hidden
    return functional.conv_transpose2d(hidden, weights[-1].flip(2, 3), stride=2, padding=2, output_padding=1).tanh()


@pytest.mark.parametrize("layout", [PytorchExamples(), Newmu()], ids=lambda layout: type(layout).__name__)
def test_layouts_are_registered_and_say_what_they_are(layout):
    assert type(layout) in registry().table("layouts").values()
    assert isinstance(layout, Layout) and layout.variants == ("dcgan",) and layout.summary
    assert layout.recognize({}) is None and layout.recognize({"main.0.weight": (3,), "x": ()}) is None


# -- pytorch/examples --------------------------------------------------------------------------------------------------


def reference_generator(width: int = 64, channels: int = 3, counters: bool = True) -> dict[str, tuple[int, ...]]:
    """Names and shapes of netG of pytorch/examples main.py, written out from its source."""
    widths = [100, width * 8, width * 4, width * 2, width, channels]
    shapes: dict[str, tuple[int, ...]] = {}
    for stage, (wide, narrow) in enumerate(zip(widths, widths[1:], strict=False)):
        shapes[f"main.{3 * stage}.weight"] = (wide, narrow, 4, 4)
        if stage < 4:
            shapes |= {
                f"main.{3 * stage + 1}.{name}": (narrow,) for name in ("weight", "bias", "running_mean", "running_var")
            }
            if counters:
                shapes[f"main.{3 * stage + 1}.num_batches_tracked"] = ()
    return shapes


def test_the_reference_is_recognized_with_its_parameters():
    shapes = reference_generator()
    match = PytorchExamples().recognize(shapes)
    assert match == Match(Part("dcgan", {"latent_dim": 100, "width": 64}), ImageSpec(64, 3))
    learned = [shape for name, shape in shapes.items() if name.endswith(("weight", "bias"))]
    ours = DCGANGenerator(match.image, **match.part.options)
    assert sum(torch.Size(shape).numel() for shape in learned) == 3_576_704 == count_parameters(ours)


@pytest.mark.parametrize("size", [16, 32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_is_recognized_in_both_roles(size, channels):
    image = ImageSpec(size, channels)
    layout = PytorchExamples()
    match = layout.recognize(shapes_of(DCGANGenerator(image, latent_dim=10, width=4).state_dict()))
    assert match == Match(Part("dcgan", {"latent_dim": 10, "width": 4}), image)
    match = layout.recognize(shapes_of(DCGANDiscriminator(image, width=4).state_dict()))
    assert match == Match(Part("dcgan", {"width": 4}), image, role="discriminator")


def test_checkpoints_without_counters_get_them():
    image = ImageSpec(32, 1)
    ours = DCGANGenerator(image, 5, 2).state_dict()
    old = {name: value for name, value in ours.items() if "tracked" not in name}
    layout = PytorchExamples()
    made = layout.convert(old, layout.recognize(shapes_of(old)))
    assert list(made) == list(ours) and all(torch.equal(made[name], ours[name]) for name in ours)


@pytest.mark.parametrize("change", ["kernel", "width", "extra", "missing", "channels"])
def test_what_is_not_quite_the_reference_is_not_recognized(change):
    shapes = reference_generator(width=8)
    if change == "kernel":
        shapes["main.3.weight"] = (64, 32, 5, 5)
    elif change == "width":
        shapes["main.4.bias"] = (31,)
    elif change == "extra":
        shapes["main.13.weight"] = (3,)
    elif change == "missing":
        del shapes["main.7.running_var"]
    else:
        shapes["main.12.weight"] = (8, 4, 4, 4)
    assert PytorchExamples().recognize(reference_generator(width=8)) is not None
    assert PytorchExamples().recognize(shapes) is None


# -- Newmu -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "arr_"])
@pytest.mark.parametrize("size", [16, 32, 64])
def test_the_authors_arrays_are_recognized(size, prefix):
    match = Newmu().recognize(shapes_of(arrays(width=2, size=size, channels=1, prefix=prefix)))
    assert (match.part, match.image) == (
        Part("dcgan-newmu", {"latent_dim": 6, "width": 2, "prior": "normal"}),
        ImageSpec(size, 1),
    )
    assert "batch" in match.note and "flipped" in match.note


@pytest.mark.parametrize("change", ["names", "kernel", "order", "features"])
def test_other_arrays_are_not(change):
    shapes = shapes_of(arrays())
    if change == "names":
        shapes = {f"layer.{name}": shape for name, shape in shapes.items()}
    elif change == "kernel":
        shapes["04"] = (8, 4, 3, 3)
    elif change == "order":
        shapes = {name: shapes[name] for name in ("01", "02", "03", "07", "05", "06", "04")}
    else:
        shapes["02"] = (64,)
    assert Newmu().recognize(shapes) is None


def test_with_the_statistics_of_a_batch_the_converted_network_is_the_original():
    theirs = arrays()
    layout = Newmu()
    match = layout.recognize(shapes_of(theirs))
    made = layout.convert(theirs, match)
    generator = NewmuGenerator(match.image, **match.part.options)
    generator.load_state_dict(made)
    latent = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))
    exact = original({name: value.double() for name, value in theirs.items()}, latent.double())
    in_batch = generator.double().train()(latent.double())
    assert torch.allclose(in_batch, exact, atol=1e-12)
    unflipped = {name: value.flip(2, 3) if value.dim() == 4 else value for name, value in theirs.items()}
    assert not torch.allclose(
        in_batch, original({name: value.double() for name, value in unflipped.items()}, latent.double()), atol=0.1
    )


def test_fixed_statistics_come_close_to_a_large_batch_and_forget_the_neighbours():
    theirs = arrays()
    layout = Newmu()
    match = layout.recognize(shapes_of(theirs))
    generator = NewmuGenerator(match.image, **match.part.options)
    generator.load_state_dict(layout.convert(theirs, match))
    generator.eval()
    latent = torch.randn(1024, 6, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        fixed, by_batch = generator(latent), original(theirs, latent)
        assert (fixed - by_batch).abs().mean() < 0.03 < 0.1 < by_batch.std()
        assert torch.allclose(generator(latent[:4]), fixed[:4], atol=1e-6)


def test_kept_statistics_are_those_of_the_latents_and_depend_on_the_seed_alone():
    generator = NewmuGenerator(ImageSpec(16, 1), latent_dim=4, width=2, prior="normal").double()
    keep_statistics(generator, latents=200, batch=40, seed=5)
    first, norm = generator.main[0], generator.main[1]
    random = torch.Generator().manual_seed(5)
    drawn = torch.cat([torch.randn(40, 4, generator=random) for _ in range(5)]).double()
    with torch.no_grad():
        assert torch.allclose(norm.running_mean, first(drawn).mean(0))
        assert torch.allclose(norm.running_var, first(drawn).var(0, unbiased=False))
        state = {name: value.clone() for name, value in generator.state_dict().items()}
    keep_statistics(generator, latents=200, batch=40, seed=5)
    assert all(torch.equal(state[name], value) for name, value in generator.state_dict().items())


def test_newmu_generator_draws_from_its_prior():
    image = ImageSpec(16, 3)
    uniform, normal = NewmuGenerator(image, 50, 2), NewmuGenerator(image, 50, 2, prior="normal")
    drawn = uniform.latent(200, torch.Generator().manual_seed(0))
    assert drawn.abs().max() <= 1 and drawn.square().mean().item() == pytest.approx(1 / 3, rel=0.05)
    assert normal.latent(200, torch.Generator().manual_seed(0)).square().mean().item() == pytest.approx(1, rel=0.05)
    ends = torch.zeros(1, 50), torch.ones(1, 50)
    assert torch.equal(uniform.interpolate(*ends, 0.25), torch.full((1, 50), 0.25))
    images = normal(normal.latent(3, torch.Generator().manual_seed(0)))
    assert images.shape == (3, 3, 16, 16) and images.abs().max() <= 1
    with pytest.raises(ValueError, match="uniform or normal"):
        NewmuGenerator(image, prior="gaussian")


def test_newmu_counts_are_those_of_the_house_numbers():
    image = ImageSpec(32, 3)
    counted = 100 * 4096 + 2 * 4096 + 256 * 128 * 25 + 2 * 128 + 128 * 64 * 25 + 2 * 64 + 64 * 3 * 25
    assert count_parameters(NewmuGenerator(image, width=64)) == counted == 1_446_976
