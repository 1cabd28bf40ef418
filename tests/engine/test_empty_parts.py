"""Options that are 0 or negative, where a part then has nothing to learn or never runs."""

from __future__ import annotations

import inspect

import pytest
import torch

import ganzoo
from ganzoo.config.parts import option_mistakes, options_of
from ganzoo.config.settings import resolve
from ganzoo.engine.build import build_part
from ganzoo.errors import UsageError
from ganzoo.registry.registry import registry
from ganzoo.variant import ImageSpec


@pytest.mark.parametrize(
    ("variant", "option"),
    [
        ("dcgan", "width"),
        ("dcgan", "latent_dim"),
        ("acgan", "latent_dim"),  # joined with the class: no layer is empty
        ("cgan", "latent_dim"),  # divided by
        ("points", "width"),
        ("wgan-gp", "width"),
    ],
)
def test_a_generator_without_width_or_latents_is_refused(variant, option):
    classes = {"classes": 3} if variant in ("acgan", "cgan") else {}
    with pytest.raises(UsageError, match=f"generator '.*'.*{option}.* 0") as refused:
        ganzoo.create_model(variant, overrides={f"generator.{option}": 0}, **classes)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("path", ["generator.width", "discriminator.width", "training.steps"])
def test_a_negative_size_is_refused_before_anything_is_built(path):
    with pytest.raises(UsageError, match=path):
        ganzoo.create_model("dcgan", overrides={path: -3})


def test_negative_numbers_are_refused_where_a_default_is_not_negative():
    class Part:
        def __init__(self, image, layers: int = 2, sizes: tuple[int, ...] = (1,), axis: int = -1, least: float = 0.5):
            pass

        free: int | None = None

    assert not option_mistakes(Part, {"layers": 0, "sizes": [0, 2], "axis": -2, "least": -1.0})
    assert len(option_mistakes(Part, {"layers": -1, "sizes": [2, -1]})) == 2
    assert not option_mistakes(Part, {"layers": 1})


@pytest.mark.parametrize("setting", ["critic_steps", "generator_batch"])
def test_a_phase_that_cannot_run_is_refused(setting):
    small = {"generator.width": 4, "discriminator.width": 4}
    images = -torch.ones(8, 3, 32, 32)
    with pytest.raises(UsageError, match="cannot run"):
        ganzoo.create_trainer("sngan", images, batch_size=2, overrides={**small, f"loss.{setting}": 0})


def test_an_error_of_a_part_for_0_is_no_fault_of_the_plugin():
    with pytest.raises(UsageError, match="width 0: ZeroDivisionError"):
        ganzoo.create_model("sngan", overrides={"generator.width": 0})


@pytest.mark.slow
def test_every_whole_number_of_a_built_in_generator_may_be_0_only_where_it_draws():
    """Built on the meta device: either it is refused with one line, or no tensor is empty."""
    found = registry()
    for name in found.names("variants"):
        card = found.get("variants", name)
        if card.kind != "image" or card.inputs:
            continue
        part = resolve(card, (), found).parts["generator"]
        classes = 0 if card.labels == "unused" else 3
        for option, parameter in options_of(part.factory).items():
            if type(parameter.default) is not int or parameter.kind is inspect.Parameter.VAR_KEYWORD:
                continue
            zero = resolve(card, (f"generator.{option}=0",), found).parts["generator"]
            try:
                with torch.device("meta"):
                    module = build_part(zero, ImageSpec((card.sizes[0],) * 2, 3, classes))
            except UsageError as error:
                assert "\n" not in str(error)
            else:
                assert all(tensor.numel() for tensor in module.parameters()), (name, option)
