"""The direction of every number comes from its metric; a statement of another form is refused."""

import pytest

from ganzoo.errors import PluginError
from ganzoo.metrics.directions import direction, stated_directions
from ganzoo.metrics.features import Extractor, needs_of
from ganzoo.registry.registry import registry

EXTRACTOR = Extractor("any", lambda images: images.flatten(1), "0" * 64, ())


def metric(real, fake, random):
    return 0.0


def test_every_built_in_metric_states_its_direction():
    for name, built_in in registry().table("metrics").items():
        assert stated_directions(name, built_in), name


@pytest.mark.parametrize(
    "stated, expected",
    [(True, {"own": -1}), (False, {"own": 1}), ({"a": True, "b": False}, {"a": -1, "b": 1}), ({}, {})],
)
def test_what_a_metric_states(stated, expected, monkeypatch):
    monkeypatch.setattr(metric, "lower_is_better", stated, raising=False)
    assert stated_directions("own", metric) == expected


def test_a_metric_without_a_statement_has_no_direction():
    assert stated_directions("own", metric) == {} and direction("sharpness[any]") == 0


@pytest.mark.parametrize("stated", ["yes", 1, None, {"a": "lower"}, {1: True}])
def test_another_statement_is_refused_before_anything_is_computed(stated, monkeypatch):
    monkeypatch.setattr(metric, "lower_is_better", stated, raising=False)
    with pytest.raises(PluginError, match="own"):
        needs_of({"own": metric}, EXTRACTOR)


def test_paired_metrics_have_one_too():
    assert [direction(name) for name in ("psnr", "ssim", "ms-ssim", "l1", "lpips")] == [1, 1, 1, -1, -1]
