"""Moments and the Fréchet distance against scipy, torchmetrics, forty digits and what can be computed by hand."""

import math

import pytest
import torch

from ganzoo.errors import CheckpointError, DataError, UsageError
from ganzoo.metrics import frechet, moments
from ganzoo.metrics.frechet import frechet_distance
from ganzoo.metrics.moments import Moments


def normal(count, dimensions, seed=0, offset=0.0, scale=1.0):
    random = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dimensions, dimensions, generator=random, dtype=torch.float64) / dimensions**0.5
    return torch.randn(count, dimensions, generator=random, dtype=torch.float64) @ mixing * scale + offset


def relative(found, wanted):
    return abs(found - wanted) / abs(wanted)


# -- moments -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("sizes", [[1000], [1, 999], [500, 500], [3] * 333 + [1], [0, 700, 0, 300]])
def test_any_split_gives_the_moments_of_the_whole(sizes, offset):
    features = normal(1000, 8, offset=offset)
    whole, split = Moments(8), Moments(8)
    centred = features - features.mean(0)
    for part in features.split(sizes):
        split.update(part)
    assert split.count == 1000
    assert torch.allclose(split.mean, features.mean(0), rtol=1e-13, atol=1e-12)
    assert torch.allclose(split.covariance, centred.T @ centred / 999, rtol=1e-9, atol=1e-9)
    assert torch.allclose(whole.update(features).covariance, split.covariance, rtol=1e-9, atol=1e-9)


def test_merged_moments_are_those_of_one_process():
    features = normal(900, 16, offset=1e4)
    one, other, empty = Moments.of(features[:200]), Moments.of(features[200:]), Moments(16)
    merged = empty.merge(one).merge(Moments(16)).merge(other)
    assert merged.count == 900
    assert torch.allclose(merged.covariance, Moments.of(features).covariance, rtol=1e-10, atol=1e-12)
    assert one.count == 200 and torch.equal(one.m2, Moments.of(features[:200]).m2)


def test_only_half_of_a_symmetric_product_is_computed_and_it_is_the_whole(monkeypatch):
    features = normal(90, 23)
    monkeypatch.setattr(moments, "BLOCK", 10)
    found = Moments.of(features[:50]).update(features[50:]).m2
    centred = features - features.mean(0)
    assert torch.allclose(found, centred.T @ centred, rtol=1e-10, atol=1e-10)


def test_covariance_by_hand():
    moments = Moments.of(torch.tensor([[0.0, 0.0], [2.0, 4.0]]))
    assert torch.equal(moments.mean, torch.tensor([1.0, 2.0], dtype=torch.float64))
    assert torch.equal(moments.covariance, torch.tensor([[2.0, 4.0], [4.0, 8.0]], dtype=torch.float64))


def test_moments_pass_through_plain_tensors():
    moments = Moments.of(normal(50, 4))
    again = Moments.from_tensors(moments.tensors())
    assert (again.count, again.dimensions) == (50, 4)
    assert torch.equal(again.mean, moments.mean) and torch.equal(again.m2, moments.m2)
    again.update(normal(5, 4))
    assert moments.count == 50 and not torch.equal(again.m2, moments.m2)


@pytest.mark.parametrize(
    "change",
    [
        {"mean": torch.zeros(3).double()},
        {"count": torch.tensor(1.5)},
        {"m2": torch.zeros(4, 4)},
        {"mean": torch.tensor(1.0)},
    ],
)
def test_other_tensors_are_no_moments(change):
    with pytest.raises(CheckpointError, match="are not moments"):
        Moments.from_tensors({**Moments.of(normal(50, 4)).tensors(), **change})
    with pytest.raises(CheckpointError, match="are not moments"):
        Moments.from_tensors({})


def test_what_is_not_finite_is_refused():
    with pytest.raises(DataError, match="not finite"):
        Moments(2).update(torch.tensor([[1.0, math.nan]]))


def test_shapes_are_checked():
    with pytest.raises(UsageError, match="of 3 dimensions cannot join features of 2"):
        Moments(2).update(torch.zeros(4, 3))
    with pytest.raises(UsageError, match="of 3 dimensions cannot join features of 2"):
        Moments(2).merge(Moments(3))
    with pytest.raises(UsageError, match=r"shape \(N, D\)"):
        Moments(2).update(torch.zeros(4))
    with pytest.raises(UsageError, match="at least 2 images"):
        Moments.of(torch.zeros(1, 2)).covariance.sum()


# -- distance ----------------------------------------------------------------------------------------------------------


def test_one_dimension_by_hand():
    """Between N(m, s²) and N(n, t²) it is (m - n)² + (s - t)²."""
    one, other = torch.tensor([[-1.0], [1.0]]), torch.tensor([[2.0], [8.0]])
    assert frechet_distance(one, other) == pytest.approx(5**2 + (2**0.5 - 18**0.5) ** 2, rel=1e-14)


def test_commuting_covariances_by_hand():
    signs = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64)
    one, other = signs * torch.tensor([1.0, 2.0]), signs * torch.tensor([3.0, 0.0]) + torch.tensor([0.0, 7.0])
    assert frechet_distance(one, other) == pytest.approx(49 + (4 / 3) * (2**2 + 2**2), rel=1e-13)


@pytest.mark.parametrize(("count", "dimensions"), [(400, 8), (2000, 64), (300, 200)])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_equals_scipy(count, dimensions, offset):
    linalg = pytest.importorskip("scipy.linalg")
    one, other = (
        Moments.of(normal(count, dimensions, 1, offset)),
        Moments.of(normal(count, dimensions, 2, offset + 0.1, 1.3)),
    )
    root = linalg.sqrtm((one.covariance @ other.covariance).numpy()).real.trace()
    wanted = (
        float((one.mean - other.mean).square().sum() + one.covariance.trace() + other.covariance.trace()) - 2 * root
    )
    assert relative(frechet_distance(one, other), wanted) < 1e-6


def test_equals_torchmetrics():
    fid = pytest.importorskip("torchmetrics.image.fid")
    one, other = Moments.of(normal(3000, 64, 1)), Moments.of(normal(3000, 64, 2, 0.2))
    wanted = fid._compute_fid(one.mean, one.covariance, other.mean, other.covariance)
    assert relative(frechet_distance(one, other), float(wanted)) < 1e-10


def exact_distance(one, other):
    """With forty digits, where the square roots of eigenvalues that ought to be zero do no harm."""
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(40):
        matrices, means = [], []
        for features in (one, other):
            rows = mpmath.matrix(features.tolist())
            mean = [mpmath.fsum(rows[i, j] for i in range(rows.rows)) / rows.rows for j in range(rows.cols)]
            centred = mpmath.matrix(rows.rows, rows.cols)
            for i in range(rows.rows):
                for j in range(rows.cols):
                    centred[i, j] = rows[i, j] - mean[j]
            matrices.append(centred / mpmath.sqrt(rows.rows - 1))
            means.append(mean)
        product = matrices[0] * matrices[1].T
        squares = mpmath.eigsy(
            product * product.T if product.rows <= product.cols else product.T * product, eigvals_only=True
        )
        shared = mpmath.fsum(mpmath.sqrt(max(value, 0)) for value in squares)
        traces = mpmath.fsum(entry**2 for matrix in matrices for entry in matrix)
        shift = mpmath.fsum((a - b) ** 2 for a, b in zip(*means, strict=True))
        return float(shift + traces - 2 * shared)


ILL = {
    "fewer images than dimensions": lambda: (normal(10, 16, 1), normal(12, 16, 2)),
    "one side has fewer": lambda: (normal(10, 16, 1), normal(40, 16, 2)),
    "as many": lambda: (normal(16, 16, 1), normal(17, 16, 2)),
    "dead units": lambda: (normal(40, 12, 1) * (torch.arange(12) > 4), normal(40, 12, 2) * (torch.arange(12) > 2)),
    "dead on one side": lambda: (normal(40, 12, 1) * (torch.arange(12) > 4), normal(40, 12, 2)),
    "scales from 1 to 1e-6": lambda: (
        normal(40, 12, 1) * torch.logspace(0, -6, 12),
        normal(40, 12, 2) * torch.logspace(0, -6, 12),
    ),
    "a mean of 1e5": lambda: (normal(40, 8, 1, 1e5), normal(40, 8, 2, 1e5)),
    "one point drawn": lambda: (normal(40, 8, 1), torch.ones(20, 8, dtype=torch.float64)),
    "duplicated features": lambda: (normal(40, 6, 1).repeat(1, 2), normal(40, 6, 2).repeat(1, 2)),
    "duplicated features of few images": lambda: (normal(7, 6, 1).repeat(1, 2), normal(9, 6, 2).repeat(1, 2)),
    "a distance near zero": lambda: (normal(40, 8, 1), normal(40, 8, 1) + 1e-4),
    "nearly the same": lambda: (normal(40, 8, 1), normal(40, 8, 1) * 1.001),
}


@pytest.mark.parametrize("case", ILL)
@pytest.mark.parametrize("streamed", [False, True])
def test_ill_conditioned(case, streamed):
    one, other = ILL[case]()
    found = frechet_distance(*((Moments.of(one), Moments.of(other)) if streamed else (one, other)))
    assert relative(found, exact_distance(one, other)) < 1e-6


@pytest.mark.parametrize("case", ILL)
def test_processes_that_share_the_images_find_the_same_distance(case):
    """Each of three gathers what it sees; what they wrote is merged in another order than the images had."""
    one, other = ILL[case]()

    def gathered(features, order):
        written = [Moments(features.shape[1]).update(features[rank::3]).tensors() for rank in range(3)]
        merged = Moments(features.shape[1])
        for rank in order:
            merged.merge(Moments.from_tensors(written[rank]))
        return merged

    found = frechet_distance(gathered(one, (2, 0, 1)), gathered(other, (1, 2, 0)))
    assert relative(found, frechet_distance(one, other)) < 1e-6


def test_zeros_of_a_triangle_are_not_multiplied_and_the_product_is_the_same(monkeypatch):
    one, other = normal(400, 37, 1), normal(400, 37, 2, 0.1)
    wanted = frechet_distance(one, other)
    monkeypatch.setattr(frechet, "BLOCK", 10)
    symmetric, lower = Moments.of(one).covariance, torch.linalg.cholesky(Moments.of(other).covariance)
    assert torch.allclose(
        frechet._congruent(symmetric, lower).tril(), (lower.T @ symmetric @ lower).tril(), rtol=1e-12, atol=1e-12
    )
    assert relative(frechet_distance(one, other), wanted) < 1e-12


@pytest.mark.parametrize("least", [1.0, 1e-4, 1e-9, 1e-12])
def test_the_least_eigenvalue_is_found(least):
    scales = torch.logspace(0, math.log10(least), 60, dtype=torch.float64)
    basis = torch.linalg.qr(normal(60, 60)).Q
    lower = torch.linalg.cholesky(basis * scales @ basis.T)
    assert least * (1 - 1e-2) < frechet._least_eigenvalue(lower) < 2 * least


def test_the_low_rank_path_is_the_same_number():
    one, other = normal(60, 200, 1), normal(50, 200, 2, 0.1)
    wanted = frechet_distance(Moments.of(one), Moments.of(other))
    assert relative(frechet_distance(one, other), wanted) < 1e-12
    assert relative(frechet_distance(Moments.of(one), other), wanted) < 1e-12


@pytest.mark.parametrize("spread", [0, -2, -5])
def test_the_quick_ways_are_taken_only_where_they_are_exact(spread, monkeypatch):
    scales = torch.logspace(0, spread, 48, dtype=torch.float64)
    one, other = Moments.of(normal(400, 48, 1) * scales), Moments.of(normal(400, 48, 2) * scales)
    quick = frechet_distance(one, other)
    monkeypatch.setattr(frechet, "TOLERANCE", -1.0)
    monkeypatch.setattr(frechet, "LEAST", 1.0)
    assert relative(quick, frechet_distance(one, other)) < 1e-9


def test_a_set_has_no_distance_to_itself_and_both_ways_are_as_long():
    one, other = normal(500, 32, 1), normal(400, 32, 2)
    assert frechet_distance(one, one) < 1e-12
    assert frechet_distance(one[:20], one[:20]) < 1e-12
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one), rel=1e-12)


def test_dimensions_must_agree():
    with pytest.raises(UsageError, match="3 dimensions .*4"):
        frechet_distance(normal(9, 3), normal(9, 4))
    with pytest.raises(UsageError, match="at least 2 images"):
        frechet_distance(normal(1, 3), normal(9, 3))
