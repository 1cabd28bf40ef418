"""Precision, recall, density and coverage against all pairs, one by one."""

import pytest
import torch

from ganzoo.errors import UsageError
from ganzoo.metrics import distance_bounds
from ganzoo.metrics import precision_recall as module
from ganzoo.metrics.precision_recall import precision_recall


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
    found = precision_recall(
        torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.5], [10.0], [11.5]]), k=1, density_k=1
    )
    assert found == {"precision": 1 / 3, "recall": 1.0, "density": 2 / 3, "coverage": 2 / 3}


def test_a_point_on_the_sphere_is_inside():
    real = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    fake = torch.tensor([[11.0], [11.0], [20.0]])
    assert precision_recall(real, fake, k=1, density_k=1)["precision"] == 2 / 3
    assert precision_recall(real, fake + 1e-6, k=1, density_k=1)["precision"] == 0


@pytest.mark.parametrize(("k", "density_k"), [(3, 5), (1, 1), (7, 2)])
@pytest.mark.parametrize("offset", [0.0, 300.0])
@pytest.mark.parametrize("dimensions", [1, 16])
def test_equals_all_pairs(k, density_k, offset, dimensions):
    real, fake = points(300, dimensions, 1, offset), points(200, dimensions, 2, offset + 0.4)
    assert precision_recall(real, fake, k=k, density_k=density_k) == pytest.approx(
        all_pairs(real, fake, k, density_k), abs=1e-12
    )


@pytest.mark.parametrize("pairs", [1, 1000, 2**22])
def test_blocks_change_nothing(pairs, monkeypatch):
    real, fake = points(150, 8, 1), points(130, 8, 2, 0.3)
    wanted = all_pairs(real, fake)
    monkeypatch.setattr(module, "PAIRS", pairs)
    monkeypatch.setattr(distance_bounds, "NUMBERS", pairs)
    monkeypatch.setattr(module, "WAITING", pairs)
    assert precision_recall(real, fake) == pytest.approx(wanted, abs=1e-12)


def test_ties_are_told_exactly():
    """On a grid nearly every distance equals a radius, and features far from zero cost products their last digits."""
    random = torch.Generator().manual_seed(0)
    real = torch.randint(0, 4, (300, 6), generator=random).double() + 1000
    fake = torch.randint(1, 5, (250, 6), generator=random).double() + 1000
    assert precision_recall(real, fake) == pytest.approx(all_pairs(real, fake), abs=1e-12)


def clustered(count, dimensions, seed, spread):
    """Ten far points, each drawn again and again with so little spread that float32 cannot tell the copies apart."""
    random = torch.Generator().manual_seed(seed)
    middles = torch.randn(10, dimensions, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    chosen = middles[torch.randint(10, (count,), generator=random)]
    return chosen + spread * torch.randn(count, dimensions, generator=random, dtype=torch.float64)


def halved(features):
    return features[: len(features) // 2].repeat(2, 1)


HARD = {
    "every feature twice": lambda: (halved(points(300, 7, 1)), halved(points(280, 7, 2))),
    "few distinct features": lambda: (clustered(300, 7, 1, 0.0), clustered(280, 7, 2, 0.0)),
    "near copies": lambda: (clustered(300, 7, 1, 1e-6), clustered(280, 7, 2, 1e-6)),
    "nearer than float32 can tell": lambda: (clustered(300, 7, 1, 1e-9), clustered(280, 7, 2, 1e-9)),
    "one point each": lambda: (torch.ones(300, 7).double(), torch.full((280, 7), 2.0).double()),
    "the same point": lambda: (torch.ones(300, 7).double(), torch.ones(280, 7).double()),
    "copies of the real": lambda: (points(300, 7, 1), points(300, 7, 1)[:280] + 1e-8),
    "an offset of 1e7": lambda: (points(300, 7, 1, 1e7), points(280, 7, 2, 1e7)),
    "apart by 1e7": lambda: (points(300, 7, 1), points(280, 7, 2, 1e7)),
    "scales from 1e5 to 1e-5": lambda: (
        points(300, 7, 1) * torch.logspace(5, -5, 7),
        points(280, 7, 2) * torch.logspace(5, -5, 7),
    ),
    "apart in a frame of another unit": lambda: (points(300, 2, 1), 2.1 * points(280, 2, 2) + 5),
    "one feature far away": lambda: (
        torch.cat([points(299, 7, 1), torch.full((1, 7), 1e9).double()]),
        points(280, 7, 2),
    ),
    "too large for squares in float32": lambda: (points(300, 7, 1) * 1e30, points(280, 7, 2) * 1e30),
    "too small for squares in float32": lambda: (points(300, 7, 1) * 1e-30, points(280, 7, 2) * 1e-30),
    "mostly zeros": lambda: (
        points(300, 7, 1) * (points(300, 7, 3) > 1.5),
        points(280, 7, 2) * (points(280, 7, 4) > 1.5),
    ),
    "integers": lambda: (points(300, 7, 1).round() + 1e4, points(280, 7, 2).round() + 1e4),
    "many images of many dimensions": lambda: (points(400, 260, 1), points(390, 260, 2, 0.1)),
    "more dimensions than images": lambda: (points(60, 300, 1), points(50, 300, 2)),
}


@pytest.mark.parametrize("pairs", [2**12, 2**20])
@pytest.mark.parametrize("case", HARD)
def test_hard_cases_are_those_of_all_pairs(case, pairs, monkeypatch):
    real, fake = HARD[case]()
    monkeypatch.setattr(module, "PAIRS", pairs)
    assert precision_recall(real, fake) == pytest.approx(all_pairs(real, fake), abs=1e-12)


@pytest.mark.parametrize("case", HARD)
def test_features_in_float32_are_taken_as_they_are(case):
    real, fake = (features.float() for features in HARD[case]())
    assert precision_recall(real, fake) == pytest.approx(all_pairs(real.double(), fake.double()), abs=1e-12)
    assert (
        precision_recall(real.double(), fake) == precision_recall(real, fake.double()) == precision_recall(real, fake)
    )


@pytest.mark.parametrize("case", HARD)
def test_radii_are_bit_for_bit_those_of_the_differences(case, monkeypatch):
    monkeypatch.setattr(module, "PAIRS", 2**12)
    for features in HARD[case]():
        wanted = (
            torch.stack([(row - features).square().sum(1) for row in features]).fill_diagonal_(torch.inf).sort(1).values
        )
        radii = module.searched(features, (3, 5)).radii(torch.arange(len(features)))
        for number, found in zip((3, 5), radii, strict=True):
            assert torch.equal(found, wanted[:, number - 1])


@pytest.mark.parametrize("case", HARD)
def test_no_bound_is_above_its_distance(case):
    real, fake = HARD[case]()
    frame = distance_bounds.Frame.around(real, fake)
    one, other = (distance_bounds.Screen(features, frame) for features in (real, fake))
    room = torch.empty(len(one) * len(other))
    bounds = distance_bounds.lower_bounds(one, slice(0, len(one)), other, slice(0, len(other)), room)[
        : len(real), : len(fake)
    ].double()
    wanted = torch.stack([(row - fake).square().sum(1) for row in real]) / frame.unit / frame.unit
    slack = one.slack(one.norms[: len(real), None] + other.norms[: len(fake)])
    assert (bounds <= wanted).all() and (wanted <= bounds + slack).all()


def test_autocast_does_not_reach_the_bounds():
    real, fake = points(200, 16, 1), points(200, 16, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = precision_recall(real, fake)
    assert found == precision_recall(real, fake)


def test_few_pairs_need_an_exact_look(monkeypatch):
    """Of all pairs, so that time does not go back to that of the differences unnoticed."""
    seen, exact = [], module.exact
    monkeypatch.setattr(
        module, "exact", lambda one, other, row, column: seen.append(len(row)) or exact(one, other, row, column)
    )
    precision_recall(points(2000, 16, 1), points(2000, 16, 2))
    assert sum(seen) < 1e-4 * 3 * 2000**2


def test_scales_of_one_feature_do_not_hide_the_others():
    scales = torch.tensor([1e4, 1.0, 1.0, 1.0])
    real, fake = points(200, 4, 1) * scales, points(200, 4, 2) * scales
    assert precision_recall(real, fake) == pytest.approx(all_pairs(real, fake), abs=1e-12)


def test_equals_scipy():
    distance = pytest.importorskip("scipy.spatial.distance")
    real, fake = points(200, 12, 1), points(220, 12, 2, 0.2)
    across = distance.cdist(real.numpy(), fake.numpy())
    third = sorted_columns(distance.cdist(real.numpy(), real.numpy()))[:, 3]
    assert precision_recall(real, fake)["precision"] == (across <= third[:, None]).any(0).mean()


def sorted_columns(distances):
    distances.sort(1)
    return distances


def test_the_real_images_themselves():
    """Every copy lies in its own original's ball, and in those of which it is one of the five nearest."""
    real = points(200, 16, 1)
    found = precision_recall(real, real.clone())
    assert (found["precision"], found["recall"], found["coverage"]) == (1, 1, 1)
    assert found["density"] == pytest.approx(6 / 5)


def test_one_point_drawn_again_and_again():
    real = points(200, 16, 1)
    found = precision_recall(real, real[:1].expand(100, -1))
    assert found["precision"] == 1 and found["recall"] == 1 / 200 and found["coverage"] < 0.2


def test_order_and_float32_change_nothing():
    real, fake = points(200, 16, 1).float(), points(200, 16, 2).float()
    shuffled = precision_recall(real[torch.randperm(200)].double(), fake.flip(0))
    assert precision_recall(real, fake) == pytest.approx(shuffled, abs=1e-12)


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k": 10}, {"density_k": 0}])
def test_impossible_numbers_of_neighbours_are_refused(wrong):
    with pytest.raises(UsageError, match="neighbours need more images"):
        precision_recall(points(10, 3), points(12, 3), **wrong)
    with pytest.raises(UsageError, match="of one dimension"):
        precision_recall(points(10, 3), points(12, 4))
