"""Sizes that repeated doubling or halving reaches, and the messages for others."""

import pytest

from ganzoo.networks import doublings, halvings


@pytest.mark.parametrize(
    "size, starts, least, expected",
    [
        (16, (4,), 1, (4, 2)),
        (64, (4,), 2, (4, 4)),
        (28, (7, 4), 1, (7, 2)),
        (32, (7, 4), 1, (4, 3)),
        (4, (4,), 0, (4, 0)),
    ],
)
def test_doublings(size, starts, least, expected):
    assert doublings(size, *starts, least=least) == expected


def test_a_size_that_doubling_misses_is_refused_with_those_that_it_reaches():
    with pytest.raises(ValueError, match=r"16, 32, 64, 128 \.\.\. pixels, not 8$"):
        doublings(8, 4, least=2)
    with pytest.raises(ValueError, match=r"14, 28, 56, 112 .*8, 16, 32, 64 .*48"):
        doublings(48, 7, 4)
    for size in (0, 1, 3, 20):
        with pytest.raises(ValueError, match=f"not {size}$"):
            doublings(size, 4)


def test_halvings():
    assert halvings(28) == [4, 7, 14, 28] and halvings(64) == [4, 8, 16, 32, 64]
    for size in (2, 4, 8, 40):
        with pytest.raises(ValueError, match=f"must end at 4 pixels .*, not {size}"):
            halvings(size)
