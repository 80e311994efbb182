"""How old a copy of a shard is, from what is known of its primary."""

from storage.postgres.heads import KNOWN_MAX, Heads


def test_a_copy_is_as_old_as_the_last_moment_at_which_it_was_all_there_was() -> None:
    heads = Heads()
    heads.note(5, 10.0)
    heads.note(5, 11.0)
    heads.note(8, 12.0)

    assert heads.staleness(8, 12.5) == 0.5
    assert heads.staleness(7, 12.5) == 1.5
    assert heads.staleness(9, 12.5) == 0.5


def test_nothing_is_said_of_a_copy_that_is_older_than_all_that_is_known() -> None:
    heads = Heads()

    assert heads.staleness(5, 1.0) is None
    heads.note(6, 1.0)
    assert heads.staleness(5, 1.0) is None


def test_while_the_primary_is_away_copies_grow_old() -> None:
    heads = Heads()
    heads.note(5, 10.0)

    assert heads.staleness(5, 70.0) == 60.0


def test_a_history_that_goes_back_ends_what_was_known_of_the_one_before() -> None:
    heads = Heads()
    heads.note(5, 10.0)
    heads.note(9, 11.0)
    heads.note(7, 12.0)

    assert heads.staleness(5, 12.0) is None
    assert heads.staleness(7, 12.0) == 0.0


def test_what_is_remembered_is_bounded() -> None:
    heads = Heads()
    for seq in range(KNOWN_MAX + 10):
        heads.note(seq, float(seq))

    assert heads.staleness(9, 2_000.0) is None
    assert heads.staleness(10, 2_000.0) == 1_990.0
