"""Mix-ins take a map of logits by each sample's mean, or refuse it with one line."""

from types import SimpleNamespace

import pytest
import torch

from ganzoo import Field, ImageSpec, SampleSpec
from ganzoo.errors import UsageError
from ganzoo.registry.registry import registry

IMAGE = ImageSpec(8, 1)
MAP = torch.tensor([[3.0, -1.0, -1.0], [1.0, 1.0, 1.0], [-2.0, -2.0, 5.0], [-9.0, 9.0, 9.0]], dtype=torch.float64)


def part(kind, name, **options):
    return registry().get(kind, name)(IMAGE, **options)


def test_ada_counts_the_mean_sign_of_each_map():
    ada = part("augmentations", "ada")
    ada.observe(MAP.float())
    assert ada.seen == 4 and ada.signs == pytest.approx(-1 / 3 + 1 - 1 / 3 + 1 / 3)


def test_top_k_ranks_fakes_by_the_mean_of_their_maps():
    top_k = part("regularizers", "top-k", least=0.5, decay=0.1)
    logits = MAP.clone().requires_grad_(True)
    turn = SimpleNamespace(epoch=9, real_is_low=False)
    top_k.select(turn, logits).mean().backward()
    learned = logits.grad.abs().sum(1) > 0
    assert learned.tolist() == [False, True, False, True]
    torch.testing.assert_close(logits.grad[learned], torch.full((2, 3), 1 / 6, dtype=torch.float64))


def test_lecam_averages_over_maps():
    lecam = part("regularizers", "lecam", start=0)
    term = lecam(SimpleNamespace(real_logits=MAP, fake_logits=-MAP, step=5, real_is_low=False))["distance"]
    assert torch.isfinite(term) and lecam.real == pytest.approx(0.1 * MAP.mean())


def test_consistency_refuses_maps_and_sources():
    with pytest.raises(UsageError, match="consistency .* maps of"):
        part("regularizers", "consistency")(SimpleNamespace(real_logits=MAP))
    paired = SampleSpec(Field((1, 8, 8)), {"source": Field((1, 8, 8))})
    with pytest.raises(ValueError, match="the source that belongs"):
        registry().get("regularizers", "consistency")(paired)
