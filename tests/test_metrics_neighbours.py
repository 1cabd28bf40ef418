"""Precision, recall, density and coverage against all pairs, one by one."""

import pytest
import torch

from ganzoo.errors import UsageError
from ganzoo.metrics import neighbour_scores, neighbours


def points(count, dimensions, seed=0, offset=0.0):
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + offset


def all_pairs(real, fake, k=3, density_k=5):
    """The papers' formulas on the differences themselves."""

    def squared(one, other):
        return torch.stack([(row - other).square().sum(1) for row in one])

    def radii(features, number):
        return squared(features, features).fill_diagonal_(torch.inf).sort(1).values[:, number - 1]

    across = squared(fake, real)
    dense = across <= radii(real, density_k)[None]
    return {
        "precision": float((across <= radii(real, k)[None]).any(1).double().mean()),
        "recall": float((across <= radii(fake, k)[:, None]).any(0).double().mean()),
        "density": float(dense.sum(1).double().mean() / density_k),
        "coverage": float(dense.any(0).double().mean()),
    }


def test_by_hand():
    """On a line, with one neighbour: real 0, 1, 3 with radii 1, 1, 2; fake 0.5, 10, 11.5 with radii 9.5, 1.5, 1.5."""
    found = neighbour_scores(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.5], [10.0], [11.5]]), k=1, density_k=1)
    assert found == {"precision": 1 / 3, "recall": 1.0, "density": 2 / 3, "coverage": 2 / 3}


def test_a_point_on_the_sphere_is_inside():
    real = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    fake = torch.tensor([[11.0], [11.0], [20.0]])
    assert neighbour_scores(real, fake, k=1, density_k=1)["precision"] == 2 / 3
    assert neighbour_scores(real, fake + 1e-6, k=1, density_k=1)["precision"] == 0


@pytest.mark.parametrize(("k", "density_k"), [(3, 5), (1, 1), (7, 2)])
@pytest.mark.parametrize("offset", [0.0, 300.0])
@pytest.mark.parametrize("dimensions", [1, 16])
def test_equals_all_pairs(k, density_k, offset, dimensions):
    real, fake = points(300, dimensions, 1, offset), points(200, dimensions, 2, offset + 0.4)
    assert neighbour_scores(real, fake, k=k, density_k=density_k) == pytest.approx(all_pairs(real, fake, k, density_k), abs=1e-12)


@pytest.mark.parametrize("pairs", [1, 1000, 2**22])
def test_blocks_change_nothing(pairs, monkeypatch):
    real, fake = points(150, 8, 1), points(130, 8, 2, 0.3)
    wanted = all_pairs(real, fake)
    monkeypatch.setattr(neighbours, "PAIRS", pairs)
    monkeypatch.setattr(neighbours, "NUMBERS", pairs)
    assert neighbour_scores(real, fake) == pytest.approx(wanted, abs=1e-12)


def test_ties_are_told_exactly():
    """On a grid nearly every distance equals some radius, and features far from zero cost a matrix product its last digits."""
    random = torch.Generator().manual_seed(0)
    real = torch.randint(0, 4, (300, 6), generator=random).double() + 1000
    fake = torch.randint(1, 5, (250, 6), generator=random).double() + 1000
    centre = real.mean(0)
    assert neighbour_scores(real, fake) == pytest.approx(all_pairs(real - centre, fake - centre), abs=1e-12)


def test_scales_of_one_feature_do_not_hide_the_others():
    scales = torch.tensor([1e4, 1.0, 1.0, 1.0])
    real, fake = points(200, 4, 1) * scales, points(200, 4, 2) * scales
    assert neighbour_scores(real, fake) == pytest.approx(all_pairs(real, fake), abs=1e-12)


def test_equals_scipy():
    distance = pytest.importorskip("scipy.spatial.distance")
    real, fake = points(200, 12, 1), points(220, 12, 2, 0.2)
    across = distance.cdist(real.numpy(), fake.numpy())
    third = sorted_columns(distance.cdist(real.numpy(), real.numpy()))[:, 3]
    assert neighbour_scores(real, fake)["precision"] == (across <= third[:, None]).any(0).mean()


def sorted_columns(distances):
    distances.sort(1)
    return distances


def test_the_real_images_themselves():
    """Every copy lies in its own original's ball, and in those of which it is one of the five nearest."""
    real = points(200, 16, 1)
    found = neighbour_scores(real, real.clone())
    assert (found["precision"], found["recall"], found["coverage"]) == (1, 1, 1)
    assert found["density"] == pytest.approx(6 / 5)


def test_one_point_drawn_again_and_again():
    real = points(200, 16, 1)
    found = neighbour_scores(real, real[:1].expand(100, -1))
    assert found["precision"] == 1 and found["recall"] == 1 / 200 and found["coverage"] < 0.2


def test_order_and_float32_change_nothing():
    real, fake = points(200, 16, 1).float(), points(200, 16, 2).float()
    shuffled = neighbour_scores(real[torch.randperm(200)].double(), fake.flip(0))
    assert neighbour_scores(real, fake) == pytest.approx(shuffled, abs=1e-12)


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k": 10}, {"density_k": 0}])
def test_impossible_numbers_of_neighbours_are_refused(wrong):
    with pytest.raises(UsageError, match="neighbours need more images"):
        neighbour_scores(points(10, 3), points(12, 3), **wrong)
    with pytest.raises(UsageError, match="of one dimension"):
        neighbour_scores(points(10, 3), points(12, 4))
