"""The kernel distance and the inception score against torchmetrics, scipy and sums over all pairs."""

import math

import pytest
import torch

from ganzoo.errors import UsageError
from ganzoo.metrics import kid as module
from ganzoo.metrics.inception_score import inception_score
from ganzoo.metrics.kid import discrepancy, kid


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def features(count, dimensions, seed=0, offset=0.0):
    return torch.randn(count, dimensions, generator=seeded(seed), dtype=torch.float64) + offset


def all_pairs(one, other):
    """The unbiased estimate, term by term."""

    def k(x, y):
        return (float(x @ y) / len(x) + 1) ** 3

    def inside(points):
        pairs = [k(x, y) for i, x in enumerate(points) for j, y in enumerate(points) if i != j]
        return sum(pairs) / len(pairs)

    across = [k(x, y) for x in one for y in other]
    return inside(one) + inside(other) - 2 * sum(across) / len(across)


def test_by_hand():
    """x = 0, 2 and y = 1, 1 in one dimension: k(0, 2) + k(1, 1) - 2 · mean(k(0, 1), k(2, 1)) = 1 + 8 - 2 · 14."""
    assert (
        float(discrepancy(torch.tensor([[0.0], [2.0]]).double(), torch.tensor([[1.0], [1.0]]).double())) == 1 + 8 - 28
    )


@pytest.mark.parametrize("rows", [3, 2048])
def test_every_pair_counts_once_however_they_are_cut(rows, monkeypatch):
    monkeypatch.setattr(module, "ROWS", rows)
    one, other = features(20, 5, 1), features(17, 5, 2, 0.3)
    assert float(discrepancy(one, other)) == pytest.approx(all_pairs(one, other), rel=1e-12)


@pytest.mark.parametrize("rows", [7, 2048])
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_one_matrix_for_all_subsets_gives_what_each_gives(rows, offset, monkeypatch):
    monkeypatch.setattr(module, "ROWS", rows)
    one, other = features(50, 6, 1, offset), features(40, 6, 2, offset + 0.3)
    asked = []
    every = module._from_every_pair
    monkeypatch.setattr(module, "_from_every_pair", lambda *arguments: asked.append(every(*arguments)) or asked[-1])
    mean, deviation = kid(one, other, seeded(), subsets=30, subset_size=20)
    random = seeded()
    each = torch.stack(
        [discrepancy(one[module.subset(one, 20, random)], other[module.subset(other, 20, random)]) for _ in range(30)]
    )
    assert torch.allclose(asked[0], each, rtol=1e-9, atol=1e-12 * (1 + offset) ** 6)
    assert mean == pytest.approx(float(each.mean()), rel=1e-9) and deviation == pytest.approx(
        float(each.std(correction=0)), rel=1e-7
    )


def test_few_subsets_of_many_images_look_at_their_own_pairs_alone(monkeypatch):
    monkeypatch.setattr(module, "_from_every_pair", None)
    one, other, random = features(500, 3, 1), features(500, 3, 2), seeded()
    mean, _ = kid(one, other, seeded(), subsets=2, subset_size=20)
    each = [
        float(discrepancy(one[module.subset(one, 20, random)], other[module.subset(other, 20, random)]))
        for _ in range(2)
    ]
    assert mean == pytest.approx(sum(each) / 2, rel=1e-9)


@pytest.mark.parametrize("offset", [0.0, 10.0])
def test_equals_torchmetrics_on_the_same_subset(offset):
    theirs = pytest.importorskip("torchmetrics.image.kid")
    one, other = features(300, 64, 1, offset), features(300, 64, 2, offset + 0.2)
    found, deviation = kid(one, other, seeded(), subsets=1, subset_size=300)
    assert found == pytest.approx(float(theirs.poly_mmd(one, other)), rel=1e-9)
    assert deviation == 0


def test_it_is_unbiased():
    """Over many pairs of sets of one distribution the mean is zero, which the biased estimate misses by far."""
    found = torch.tensor([float(discrepancy(features(20, 4, 2 * n), features(20, 4, 2 * n + 1))) for n in range(400)])
    biased = 2 * ((features(400, 4).square().sum(1) / 4 + 1) ** 3).mean() / 20
    assert abs(found.mean()) < 4 * found.std() / 20 < biased


def test_subsets_come_from_the_seed_alone():
    one, other = features(200, 8, 1), features(150, 8, 2, 0.5)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = kid(one, other, seeded(3), subsets=10, subset_size=50)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert kid(one, other, seeded(3), subsets=10, subset_size=50) == first
    assert kid(one, other, seeded(4), subsets=10, subset_size=50) != first
    assert first[1] > 0


@pytest.mark.parametrize("wrong", [{"subset_size": 51}, {"subset_size": 1}, {"subsets": 0}])
def test_impossible_subsets_are_refused(wrong):
    with pytest.raises(UsageError, match="subsets of"):
        kid(features(50, 3), features(60, 3), seeded(), **{"subset_size": 50, **wrong})
    with pytest.raises(UsageError, match="3 dimensions .*4"):
        kid(features(50, 3), features(60, 4), seeded(), subset_size=10)


# -- inception score ---------------------------------------------------------------------------------------------------


def certain(classes, count=10):
    return torch.nn.functional.one_hot(classes, count).double() * 1000


def test_from_one_to_the_number_of_classes():
    assert inception_score(torch.zeros(100, 10), 5) == pytest.approx((1, 0))
    assert inception_score(certain(torch.full((100,), 3)), 5) == pytest.approx((1, 0))
    assert inception_score(certain(torch.arange(100) % 10), 5) == pytest.approx((10, 0))
    assert inception_score(certain(torch.arange(100) % 2), 1)[0] == pytest.approx(2)


def test_splits_are_consecutive():
    logits = certain(torch.arange(100) // 50)
    assert inception_score(logits, 1)[0] == pytest.approx(2)
    assert inception_score(logits, 2)[0] == pytest.approx(1)
    mean, deviation = inception_score(certain(torch.cat([torch.arange(50) % 4, torch.zeros(50, dtype=torch.int64)])), 2)
    assert (mean, deviation) == pytest.approx((2.5, 1.5), rel=1e-2)


@pytest.mark.parametrize("splits", [1, 7, 10])
def test_equals_scipy(splits):
    stats = pytest.importorskip("scipy.stats")
    logits = features(500, 10, 1) * 3
    probabilities = logits.softmax(1).numpy()
    scores = []
    for number in range(splits):
        part = probabilities[500 * number // splits : 500 * (number + 1) // splits]
        scores.append(math.exp(sum(stats.entropy(row, part.mean(0)) for row in part) / len(part)))
    mean = sum(scores) / splits
    deviation = math.sqrt(sum((value - mean) ** 2 for value in scores) / splits)
    assert inception_score(logits, splits) == pytest.approx((mean, deviation), rel=1e-10, abs=1e-12)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_equals_torchmetrics():
    """Which shuffles with torch's own generator: one split leaves nothing to shuffle but the order of a sum."""
    inception = pytest.importorskip("torchmetrics.image.inception")
    logits = features(300, 10, 1) * 2
    metric = inception.InceptionScore(feature=Flat(), splits=1)
    metric.features.append(logits)
    metric._update_count = 1
    assert inception_score(logits, 1)[0] == pytest.approx(float(metric.compute()[0]), rel=1e-6)


class Flat(torch.nn.Module):
    def forward(self, images):
        return images.flatten(1)


def test_splits_need_images():
    with pytest.raises(UsageError, match="3 images cannot be cut into 10 splits"):
        inception_score(torch.zeros(3, 10))
