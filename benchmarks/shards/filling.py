"""Fills several shards: payers straight into their ledgers, merchants through the gateway."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import tender
from benchmarks.load.world import CURRENCY, Home, Merchant, World
from benchmarks.shards import postgres
from benchmarks.system import LANE_SECONDS_MAX, Say, Steps, answers
from deploy.local import database, layout, seed
from deploy.local.folder import ShardEndpoints
from deploy.local.options import DEVELOPMENT_TENANT
from deploy.local.stack import Stack
from tender import accounts, merchants

IN_FLIGHT: Final = 32
CALL_SECONDS_MAX: Final = 30.0


def fill(stack: Stack, inhabited: Sequence[str], wanted: seed.Seed, say: Say) -> World:
    """Give some shards their part of the payers and merchants.

    Shards take their buckets when their lanes open for the first time, and so that comes before.
    """
    await_lanes(stack, stack.endpoints.gateway, time.monotonic())
    shards = [shard for shard in stack.endpoints.shards if shard.name in inhabited]
    payers = _fill_payers(stack, shards, wanted, say)
    await_lanes(stack, stack.endpoints.gateway, time.monotonic())
    shops = asyncio.run(_open_shops(stack, shards, wanted))
    return World(
        payers="".join(name for one in payers for name in one).encode(),
        payer_id_bytes=len(payers[0][0]),
        merchants=[shop for one in shops for shop in one],
        funds=wanted.funds,
        fee_basis_points=wanted.fee_basis_points,
        fee_fixed=wanted.fee_fixed,
        homes=[
            Home(shard.name, len(own), len(others))
            for shard, own, others in zip(shards, payers, shops, strict=True)
        ],
    )


def await_lanes(stack: Stack, gateway: str, since: float) -> None:
    """Wait until every shard's lane says no by itself, asked through a gateway."""
    homes = stack.options.layout().first_map()
    with tender.SyncClient(gateway, _key(stack)) as client:
        for shard in stack.endpoints.shards:
            bucket = next(one.first_bucket for one in homes.ranges if one.shard == shard.name)
            payment_id = f"pay_{shard.region}_{'0' * 20}{layout.bucket_name(bucket)}"
            while not answers(client, payment_id, since + LANE_SECONDS_MAX):
                time.sleep(0.1)


def _key(stack: Stack) -> str:
    return stack.endpoints.api_key_file.read_text().strip()


def _share(whole: int, shards: int) -> int:
    return max(1, whole // shards)


def _owns(stack: Stack, shard: ShardEndpoints) -> seed.Owns:
    homes = stack.options.layout().first_map()
    return lambda bucket: homes.shard_of(shard.region, bucket) == shard.name


def _fill_payers(
    stack: Stack,
    shards: Sequence[ShardEndpoints],
    wanted: seed.Seed,
    say: Say,
) -> list[list[str]]:
    """Fill the ledgers while no processor owns a lane; return the payers of each shard."""
    names = stack.options.processor_names()
    for name in names:
        stack.stop_one(name)
    found = []
    for shard in shards:
        payers = _share(wanted.payers, len(shards))
        seeded = database.run_async(
            seed.fill(
                _near(stack, shard),
                seed.Seed(payers=payers, merchants=0, funds=wanted.funds),
                region=shard.region,
                shard=shard.name,
                tenant_id=stack.options.tenant or DEVELOPMENT_TENANT,
                owns=_owns(stack, shard),
                progress=Steps(say, step=0.5),
            )
        )
        found.append(seeded.payers)
        database.run_async(postgres.fetch(shard.owner_url, "VACUUM (ANALYZE)"))
    for name in names:
        stack.start_one(name)
    return found


def _near(stack: Stack, shard: ShardEndpoints) -> str:
    socket_folder = stack.endpoints.postgres_socket_folder
    assert socket_folder is not None
    return database.socket_url(shard.processor_url, str(socket_folder))


async def _open_shops(
    stack: Stack, shards: Sequence[ShardEndpoints], wanted: seed.Seed
) -> list[list[Merchant]]:
    """Open the merchants of each shard through the gateway, so that every lane gets to know all."""
    count = _share(wanted.merchants, len(shards))
    gate = asyncio.Semaphore(IN_FLIGHT)
    async with tender.Client(
        stack.endpoints.gateway, _key(stack), timeout=CALL_SECONDS_MAX
    ) as client:
        found = []
        for shard in shards:
            owns = _owns(stack, shard)
            names = seed.names("shop", shard.region, owns)
            made = [_bounded(gate, _open_shop, client, next(names), wanted) for _ in range(count)]
            found.append(list(await asyncio.gather(*made)))
    await postgres.rest(stack.endpoints, CALL_SECONDS_MAX)
    return found


async def _bounded(
    gate: asyncio.Semaphore, work: Callable[..., Awaitable[Merchant]], *arguments: Any
) -> Merchant:
    async with gate:
        return await work(*arguments)


async def _open_shop(client: tender.Client, name: str, wanted: seed.Seed) -> Merchant:
    wallet = await client.invoke(
        accounts.create(
            user_id=name, currency_code=CURRENCY, kind=tender.Account.KIND_MERCHANT_WALLET
        )
    )
    account_id = wallet.account.id
    await client.invoke(
        accounts.transfer(
            source_account_id="world",
            destination_account_id=account_id,
            amount=tender.money(CURRENCY, wanted.funds),
        )
    )
    terms = tender.SettlementTerms(
        currency_code=CURRENCY,
        account_id=account_id,
        fee_schedule=tender.FeeSchedule(
            basis_points=wanted.fee_basis_points, fixed_minor_units=wanted.fee_fixed
        ),
    )
    made = await client.invoke(
        merchants.create(reference=name, display_name=name, settlement_terms=[terms])
    )
    return Merchant(made.merchant.id, account_id)
