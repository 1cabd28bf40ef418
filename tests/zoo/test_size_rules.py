"""Every size that a card's rule allows: networks of the right shape; rectangles where the card says so."""

from __future__ import annotations

import pytest
import torch

import ganzoo
from ganzoo import ImageSpec
from ganzoo.config.parts import KIND_OF, options_of
from ganzoo.config.settings import resolve
from ganzoo.engine.build import build_part
from ganzoo.registry.registry import registry

VARIANTS = {variant.name: variant for variant in ganzoo.variants() if variant.kind == "image" and not variant.inputs}
RULES = {
    (variant.generator.name, variant.discriminator and variant.discriminator.name, str(variant.size_rule)): name
    for name, variant in VARIANTS.items()
    if variant.size_rule.powers or variant.size_rule.multiple
}  # the name of one card for all that share networks and rule
RECTANGLES = [name for name in RULES.values() if not VARIANTS[name].size_rule.square]
NARROW = {"width": 2, "units": 4, "pieces": 2, "shared_dim": 4, "label_size": 4, "latent_width": 4, "label_width": 4}
SHORT = {tuple: "[4, 4]", int: 8}  # of the option `hidden`


def build(name, size, channels=3):
    """The narrowed generator and discriminator of a variant; None for a discriminator that it has not."""
    variant, classes = VARIANTS[name], 3 if VARIANTS[name].labels == "required" else 0
    settings = []
    for role in ("generator", "discriminator"):
        part = getattr(variant, role)
        known = options_of(registry().get(KIND_OF[role], part.name)) if part else {}
        wide = {"width": 32} if "group_width" in known else {}
        hidden = {"hidden": SHORT[type(known["hidden"].default)]} if "hidden" in known else {}
        values = {**NARROW, **wide, **hidden}
        # 0 is no width but says that there is no such vector
        settings += [
            f"{role}.{key}={value}" for key, value in values.items() if key in known and part.options.get(key, 1)
        ]
    parts = resolve(variant, settings, registry()).parts
    image = ImageSpec(size, channels, classes)
    torch.manual_seed(0)
    return [build_part(parts[role], image) if parts.get(role) else None for role in ("generator", "discriminator")]


def check(name, size, channels=3):
    """Two images of the size from the generator, two finite logits of them from the discriminator."""
    generator, discriminator = build(name, size, channels)
    image = ImageSpec(size, channels)
    label = torch.tensor([2, 0]) if VARIANTS[name].labels == "required" else None
    with torch.no_grad():
        images = generator(generator.latent(2, torch.Generator().manual_seed(0)), label)
        assert images.shape == (2, *image.output.shape) and images.isfinite().all()
        logits = None if discriminator is None else discriminator(images, label)
    axes = 2 if {"patches", "pretrained-features"} & set(VARIANTS[name].tags) else 1  # logits of places
    assert logits is None or (len(logits) == 2 and logits.dim() == axes and logits.isfinite().all())
    for network in (generator, discriminator):
        tensors = [] if network is None else list(network.state_dict(keep_vars=True).values())
        assert len({id(tensor) for tensor in tensors}) == len(tensors), "each tensor is saved under one name"


@pytest.mark.parametrize("name", RULES.values())
def test_networks_of_the_smallest_own_and_a_larger_size(name):
    rule = VARIANTS[name].size_rule
    larger = min(size for size in rule.every() if size > max(rule.own) or size == rule.most)
    sizes = sorted({rule.least, rule[0], larger} & set(rule.every()))
    assert sizes and all(VARIANTS[name].supports(size, size) for size in sizes)
    for size in sizes:
        check(name, size)


@pytest.mark.parametrize("name", RECTANGLES)
def test_height_and_width_apart(name):
    for size in ((48, 64), (32, 16)):
        assert VARIANTS[name].supports(*size)
        check(name, size)


@pytest.mark.parametrize("name", ["acgan", "sagan", "wgan-gp"])  # which stop to grow wider
def test_the_largest_size_fits_into_a_graphics_card(name):
    """In the card's width: at most 250 million weights a network, 4 GB with Adam's averages and gradients."""
    variant = VARIANTS[name]
    parts = resolve(variant, (), registry()).parts
    image = ImageSpec(variant.size_rule.every()[-1], 3, 10 if variant.labels == "required" else 0)
    for role in ("generator", "discriminator"):
        if parts.get(role):
            with torch.device("meta"):
                network = build_part(parts[role], image)
            assert 1e5 < sum(weight.numel() for weight in network.parameters()) < 2.5e8


def test_official_tables_of_larger_images():
    """BigGAN has as many weights at 128 px with 1,000 classes as its authors' code prints; SNGAN's are added up."""
    counts = {}
    for name, classes in (("biggan", 1000), ("sngan", 0)):
        parts = resolve(VARIANTS[name], (), registry()).parts
        for role in ("generator", "discriminator"):
            with torch.device("meta"):
                network = build_part(parts[role], ImageSpec(128, 3, classes))
            counts[name, role] = sum(weight.numel() for weight in network.parameters())
    assert counts["biggan", "generator"] == 70_433_988 and counts["biggan", "discriminator"] == 87_982_370
    widths = (1024, 1024, 512, 256, 128, 64)
    pairs = list(zip(widths, widths[1:], strict=False))
    blocks = sum(2 * a + a * b * 9 + b + 2 * b + b * b * 9 + b + a * b + b for a, b in pairs)
    assert counts["sngan", "generator"] == 129 * 1024 * 16 + blocks + 2 * 64 + 64 * 3 * 9 + 3
    first = 3 * 64 * 9 + 64 + 64 * 64 * 9 + 64 + 3 * 64 + 64
    down = sum(a * a * 9 + a + a * b * 9 + b + a * b + b for b, a in pairs[1:])
    plain = 2 * (1024 * 1024 * 9 + 1024)
    assert counts["sngan", "discriminator"] == first + down + plain + 1025
