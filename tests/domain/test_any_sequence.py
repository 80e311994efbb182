"""Any sequence of commands, some refused, some expiring: the ledger folds anew after each one."""

from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from processor.domain.accounts import Account, Kind, State
from processor.domain.fees import BASIS, RefundPolicy
from processor.domain.merchants import Merchant
from processor.domain.payments import CaptureMethod, Payment
from processor.domain.refusals import Refused
from processor.domain.transfers import Transfer
from tests.domain.shop import Shop

Snapshot = tuple[dict[str, Account], dict[str, Payment], dict[str, Merchant], list[Transfer]]

index = st.integers(0, 1_000)
amounts = st.integers(1, 400)
percents = st.none() | st.integers(1, 110)
rarely = st.sampled_from([False, False, False, False, True])


class Commands(RuleBasedStateMachine):
    """Three wallets, two merchants with fees of either policy, and all that may be asked."""

    def __init__(self) -> None:
        super().__init__()
        self.shop = Shop(2_000)
        shop = self.shop
        self.wallets = [shop.payer_id, shop.open("bob").id, shop.open("eve", floor=-1_000).id]
        self.settlements = [shop.open("bar", Kind.MERCHANT_WALLET).id for _ in range(2)]
        self.merchants = [
            shop.create_merchant(
                policy, shop.terms(account_id, basis_points=1_234, fixed=3, policy=policy)
            ).id
            for account_id, policy in zip(self.settlements, RefundPolicy, strict=True)
        ]
        self.originals: list[tuple[str, int, int]] = []

    # Rules.

    @rule(
        wallet=index,
        merchant=index,
        amount=amounts,
        method=st.sampled_from(CaptureMethod),
        hold_seconds=st.sampled_from([60, 3_600]),
        late=rarely,
    )
    def authorize(
        self,
        wallet: int,
        merchant: int,
        amount: int,
        method: CaptureMethod,
        hold_seconds: int,
        late: bool,
    ) -> None:
        request_id = self.shop.request_id()
        if late:
            self._reverse(request_id, wallet, merchant)
        else:
            self.originals.append((request_id, wallet, merchant))
        self._ask(
            lambda: self.shop.authorize(
                amount,
                method,
                request_id=request_id,
                payer_id=self._wallet(wallet),
                merchant_id=self._merchant(merchant),
                hold_seconds=hold_seconds,
            )
        )

    @precondition(lambda self: self.shop.ledger.payments)
    @rule(which=index, percent=percents, final=rarely)
    def capture(self, which: int, percent: int | None, final: bool) -> None:
        payment = self._payment(which)
        amount = _part(payment.capturable, percent)
        self._ask(lambda: self.shop.capture(payment, amount, final=final))

    @precondition(lambda self: self.shop.ledger.payments)
    @rule(which=index)
    def void(self, which: int) -> None:
        self._ask(lambda: self.shop.void(self._payment(which)))

    @precondition(lambda self: self.shop.ledger.payments)
    @rule(which=index, percent=percents)
    def refund(self, which: int, percent: int | None) -> None:
        payment = self._payment(which)
        amount = _part(payment.refundable, percent)
        self._ask(lambda: self.shop.refund(payment, amount))

    @precondition(lambda self: self.originals)
    @rule(which=index)
    def reverse(self, which: int) -> None:
        self._reverse(*self.originals[which % len(self.originals)])

    @rule(source=index, destination=index, amount=amounts)
    def transfer(self, source: int, destination: int, amount: int) -> None:
        names = [*self.wallets, *self.settlements, "world", "fees"]
        self._ask(
            lambda: self.shop.transfer(
                names[source % len(names)], names[destination % len(names)], amount
            )
        )

    @rule(which=index)
    def freeze(self, which: int) -> None:
        """Freeze, or unfreeze what is frozen already."""
        account_id = self._wallet(which)
        frozen = self.shop.ledger.accounts[account_id].state == State.FROZEN
        self._ask(
            lambda: self.shop.change_state(account_id, State.OPEN if frozen else State.FROZEN)
        )

    @rule(which=index, basis_points=st.integers(0, BASIS), fixed=st.integers(0, 50))
    def change_terms(self, which: int, basis_points: int, fixed: int) -> None:
        terms = self.shop.terms(
            self.settlements[which % 2],
            basis_points=basis_points,
            fixed=fixed,
            policy=RefundPolicy.RETURN,
        )
        self._ask(lambda: self.shop.update_merchant(self._merchant(which), terms=(terms,)))

    @rule(seconds=st.integers(1, 1_800))
    def wait(self, seconds: int) -> None:
        self.shop.wait(seconds)

    @rule()
    def sweep(self) -> None:
        self.shop.ledger.sweep()

    # What always holds.

    @invariant()
    def the_ledger_folds(self) -> None:
        self.shop.ledger.check()

    # Help.

    def _ask(self, command: Callable[[], object]) -> None:
        """Ask, and see that a refusal changes nothing but holds that were due."""
        self.shop.ledger.sweep()
        before = self._snapshot()
        try:
            command()
        except Refused:
            assert self._snapshot() == before

    def _reverse(self, original: str, wallet: int, merchant: int) -> None:
        self._ask(
            lambda: self.shop.reverse(
                original, payer_id=self._wallet(wallet), merchant_id=self._merchant(merchant)
            )
        )

    def _snapshot(self) -> Snapshot:
        ledger = self.shop.ledger
        return (
            dict(ledger.accounts),
            dict(ledger.payments),
            dict(ledger.merchants),
            list(ledger.transfers),
        )

    def _wallet(self, which: int) -> str:
        return self.wallets[which % len(self.wallets)]

    def _merchant(self, which: int) -> str:
        return self.merchants[which % len(self.merchants)]

    def _payment(self, which: int) -> Payment:
        payments = list(self.shop.ledger.payments.values())
        return payments[which % len(payments)]


def _part(whole: int, percent: int | None) -> int | None:
    """Return a part of an amount, at least 1; None stays None."""
    return None if percent is None else max(1, whole * percent // 100)


TestAnySequence = Commands.TestCase
TestAnySequence.settings = settings(
    max_examples=200, stateful_step_count=50, suppress_health_check=[HealthCheck.too_slow]
)
