"""Numbers of modes against values worked out by hand, and against known distributions."""

from __future__ import annotations

import math

import pytest
import torch

from ganzoo.metrics.modes import churn, coverage, mode_numbers, shares, sliced_wasserstein

ANGLES = torch.arange(8) * (math.pi / 4)
RING = torch.stack([ANGLES.cos(), ANGLES.sin()], 1)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def mixture(count, centres=RING, deviation=0.05, seed=0):
    return centres[torch.arange(count) % len(centres)] + deviation * normal(count, 2, seed=seed)


def test_the_mixture_itself_has_989_in_1000_of_high_quality():
    found = mode_numbers(mixture(40_000), RING, 0.05)
    assert found["high-quality"] == pytest.approx(1 - math.exp(-4.5), abs=0.002)
    assert found["modes"] == found["modes-any"] == 8 and found["reverse-kl"] < 1e-3


def test_a_gaussian_blob_holds_every_mode_by_the_rule_of_the_literature_and_none_by_ours():
    found = mode_numbers(0.7 * normal(2500, 2), RING, 0.05)
    assert found["modes-any"] == 8 and found["modes"] == 0 and found["high-quality"] < 0.1


def test_seven_of_eight_modes():
    found = mode_numbers(mixture(2800, RING[:7]), RING, 0.05)
    assert found["modes"] == 7 and found["reverse-kl"] == pytest.approx(math.log(8 / 7), abs=1e-3)


def test_points_far_from_every_mode_have_no_divergence():
    found = mode_numbers(torch.full((10, 2), 9.0), RING, 0.05)
    assert found["modes-any"] == 0 and math.isnan(found["reverse-kl"])


def test_coverage_is_the_effective_share_of_modes():
    assert coverage(shares(RING, RING)) == pytest.approx(1.0)
    assert coverage(torch.tensor([1.0, 1.0, 0, 0, 0, 0, 0, 0])) == pytest.approx(2 / 8)


def test_the_distance_of_a_shift_is_its_mean_length_along_all_directions():
    points = mixture(1000)
    assert sliced_wasserstein(points, points + torch.tensor([1.0, 0.0])) == pytest.approx(2 / math.pi, rel=1e-3)
    assert sliced_wasserstein(points, points[torch.randperm(1000)]) < 1e-7


def test_the_floor_of_two_samples_of_the_ring():
    found = [sliced_wasserstein(mixture(2500, seed=one), mixture(2500, seed=one + 50)) for one in range(4)]
    assert max(found) < 0.022  # equal counts of each mode: less than for independent draws


def test_churn_counts_the_second_half():
    still, left, right = [0.5, 0.5], [1.0, 0.0], [0.0, 1.0]
    assert churn([left, right, still, still]) == 0
    assert churn([still, still, left, right]) == 1
    assert math.isnan(churn([left])) and math.isnan(churn([]))
