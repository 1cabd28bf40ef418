"""The built-in translators at sizes that they were not built for, whole and in tiles."""

import pytest
import tiny
import torch
from translators import sources, spec

from ganzoo.engine.randomness import seeded
from ganzoo.errors import UsageError
from ganzoo.registry.registry import registry


def model(name: str, size: int = 64):
    """A variant's generator, narrow, with batch norm that has seen sources."""
    image, part = spec(size), registry().get("variants", name).generator
    with seeded(0), torch.no_grad():
        generator = registry().get("generators", part.name)(image, **{**part.options, "width": 4})
        for module in generator.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        generator.train()(torch.zeros(4, 0), source=sources(4, size, size))
    return tiny.model_of(generator, image, name)


@pytest.mark.parametrize("name, multiple", [("pix2pix", 64), ("cyclegan", 4), ("cut", 4), ("pix2pixhd", 16)])
def test_any_size_comes_back_in_its_own_size(name, multiple):
    found = model(name)
    assert found.geometry.multiple == multiple
    given = sources(1, 70, 90)
    made = found.apply(given)
    assert made.shape == (1, 3, 70, 90) and torch.isfinite(made).all() and made.std() > 0


def test_the_u_net_of_pix2pix_is_the_same_in_tiles():
    found, given = model("pix2pix"), sources(1, 200, 330)
    assert found.geometry.overlap == 128
    assert (found.apply(given) - found.apply(given, tile=64)).abs().max() <= 2e-7


@pytest.mark.parametrize("name", ["cyclegan", "cut", "pix2pixhd"])
def test_instance_norm_cannot_be_tiled(name):
    with pytest.raises(UsageError, match="instance norm"):
        model(name).apply(sources(1, 64, 64), tile=64)
