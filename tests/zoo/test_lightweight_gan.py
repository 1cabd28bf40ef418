"""lightweight-gan against lucidrains' code (tests/golden/lightweight_gan.py): networks, losses, its files."""

from itertools import count

import pytest
import torch
from golden.from_names import numbers, state
from golden_values import golden
from stepping import count_parameters, names_of, scripted_turn, small_trainer, step_by_phase

import ganzoo
from ganzoo import ImageSpec, Part
from ganzoo.convert.convert import convert
from ganzoo.convert.request import Request
from ganzoo.registry.registry import registry
from ganzoo_plugins.fastgan.layouts import LightweightGAN
from ganzoo_plugins.fastgan.lightweight import Lightweight, LightweightDiscriminator, LightweightGenerator

OPTIONS = {
    "32": {"finest": 1, "width": 16, "attention": [16], "antialias": True},
    "128": {"finest": 1, "width": 16, "attention": [32], "antialias": False},
    "512": {"finest": 1, "width": 8, "attention": [], "antialias": False},
}


def with_official_numbers(network, prefix):
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items() if not name.endswith(".noise")}
    values = {name: torch.from_numpy(one) for name, one in state(shapes, prefix).items()}
    network.load_state_dict({**network.state_dict(), **values})
    return network.double()


def drawn(name, *shape):
    return torch.from_numpy(numbers(name, shape)).double()


@pytest.mark.parametrize("case", ["32", "128", pytest.param("512", marks=pytest.mark.slow)])
def test_images_logits_and_losses_are_the_official_ones(case):
    stored, size, options = golden("lightweight-gan"), int(case), OPTIONS[case]
    image = ImageSpec(size, 3)
    generator = with_official_numbers(LightweightGenerator(image, latent_dim=6, **options), f"G{case}").eval()
    discriminator = LightweightDiscriminator(image, **options, patches=case == "32")
    discriminator = with_official_numbers(discriminator, f"D{case}")
    layers = count()
    with torch.no_grad():
        # in training mode images are not clamped, but batch norm must be in evaluation
        generator.training = True
        images = generator(drawn("latent", 2, 6), noise=lambda *shape: drawn(f"noise.{next(layers)}", 2, *shape))
    step = size // 16
    assert torch.allclose((images[:, :, ::step, ::step] + 1) / 2, stored[f"{case}.images"], rtol=0, atol=1e-6)
    times = size // 32
    real = 2 * (0.5 + drawn("real", 2, 3, 32, 32)).repeat_interleave(times, 2).repeat_interleave(times, 3) - 1
    turn = scripted_turn(discriminator, real=real, fake=images, generator=torch.nn.Identity(), step=4)
    turn.uniform = lambda *shape: torch.full((2, *shape), 0.6)
    logits = discriminator(real)
    assert torch.allclose(logits, stored[f"{case}.logits"], rtol=0, atol=1e-6)
    loss = Lightweight(image)
    terms = loss.discriminator(turn)
    ours = [terms["real"] + terms["fake"], terms["reconstruction"], terms["penalty"], loss.generator(turn)["fake"]]
    assert torch.allclose(torch.stack(ours), stored[f"{case}.losses"], rtol=1e-6, atol=0)
    turn.step = 5
    assert "penalty" not in loss.discriminator(turn)


@pytest.mark.parametrize("size", [32, 64, 512])
def test_shapes_alone_tell_the_networks(size):
    options = {"finest": 2, "width": 64, "attention": [16, 32], "antialias": size == 64}
    image = ImageSpec(size, 3)
    with torch.device("meta"):
        networks = {
            "generator": LightweightGenerator(image, latent_dim=24, **options),
            "discriminator": LightweightDiscriminator(image, **options, patches=size == 32),
        }
    for role, network in networks.items():
        shapes = {name: tuple(value.shape) for name, value in network.state_dict().items() if "noise" not in name}
        match = LightweightGAN().recognize(shapes)
        more = {"latent_dim": 24} if role == "generator" else {"patches": size == 32}
        assert (match.role, match.image) == (role, image)
        assert match.part == Part("lightweight-gan", {**match.part.options, **more})
        attends = [one for one in (16, 32) if role == "discriminator" or one < size]  # where layers begin
        assert match.part.options["finest"] == 2 and match.part.options["attention"] == attends
        shapes.pop(next(name for name in shapes if name.endswith("norm.g")))
        assert LightweightGAN().recognize(shapes) is None


def test_a_checkpoint_of_the_whole_gan_gives_the_averaged_generator(tmp_path):
    image, options = ImageSpec(32, 3), {"finest": 1, "width": 16, "attention": [16]}
    networks = {name: LightweightGenerator(image, latent_dim=8, **options) for name in ("G", "GE")}
    networks["D"] = LightweightDiscriminator(image, **options)
    tensors = {
        f"{place}.{name}": value
        for place, network in {**networks, "D_aug.D": networks["D"]}.items()
        for name, value in network.state_dict().items()
        if not name.endswith(".noise")
    }
    file = tmp_path / "model_3.pt"
    torch.save({"GAN": tensors, "version": "1.2.1", "G_scaler": {}, "D_scaler": {}}, file)
    convert(Request(files=[file], out=tmp_path / "made", license="MIT"), registry())
    model = ganzoo.load(str(tmp_path / "made"))
    latent = torch.randn(2, 8)
    ours, theirs = model.generator.eval(), networks["GE"].eval()
    for name, value in ours.state_dict().items():
        if not name.endswith(".noise"):
            assert torch.equal(value, theirs.state_dict()[name]), name

    def silent(*shape):
        return torch.zeros(2, *shape)

    with torch.no_grad():
        assert torch.equal(ours(latent, noise=silent), theirs(latent, noise=silent))


def test_a_step_trains_all_of_both_networks():
    narrow = {"finest": 1, "width": 8, "attention": [16], "hidden": 64}
    trainer = small_trainer(
        "lightweight-gan", ImageSpec(32, 3), 1, generator=narrow, discriminator=narrow, accumulate=1
    )
    visits, terms = step_by_phase(trainer)
    # where neither hinge is reached, the slopes of real and fake cancel in the biases of logits
    biases = {"discriminator.to_logits.3.bias", "discriminator.to_shape_disc_out.5.bias"}
    assert visits[0].changed | biases == names_of(trainer, "discriminator")
    assert visits[1].changed == names_of(trainer, "generator")
    assert set(terms) >= {"discriminator.penalty", "discriminator.reconstruction"}


@pytest.mark.parametrize(("size", "counts"), [(128, (23_961_513, 11_804_904)), (1024, (24_055_618, 12_953_393))])
def test_counts_are_those_of_the_official_networks(size, counts):
    with torch.device("meta"):
        networks = LightweightGenerator(ImageSpec(size, 3)), LightweightDiscriminator(ImageSpec(size, 3))
    assert tuple(map(count_parameters, networks)) == counts
