"""What a classifier sees: modes, shares, and codes that predict classes."""

import itertools
import math

import pytest
import torch

from ganzoo.errors import UsageError
from ganzoo.metrics import named
from ganzoo.metrics.classes import (
    best_pairing,
    class_histogram,
    code_agreement,
    divergence,
    modes_present,
    normalized_information,
)


def counts(*numbers):
    return torch.tensor(numbers)


def table(rows, columns, seed):
    return torch.randint(0, 50, (rows, columns), generator=torch.Generator().manual_seed(seed))


def gain(table, pairing):
    return sum(int(table[row, column]) for row, column in enumerate(pairing) if column >= 0)


def test_a_number_carries_its_extractor():
    assert named("frechet", "fashion-cnn") == "frechet[fashion-cnn]"


def test_histogram():
    logits = torch.tensor([[0.0, 1, 2, -1], [5, 1, 2, 0], [0, 0, 1, 0]])
    assert class_histogram(logits).tolist() == [1, 0, 2, 0]
    with pytest.raises(UsageError, match=r"\(N, K\)"):
        class_histogram(torch.zeros(3))


def test_modes():
    real = counts(100, 100, 100, 100, 0)
    assert modes_present(counts(1, 0, 500, 30, 9), real) == 3
    assert modes_present(counts(1, 0, 500, 30, 9), real, share=0.1) == 2
    assert modes_present(counts(10, 0, 190, 0, 0), real, share=0.2) == 2
    assert modes_present(counts(9, 0, 191, 0, 0), real, share=0.2) == 1
    assert modes_present(real * 3, real, share=1.0) == 4


def test_divergence_by_hand():
    assert divergence(counts(1, 1), counts(30, 10)) == pytest.approx(0.5 * math.log(2 / 3) + 0.5 * math.log(2))
    assert divergence(counts(4, 0), counts(5, 5)) == pytest.approx(math.log(2))
    assert divergence(counts(7, 14), counts(1, 2)) == 0
    assert divergence(counts(1, 1), counts(1, 0)) == math.inf


def test_divergence_equals_scipy():
    stats = pytest.importorskip("scipy.stats")
    fake, real = table(1, 10, 1)[0] + 1, table(1, 10, 2)[0] + 1
    assert divergence(fake, real) == pytest.approx(stats.entropy(fake.numpy(), real.numpy()), rel=1e-12)


@pytest.mark.parametrize(
    "wrong", [(counts(1, 2), counts(1, 2, 3)), (counts(0, 0), counts(1, 2)), (counts(1, 2), counts(0, 0))]
)
def test_histograms_must_fit(wrong):
    for function in (divergence, modes_present):
        with pytest.raises(UsageError, match="Two histograms"):
            function(*wrong)


# -- codes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 3), (6, 6), (3, 6), (6, 3)])
def test_the_best_pairing_of_all(rows, columns):
    for seed in range(20):
        numbers, side = table(rows, columns, seed) // 10, max(rows, columns)
        square = torch.zeros(side, side, dtype=torch.int64)
        square[:rows, :columns] = numbers
        pairing = best_pairing(numbers)
        used = [column for column in pairing if column >= 0]
        assert len(pairing) == rows and len(used) == len(set(used)) == min(rows, columns)
        assert gain(numbers, pairing) == max(gain(square, order) for order in itertools.permutations(range(side)))


@pytest.mark.parametrize(("rows", "columns"), [(10, 10), (30, 30), (20, 10), (10, 25)])
def test_the_pairing_is_as_good_as_that_of_scipy(rows, columns):
    optimize = pytest.importorskip("scipy.optimize")
    for seed in range(5):
        numbers = table(rows, columns, seed)
        found = optimize.linear_sum_assignment(numbers.numpy(), maximize=True)
        assert gain(numbers, best_pairing(numbers)) == int(numbers.numpy()[found].sum())


def test_a_code_that_is_the_class_under_other_names():
    classes = torch.arange(1000) % 10
    found = code_agreement((classes * 3 + 1) % 10, classes, 10, 10)
    assert found.accuracy == 1 and found.information == pytest.approx(1)
    assert [(number * 3 + 1) % 10 for number in found.pairing] != found.pairing
    assert all(found.pairing[(number * 3 + 1) % 10] == number for number in range(10))


def test_a_code_that_says_nothing():
    codes, classes = torch.arange(1000) % 10, torch.arange(1000) // 100
    found = code_agreement(codes, classes, 10, 10)
    assert found.accuracy == pytest.approx(0.1) and found.information == pytest.approx(0, abs=1e-12)
    constant = code_agreement(torch.zeros(5, dtype=torch.int64), torch.zeros(5, dtype=torch.int64), 3, 2)
    assert constant.accuracy == 1 and constant.information == 0


def test_half_a_code():
    """Two classes share each value of the code: half of the images are right, and H(code) = 1 bit tells 1 of 2 bits."""
    classes = torch.arange(400) % 4
    found = code_agreement(classes // 2, classes, 2, 4)
    assert found.accuracy == 0.5 and found.information == pytest.approx(2 / 3)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_information_equals_torchmetrics():
    clustering = pytest.importorskip("torchmetrics.functional.clustering")
    random = torch.Generator().manual_seed(0)
    classes = torch.randint(0, 10, (2000,), generator=random)
    codes = torch.where(
        torch.rand(2000, generator=random) < 0.5, classes, torch.randint(0, 10, (2000,), generator=random)
    )
    wanted = clustering.normalized_mutual_info_score(codes, classes, "arithmetic")
    assert code_agreement(codes, classes, 10, 10).information == pytest.approx(float(wanted), rel=1e-5)  # float32 there
    assert normalized_information(torch.diag(counts(1, 2, 3))) == pytest.approx(1)


@pytest.mark.parametrize("codes", [[0, 1], [0, 3, 1], [-1, 0, 0]])
def test_codes_must_fit(codes):
    with pytest.raises(UsageError):
        code_agreement(torch.tensor(codes), torch.tensor([0, 1, 1]), 3, 2)
