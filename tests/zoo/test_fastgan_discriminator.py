"""FastGAN's discriminator and loss against its author's code: logits, what is redrawn, losses and gradients."""

import re

import pytest
import torch
from golden.from_names import numbers, state
from golden_values import golden, under
from stepping import scripted_turn
from torch.nn import functional

from ganzoo import ImageSpec
from ganzoo.registry.registry import registry
from ganzoo_plugins.fastgan.discriminator import FastGANDiscriminator
from ganzoo_plugins.fastgan.loss import FastGAN

WIDTH, SIZE, BATCH, EVERY = 8, 256, 2, 8


def official(name):
    """The author's name of one of our tensors."""
    place, _, rest = name.rpartition(".")
    kind = {"u": "weight_u"}.get(rest, rest)
    path = re.sub(r"^halvings\.(\d)", lambda found: f"down_{4 << int(found[1])}", place)
    path = re.sub(r"^excitations\.(\d)", lambda found: f"se_{2 << int(found[1]) - 3}_{2 << int(found[1])}", path)
    for ours, theirs in (("start", "down_from_big"), ("logits", "rf_big"), ("copy_logits", "rf_small")):
        path = re.sub(rf"^{ours}\b", theirs, path)
    if found := re.fullmatch(r"copy\.(\d+)", path):
        step = int(found[1]) - 2
        path = f"down_from_small.{2 + step // 3}.main.{step % 3}" if step >= 0 else "down_from_small.0"
    if found := re.fullmatch(r"decoders\.(\d)\.(\d+)", path):
        layer, kinds = int(found[2]), ("big", "part", "small")
        inside = f"{1 + layer // 3}.{1 + layer % 3}" if layer < 12 else "5"
        path = f"decoder_{kinds[int(found[1])]}.main.{inside}"
    is_norm = re.search(r"(main\.[14]|direct\.2|rf_big\.1|small\.[234]\.main\.1|decoder_.*\.2)$", path)
    return f"{path}.{'weight_orig' if rest == 'weight' and not (is_norm and 'se_' not in path) else kind}"


def percept(ours, truth):
    """The stand-in of the perceptual network, as `tests/golden/fastgan_discriminator.py` has it; a mean, as ours."""
    kernel = torch.from_numpy(numbers("percept", (4, 3, 5, 5))).double()
    features = [torch.tanh(functional.conv2d(images, kernel, stride=2)) for images in (ours, truth)]
    return (features[0] - features[1]).square().mean()


def images(name):
    drawn = torch.from_numpy(numbers(name, (BATCH, 3, SIZE // 2, SIZE // 2))).double()
    return functional.interpolate(torch.tanh(drawn), scale_factor=2.0)


@pytest.fixture(scope="module")
def network():
    ours = FastGANDiscriminator(ImageSpec(SIZE, 3), width=WIDTH, head=16).double().train()
    tensors = ours.state_dict()
    names = {official(name): name for name in tensors}
    assert len(names) == len(tensors)
    made = state({theirs: tuple(tensors[name].shape) for theirs, name in names.items()}, "fastgan")
    for theirs, values in made.items():
        values = torch.from_numpy(values).double()
        tensors[names[theirs]].copy_(functional.normalize(values, dim=0) if theirs.endswith("_u") else values)
    return ours


def test_logits_losses_and_gradients_are_those_of_the_authors_code(network):
    stored = golden("fastgan-discriminator")
    real, fake = images("real"), images("fake")
    outputs = []

    def logits(images, part=None):
        outputs.append(network(images, part=part))
        return outputs[-1]

    turn = scripted_turn(logits, real=real, fake=fake, generator=torch.nn.Identity())
    turn.uniform = lambda *shape: torch.full((BATCH, *shape), 0.5, dtype=torch.float64)  # the third quarter
    loss = FastGAN(ImageSpec(SIZE, 3), reconstruction=BATCH)  # the author's code sums over the batch
    loss.vgg = percept
    terms = loss.discriminator(turn)
    sum(terms.values()).backward()

    def close(ours, name):
        assert torch.allclose(ours.float(), stored[name], rtol=1e-5, atol=1e-5), name

    (scores, redrawn), fakes = outputs
    for found, name in ((scores, "real"), (fakes, "fake")):
        close(torch.cat([found[:, :25].flatten(), found[:, 25:].flatten()]), name)
    for (ours, _), name in zip(redrawn, ("whole", "quarter", "copy"), strict=True):
        close(ours[:, :, ::EVERY, ::EVERY], name)
    slopes = under(stored, "slope")
    ours = {official(name): parameter.grad for name, parameter in network.named_parameters()}
    assert slopes.keys() == ours.keys()
    for name, slope in ours.items():
        close(torch.cat([slope.norm()[None], slope.flatten()[:3]]), f"slope.{name}")


def test_weights_of_before_have_a_narrower_layer_before_their_logits():
    with torch.device("meta"):
        before, now = (FastGANDiscriminator(ImageSpec(32, 3), width=4, **head) for head in ({}, {"head": 16}))
    assert before.logits[0].weight.shape == (16, 32, 1, 1) and now.logits[0].weight.shape == (64, 32, 1, 1)
    assert registry().get("variants", "fastgan").discriminator.options == {"head": 16}
    with pytest.raises(ValueError, match="head must be at least 1"):
        FastGANDiscriminator(ImageSpec(32, 3), head=0)
