"""The VAE against pytorch/examples `vae/main.py`: counts, names, both terms by hand, and that it learns."""

import math
from types import SimpleNamespace

import pytest
import torch
from stepping import count_parameters, names_of, small_trainer, step_by_phase

from ganzoo import ImageSpec
from ganzoo.errors import UsageError
from ganzoo_plugins.vae.layouts import PytorchExamplesVAE
from ganzoo_plugins.vae.model import Decoder, EvidenceLowerBound

DIGITS = ImageSpec(28, 1)


def test_parameter_count_and_names_are_those_of_the_reference():
    decoder, loss = Decoder(DIGITS), EvidenceLowerBound(DIGITS)
    assert count_parameters(decoder) + count_parameters(loss) == 652_824
    shapes = {
        name: tuple(value.shape) for module in (decoder, loss.encoder) for name, value in module.state_dict().items()
    }
    weights = {"fc1": (400, 784), "fc21": (20, 400), "fc22": (20, 400), "fc3": (400, 20), "fc4": (784, 400)}
    assert shapes == {
        f"{name}.{kind}": shape if kind == "weight" else shape[:1]
        for name, shape in weights.items()
        for kind in ("weight", "bias")
    }


@pytest.mark.parametrize("image", [ImageSpec(28, 1), ImageSpec(32, 3), ImageSpec(64, 1)])
def test_shapes_and_range(image):
    decoder = Decoder(image, latent_dim=4, width=8)
    latent = 50 * decoder.latent(3, torch.Generator().manual_seed(0))
    images, logits = decoder(latent), decoder(latent, logits=True)
    assert images.shape == (3, image.channels, image.size, image.size) and images.abs().max() <= 1
    torch.testing.assert_close(images, logits.sigmoid() * 2 - 1)


def test_both_terms_by_hand():
    """One pixel, one code: the encoder's biases are mean m and log-variance v, the decoded logit is the latent."""
    loss = EvidenceLowerBound(ImageSpec(1, 1), latent_dim=1, width=1)
    mean, log_variance, noise, pixel = 0.3, -0.8, 1.7, 0.25
    with torch.no_grad():
        for parameter in loss.parameters():
            parameter.zero_()
        loss.encoder.fc21.bias.fill_(mean)
        loss.encoder.fc22.bias.fill_(log_variance)

    def generator(latent, label, logits):
        return latent[:, :, None, None]

    generator.latent_dim = 1
    turn = SimpleNamespace(
        real=torch.full((3, 1, 1, 1), 2 * pixel - 1),
        label=None,
        generator=generator,
        normal=lambda n: torch.full((3, n), noise),
    )
    terms = loss.elbo(turn)
    decoded = 1 / (1 + math.exp(-(mean + noise * math.exp(log_variance / 2))))
    assert terms["pixels"].item() == pytest.approx(
        -pixel * math.log(decoded) - (1 - pixel) * math.log(1 - decoded), rel=1e-6
    )
    assert terms["divergence"].item() == pytest.approx(
        -0.5 * (1 + log_variance - mean**2 - math.exp(log_variance)), rel=1e-6
    )


def test_pixels_are_summed_and_the_batch_is_averaged():
    image = ImageSpec(28, 1)
    loss, decoder = EvidenceLowerBound(image, latent_dim=2, width=4), Decoder(image, latent_dim=2, width=4)
    for parameter in [*loss.parameters(), *decoder.parameters()]:
        torch.nn.init.zeros_(parameter)
    turn = SimpleNamespace(
        real=torch.zeros(5, 1, 28, 28), label=None, generator=decoder, normal=lambda n: torch.zeros(5, n)
    )
    terms = loss.elbo(turn)
    assert terms["pixels"].item() == pytest.approx(784 * math.log(2), rel=1e-5) and terms["divergence"].item() == 0


def test_decoder_and_encoder_learn_in_one_phase():
    options = {"latent_dim": 4, "width": 16}
    trainer = small_trainer("vae", DIGITS, generator=options, loss=options)
    visits, terms = step_by_phase(trainer)
    assert [visit.phase for visit in visits] == ["elbo"] and trainer.discriminator is None
    assert visits[0].changed == names_of(trainer, "generator") | names_of(trainer, "loss")


def test_it_learns_what_all_images_share():
    options = {"latent_dim": 4, "width": 16}
    trainer = small_trainer("vae", DIGITS, generator=options, loss=options)
    trainer.batches.images = lambda number, part: torch.full((4, 1, 28, 28), 0.8)[part]
    first = trainer.step()["elbo.pixels"]
    for _ in range(100):
        last = trainer.step()["elbo.pixels"]
    least = -784 * (0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert least - 1e-3 < last < least + (first - least) / 4


def test_different_latent_sizes_are_refused():
    trainer = small_trainer("vae", DIGITS, generator={"latent_dim": 4}, loss={"latent_dim": 5})
    with pytest.raises(UsageError, match="loss.latent_dim is 5, generator.latent_dim is 4"):
        trainer.step()


def test_checkpoints_of_the_reference_are_recognized_and_their_decoder_taken():
    decoder, encoder = Decoder(DIGITS, latent_dim=3, width=5), EvidenceLowerBound(DIGITS, latent_dim=3, width=5).encoder
    tensors = {**encoder.state_dict(), **decoder.state_dict()}
    layout = PytorchExamplesVAE()
    match = layout.recognize({name: tuple(tensor.shape) for name, tensor in tensors.items()})
    assert match.part.options == {"latent_dim": 3, "width": 5} and match.image == DIGITS
    taken = layout.convert(tensors, match)
    assert taken.keys() == decoder.state_dict().keys() and all(
        torch.equal(value, tensors[name]) for name, value in taken.items()
    )


@pytest.mark.parametrize(
    "change", [{"fc5.bias": (3,)}, {"fc4.weight": (785, 5)}, {"fc21.weight": (4, 5)}, {"fc3.weight": (5,)}]
)
def test_other_autoencoders_are_not(change):
    encoder = EvidenceLowerBound(DIGITS, latent_dim=3, width=5).encoder
    shapes = {
        name: tuple(t.shape)
        for m in (encoder, Decoder(DIGITS, latent_dim=3, width=5))
        for name, t in m.state_dict().items()
    }
    assert PytorchExamplesVAE().recognize(shapes) and PytorchExamplesVAE().recognize({**shapes, **change}) is None
