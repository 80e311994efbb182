"""Any sequence on three shards, with legs carried late, again and in any order between pairs."""

from collections.abc import Callable
from functools import partial

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from processor.domain.accounts import Kind, State
from processor.domain.fees import RefundPolicy
from processor.domain.payments import CaptureMethod, Payment
from processor.domain.refusals import Refused
from tests.domain.street import Street

SHARDS = ("s1", "s2", "s3")
FUNDS = 2_000

shards = st.sampled_from(SHARDS)
index = st.integers(0, 1_000)
amounts = st.integers(1, 400)
percents = st.none() | st.integers(1, 110)


class BetweenShards(RuleBasedStateMachine):
    """Payers on each shard pay merchants on every shard."""

    def __init__(self) -> None:
        super().__init__()
        self.street = Street(3, FUNDS, basis_points=1_234, fixed=3, policy=RefundPolicy.RETURN)
        self.originals: list[tuple[str, str, str]] = []

    @rule(source=shards, to=shards, amount=amounts, method=st.sampled_from(CaptureMethod))
    def authorize(self, source: str, to: str, amount: int, method: CaptureMethod) -> None:
        shop, merchant_id = self.street[source], self.street[to].merchant_id
        request_id = shop.request_id()
        self.originals.append((source, request_id, merchant_id))
        self._ask(
            lambda: shop.authorize(
                amount, method, request_id=request_id, merchant_id=merchant_id, hold_seconds=60
            )
        )

    @rule(source=shards, which=index, percent=percents)
    def capture(self, source: str, which: int, percent: int | None) -> None:
        for payment in self._payment(source, which):
            amount = _part(payment.capturable, percent)
            self._ask(partial(self.street[source].capture, payment, amount))

    @rule(source=shards, which=index, percent=percents)
    def refund(self, source: str, which: int, percent: int | None) -> None:
        for payment in self._payment(source, which):
            amount = _part(payment.refundable, percent)
            self._ask(partial(self.street[source].refund, payment, amount))

    @precondition(lambda self: self.originals)
    @rule(which=index)
    def reverse(self, which: int) -> None:
        source, request_id, merchant_id = self.originals[which % len(self.originals)]
        self._ask(lambda: self.street[source].reverse(request_id, merchant_id=merchant_id))

    @rule(source=shards, to=shards, amount=amounts, merchant=st.booleans())
    def transfer(self, source: str, to: str, amount: int, merchant: bool) -> None:
        there = self.street[to]
        payee = there.settlement_id if merchant else there.payer_id
        self._ask(lambda: self.street[source].transfer(self.street[source].payer_id, payee, amount))

    @rule(shard=shards, amount=amounts)
    def spend(self, shard: str, amount: int) -> None:
        shop = self.street[shard]
        self._ask(lambda: shop.transfer(shop.settlement_id, "world", amount))

    @rule(
        shard=shards,
        whose=st.sampled_from(["payer", "settlement", "fees"]),
        state=st.sampled_from([State.FROZEN, State.OPEN]),
    )
    def change_state(self, shard: str, whose: str, state: str) -> None:
        shop = self.street[shard]
        names = {"payer": shop.payer_id, "settlement": shop.settlement_id}
        account_id = names.get(whose) or shop.own_id(Kind.FEES)
        self._ask(lambda: shop.change_state(account_id, state))

    @rule(shard=shards, seconds=st.sampled_from([1, 70]))
    def wait(self, shard: str, seconds: int) -> None:
        self.street[shard].wait(seconds)

    @rule(source=shards, to=shards)
    def carry(self, source: str, to: str) -> None:
        if source != to:
            self.street.carry(source, to)

    @rule(source=shards, to=shards, which=index)
    def carry_again_or_too_early(self, source: str, to: str, which: int) -> None:
        legs = self.street[source].ledger.legs[to]
        if not legs:
            return
        self.street[to].ledger.sweep()  # What is due expires before anything is looked at.
        before = self._states(to)
        leg = legs[which % len(legs)]
        if leg not in self.street.waiting(source, to)[:1]:
            self.street[to].ledger.take(leg)
            assert self._states(to) == before

    @invariant()
    def nothing_is_made_or_lost(self) -> None:
        self.street.check()

    def teardown(self) -> None:
        """At rest every pair cancels, every refund is done and all money is where it was."""
        self.street.carry_all()
        for shop in self.street.shops.values():
            for payment in shop.ledger.payments.values():
                assert payment.refund_pending == 0
        total = sum(
            account.posted
            for shop in self.street.shops.values()
            for account in shop.ledger.accounts.values()
            if account.kind != Kind.CLEARING
        )
        assert total == 0

    def _ask(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Refused:
            return

    def _payment(self, shard: str, which: int) -> list[Payment]:
        payments = list(self.street[shard].ledger.payments.values())
        return [payments[which % len(payments)]] if payments else []

    def _states(self, shard: str) -> tuple[object, ...]:
        ledger = self.street[shard].ledger
        return dict(ledger.accounts), dict(ledger.payments), list(ledger.refunds)


def _part(whole: int, percent: int | None) -> int | None:
    return None if percent is None else max(1, whole * percent // 100)


TestBetweenShards = BetweenShards.TestCase
TestBetweenShards.settings = settings(
    max_examples=300, stateful_step_count=60, suppress_health_check=[HealthCheck.too_slow]
)
