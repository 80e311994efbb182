"""Which buckets a shard owns: what its database says counts, above any map."""

import pytest

from processor.domain import commands, ids, ownership, refusals
from processor.domain.ownership import FROZEN, MOVED, NAMES, OWNED, BucketRange, Buckets
from processor.domain.place import Place
from tests.domain.shop import SERVICE

BODY = "00000000000000000000"
HOMES = {f"eu/{name}": "s1" if number < 512 else "s2" for number, name in enumerate(NAMES)}
HERE, THERE = NAMES[1], NAMES[600]


def place(shard: str = "s1") -> Place:
    return Place("eu", shard, HOMES, 3)


def test_a_new_shard_has_what_the_map_gives_it() -> None:
    found = ownership.as_mapped(place("s2"))

    assert found == Buckets("eu", 1, (BucketRange(512, 1023, OWNED, ""),))


def test_a_new_shard_that_the_map_does_not_name_has_nothing() -> None:
    assert ownership.as_mapped(place("s3")).ranges == ()


def test_a_shard_alone_has_everything_and_its_place_names_no_homes() -> None:
    everything = ownership.everything("eu")

    assert ownership.as_mapped(Place("eu", "s1")) == everything
    assert everything.has_all
    assert ownership.owned_place(Place("eu", "s1"), everything).homes is None


def test_what_a_shard_owns_is_here_whatever_the_map_says() -> None:
    owned = ownership.everything("eu")

    homes = ownership.owned_place(place(), owned).homes

    assert homes is not None
    assert set(homes.values()) == {"s1"}


def test_what_a_shard_does_not_own_is_not_here_whatever_the_map_says() -> None:
    nothing = Buckets("eu", 1, ())

    homes = ownership.owned_place(place(), nothing).homes

    assert homes is not None
    assert homes[f"eu/{HERE}"] == ownership.NOWHERE
    assert homes[f"eu/{THERE}"] == "s2"


def test_buckets_that_moved_are_where_they_went_until_the_map_knows_better() -> None:
    moved = ownership.as_mapped(place()).with_state(0, 9, MOVED, "s2")

    homes = ownership.owned_place(place(), moved).homes
    newer = {**HOMES, f"eu/{HERE}": "s3"}
    later = ownership.owned_place(place()._replace(homes=newer), moved).homes

    assert homes is not None
    assert later is not None
    assert [homes[f"eu/{name}"] for name in (NAMES[9], NAMES[10])] == ["s2", "s1"]
    assert later[f"eu/{HERE}"] == "s3"


def test_nobody_decides_on_frozen_buckets() -> None:
    frozen = ownership.as_mapped(place()).with_state(1, 1, FROZEN)

    homes = ownership.owned_place(place(), frozen).homes

    assert homes is not None
    assert homes[f"eu/{HERE}"] == ownership.NOWHERE


def test_each_change_is_the_next_version_and_keeps_all_other_buckets() -> None:
    first = ownership.as_mapped(place())

    second = first.with_state(100, 101, FROZEN)
    third = second.with_state(100, 101, OWNED)

    assert second == Buckets(
        "eu",
        2,
        (
            BucketRange(0, 99, OWNED, ""),
            BucketRange(100, 101, FROZEN, ""),
            BucketRange(102, 511, OWNED, ""),
        ),
    )
    assert third == first._replace(version=3)
    assert [second.state_of(bucket) for bucket in (99, 100, 511, 512)] == [OWNED, FROZEN, OWNED, ""]


def transfer(source: str, destination: str) -> commands.CreateTransfer:
    return commands.CreateTransfer(SERVICE, "r", source, destination, 1, "EUR", "")


@pytest.mark.parametrize(
    ("command", "home"),
    [
        (commands.Void(SERVICE, "r", f"pay_eu_{BODY}{THERE}"), f"eu/{THERE}"),
        (commands.ChangeAccountState(SERVICE, "r", f"acc_eu_{BODY}{THERE}", "OPEN"), f"eu/{THERE}"),
        (transfer(f"acc_eu_{BODY}{THERE}", f"acc_eu_{BODY}{HERE}"), f"eu/{THERE}"),
        (transfer("world", f"acc_eu_{BODY}{THERE}"), f"eu/{THERE}"),
        (transfer("world", "fees"), f"eu/{ids.bucket_of_owner('eu', '')}"),
        (
            commands.OpenAccount(SERVICE, "r", "ada", "CONSUMER_WALLET", "EUR", 0),
            f"eu/{ids.bucket_of_owner('eu', 'ada')}",
        ),
        (
            commands.CreateMerchant(SERVICE, "r", "shop", "Shop", ()),
            f"eu/{ids.bucket_of_owner('eu', 'shop')}",
        ),
    ],
)
def test_a_command_belongs_to_the_bucket_by_which_gateways_route_it(
    command: commands.CallerCommand, home: str
) -> None:
    assert ownership.home_of(command, place()) == home
    assert ownership.is_elsewhere(command, place()) == (HOMES[home] != "s1")


def test_a_refusal_says_where_the_bucket_is_believed_to_be() -> None:
    command = commands.Void(SERVICE, "r", f"pay_eu_{BODY}{THERE}")

    refused = ownership.elsewhere(command, place())

    assert refused.metadata == {"bucket": f"eu/{THERE}", "shard": "s2", "map_version": "3"}


def test_a_shard_s_own_account_and_an_unknown_region_are_left_to_the_rules() -> None:
    for identifier in ("sys_eu_s1_acme_fees_EUR", f"acc_mars_{BODY}{HERE}"):
        command = commands.ChangeAccountState(SERVICE, "r", identifier, "OPEN")

        assert not ownership.is_elsewhere(command, place())


def test_money_for_a_bucket_that_nobody_decides_on_has_to_wait() -> None:
    frozen = ownership.as_mapped(place()).with_state(1, 1, FROZEN)
    seen = ownership.owned_place(place(), frozen)

    with pytest.raises(refusals.BucketElsewhere):
        seen.peer_of(f"acc_eu_{BODY}{HERE}")
    assert seen.peers() == ["s2"]
