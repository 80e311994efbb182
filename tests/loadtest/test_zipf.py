"""Accounts are drawn by Zipf's law, within bounds, the same from the same seed."""

from collections import Counter

import pytest

from loadtest.zipf import Zipf

DRAWS = 100_000


def test_each_rank_comes_as_often_as_its_share() -> None:
    zipf = Zipf(count=100, exponent=1.0, seed=7)

    drawn = Counter(zipf.draw() for _ in range(DRAWS))

    for rank in (0, 1, 9, 99):
        expected = zipf.share(rank) * DRAWS
        assert drawn[rank] == pytest.approx(expected, abs=5 * expected**0.5)


def test_the_first_rank_is_twice_the_second_and_ten_times_the_tenth() -> None:
    zipf = Zipf(count=1_000, exponent=1.0, seed=7)

    assert zipf.share(0) == pytest.approx(2 * zipf.share(1))
    assert zipf.share(0) == pytest.approx(10 * zipf.share(9))
    assert sum(map(zipf.share, range(1_000))) == pytest.approx(1)


def test_an_exponent_of_zero_is_uniform() -> None:
    zipf = Zipf(count=4, exponent=0.0, seed=7)

    assert [zipf.share(rank) for rank in range(4)] == pytest.approx([0.25] * 4)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_all_ranks_are_drawn_and_none_beyond(count: int) -> None:
    zipf = Zipf(count, exponent=1.0, seed=7)

    assert {zipf.draw() for _ in range(1_000)} == set(range(count))


def test_the_same_seed_draws_the_same_accounts() -> None:
    def drawn(seed: int) -> list[int]:
        zipf = Zipf(count=1_000, exponent=1.0, seed=seed)
        return [zipf.draw() for _ in range(100)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


@pytest.mark.parametrize(("count", "exponent"), [(0, 1.0), (10, -0.1)])
def test_what_cannot_be_drawn_from_is_refused(count: int, exponent: float) -> None:
    with pytest.raises(ValueError, match="is"):
        Zipf(count, exponent, seed=1)
