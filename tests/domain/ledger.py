"""A ledger in memory that decides commands as a lane does, and doubts everything they do.

It knows only what `needs.missing` named: a decision that looks at anything else fails the test. It
decides everything twice, and after every decision it folds all balances, holds and payments anew.
"""

from collections import defaultdict
from collections.abc import Sequence

from processor.domain import commands, ids, needs
from processor.domain.accounts import LIMIT, Account, Kind
from processor.domain.context import Context
from processor.domain.decide import Answer, Decision, check_access, decide, expire, receive
from processor.domain.draft import Changes, Draft, Event
from processor.domain.ids import Mint
from processor.domain.legs import Kind as LegKind
from processor.domain.legs import Leg, Received
from processor.domain.merchants import Merchant
from processor.domain.ownership import elsewhere, is_elsewhere
from processor.domain.payments import HOLDING, NEXT, Payment, Refund, RefundState, State
from processor.domain.transfers import Reason, Transfer
from processor.domain.view import AUTHORIZE, TOMBSTONE, Item, Key, Position

REGION, SHARD = "eu", "s1"
PLACE = needs.Place(REGION, SHARD)
NOON = 1_700_000_000_000_000
LOADS_MAX = 4
"""Rounds of loading that a command may take: keys, payments, accounts, due payments."""


class Ledger:
    """A strict view, and everything that was ever committed."""

    def __init__(self, place: needs.Place = PLACE) -> None:
        self.place = place
        self.now = NOON
        self.accounts: dict[str, Account] = {}
        self.payments: dict[str, Payment] = {}
        self.merchants: dict[str, Merchant] = {}
        self.keys: dict[tuple[str, str], Key] = {}
        self.references: dict[tuple[str, str], str] = {}
        self.transfers: list[Transfer] = []
        self.refunds: list[Refund] = []
        self.events: list[Event] = []
        self.legs: dict[str, list[Leg]] = defaultdict(list)
        self.taken: dict[str, list[Received]] = defaultdict(list)
        self.copies: dict[str, Position] = {}
        self.suspended: set[tuple[str, int]] = set()
        self._serial = 0
        self._known: set[Item] = set()
        self._loading = False

    # The view: once loading is over it raises on what was not loaded.

    def knows(self, item: Item) -> bool:
        return item in self._known

    def account(self, account_id: str) -> Account | None:
        return self.accounts.get(account_id) if self._sees(Item("account", account_id)) else None

    def payment(self, payment_id: str) -> Payment | None:
        return self.payments.get(payment_id) if self._sees(Item("payment", payment_id)) else None

    def merchant(self, merchant_id: str) -> Merchant | None:
        return (
            self.merchants.get(merchant_id) if self._sees(Item("merchant", merchant_id)) else None
        )

    def key(self, tenant_id: str, request_id: str) -> Key | None:
        seen = self._sees(Item("key", request_id, tenant_id))
        return self.keys.get((tenant_id, request_id)) if seen else None

    def reference(self, tenant_id: str, reference: str) -> str | None:
        seen = self._sees(Item("reference", reference, tenant_id))
        return self.references.get((tenant_id, reference)) if seen else None

    def refund(self, refund_id: str) -> Refund | None:
        found = [one for one in self.refunds if one.id == refund_id]
        return found[0] if self._sees(Item("refund", refund_id)) and found else None

    def sent(self, shard: str) -> int:
        return len(self.legs[shard]) if self._sees(Item("sent", shard)) else 0

    def received(self, shard: str) -> int:
        return len(self.taken[shard]) if self._sees(Item("received", shard)) else 0

    def copied(self, bucket: str) -> Position | None:
        return self.copies.get(bucket) if self._sees(Item("copy", bucket)) else None

    def holds_count(self, account_id: str) -> int:
        assert self._sees(Item("account", account_id))
        return len(self.holds(account_id))

    def due_holds(self, account_id: str, now: int) -> Sequence[str]:
        assert self._sees(Item("account", account_id))
        return [
            payment.id
            for payment in self.holds(account_id)
            if payment.hold_expires_at is not None and payment.hold_expires_at <= now
        ]

    def holds(self, account_id: str) -> list[Payment]:
        """Return the payments that hold money on an account."""
        return [
            payment
            for payment in self.payments.values()
            if payment.payer_account_id == account_id and payment.state in HOLDING
        ]

    # The lane.

    def run(self, command: commands.CallerCommand) -> Answer:
        """Decide and commit a command whose request_id is new, or raise what it raises."""
        self.rounds(command)
        self._expire(command)
        if is_elsewhere(command, self.place):
            raise elsewhere(command, self.place)
        check_access(self, command)
        decision = self._decide(command)
        self._commit(decision.changes)
        tenant_id = command.principal.tenant_id
        key = Key(
            tenant_id,
            command.request_id,
            AUTHORIZE if isinstance(command, commands.Authorize) else type(command).__name__,
            b"",
            b"",
            decision.answer.resource_id,
        )
        before = self.keys.get((tenant_id, command.request_id))
        assert before is None or before.method == TOMBSTONE
        self.keys[tenant_id, command.request_id] = key
        return decision.answer

    def take(self, leg: Leg) -> None:
        """Let a leg of another shard take effect, if it is the next one."""
        command = commands.ReceiveLeg(leg.source, leg.number, leg, "")
        self.rounds(command)
        self._expire(command)
        if leg.number != self.received(leg.source) + 1:
            return
        first, second = self.context(), self.context()
        changes = receive(self, leg, "", first)
        assert changes == receive(self, leg, "", second)
        self._serial = first.mint.serial
        self._commit(changes)

    def sweep(self) -> None:
        """Expire whatever is due, as the lane's own command does."""
        command = commands.ExpireHolds(tuple(self.accounts))
        self.rounds(command)
        self._expire(command)

    def fill(self, account_id: str, amount: int) -> None:
        """Credit an account by what would take thousands of transfers, from a world of its own."""
        account = self.accounts[account_id]
        source = account._replace(id=f"{account_id}_source", kind=Kind.WORLD, floor=None)
        transfer_id = self.context().mint.next("trf", "00")
        self.accounts[source.id] = source._replace(
            posted=-amount, last_transfer_id=transfer_id, last_payment_id=""
        )
        self.accounts[account_id] = account._replace(
            posted=account.posted + amount, last_transfer_id=transfer_id
        )
        self.transfers.append(
            Transfer(
                id=transfer_id,
                debit_account_id=source.id,
                credit_account_id=account_id,
                amount=amount,
                currency=account.currency,
                reason=Reason.TOP_UP,
                payment_id=None,
                refund_id=None,
                description="",
                debit_posted_after=-amount,
                credit_posted_after=account.posted + amount,
                created_at=self.now,
                debit_previous_id="",
                credit_previous_id=account.last_transfer_id,
            )
        )
        self._serial += 1

    def rounds(self, command: commands.Command) -> list[set[Item]]:
        """Load what a command needs, from nothing, and return what each round brought."""
        self._known.clear()
        self._loading = True
        rounds: list[set[Item]] = []
        while missing := set(needs.missing(command, self, self.place, self.now)):
            assert not needs.is_ready(command, self, self.place, self.now, own_key=True)
            self._known |= missing
            rounds.append(missing)
        if needs.is_ready(command, self, self.place, self.now, own_key=True):
            assert not needs.due_accounts(command, self, self.place, self.now)
        self._loading = False
        assert len(rounds) <= LOADS_MAX
        return rounds

    def draft(self, *items: Item) -> Draft:
        """Return a work sheet that sees these items."""
        self._known.update(items)
        return Draft(self, self.context())

    def context(self) -> Context:
        region, shard, homes, _ = self.place
        return Context(self.now, region, shard, Mint(region, self.now, self._serial), homes)

    def _expire(self, command: commands.Command) -> None:
        items = list(needs.needed(command, self, self.place))
        for item in dict.fromkeys(items):
            if item.kind == "account":
                context = self.context()
                changes = expire(self, item.id, context)
                if changes is not None:
                    self._serial = context.mint.serial
                    self._commit(changes)

    def _decide(self, command: commands.CallerCommand) -> Decision:
        first, second = self.context(), self.context()
        decision = decide(self, command, first)
        assert decision == decide(self, command, second), "deciding twice gives equal decisions"
        self._serial = first.mint.serial
        return decision

    def _sees(self, item: Item) -> bool:
        """Say whether an item is loaded; once a decision is being made it must be."""
        assert self._loading or item in self._known, f"{item} was not among the needs"
        return item in self._known

    # What is committed.

    def _commit(self, changes: Changes) -> None:
        for account in changes.accounts:
            before = self.accounts.get(account.id)
            assert account.version == (before.version if before else 0) + 1
            self.accounts[account.id] = account
        for payment in changes.payments:
            self._check_transition(payment, changes)
            self.payments[payment.id] = payment
        for merchant in changes.merchants:
            self.merchants[merchant.id] = merchant
            self.references[merchant.tenant_id, merchant.reference] = merchant.id
        for tenant_id, request_id, original in changes.tombstones:
            place = (tenant_id, request_id)
            assert place not in self.keys
            self.keys[place] = Key(tenant_id, request_id, TOMBSTONE, b"", b"", original)
        self.transfers += changes.transfers
        self.refunds += changes.refunds
        self.events += changes.events
        crossing = changes.crossing
        if crossing is not None:
            for leg in crossing.sent:
                self.legs[leg.destination].append(leg)
                assert leg.number == len(self.legs[leg.destination])
            if crossing.received is not None:
                self.taken[crossing.received.source].append(crossing.received)
            for refund in crossing.settled:
                [at] = [n for n, one in enumerate(self.refunds) if one.id == refund.id]
                assert self.refunds[at].state == RefundState.PENDING
                self.refunds[at] = refund
            self.suspended |= set(crossing.suspended)
        self.check()

    def _check_transition(self, payment: Payment, changes: Changes) -> None:
        before = self.payments.get(payment.id)
        versions = [event.version for event in changes.events if event.entity_id == payment.id]
        first = before.version + 1 if before else 1
        assert versions == list(range(first, payment.version + 1)), "one event per transition"
        if before is not None:
            assert State(payment.state) in NEXT[State(before.state)]

    def all_legs(self) -> list[Leg]:
        """Return every leg that was sent."""
        return [leg for legs in self.legs.values() for leg in legs]

    def own_id(self, kind: Kind, tenant_id: str, currency: str) -> str:
        """Return the id of a tenant's own account here."""
        return ids.system_account(self.place.region, self.place.shard, tenant_id, kind, currency)

    # What must always hold.

    def check(self) -> None:
        """Fold everything anew and compare."""
        self._check_balances()
        self._check_holds()
        self._check_payments()
        self._check_lists()
        ids = [transfer.id for transfer in self.transfers]
        assert ids == sorted(set(ids)), "ids sort in the order of the decisions"

    def _check_balances(self) -> None:
        posted: dict[str, int] = defaultdict(int)
        total: dict[str, int] = defaultdict(int)
        for transfer in self.transfers:
            posted[transfer.debit_account_id] -= transfer.amount
            posted[transfer.credit_account_id] += transfer.amount
            assert transfer.debit_posted_after == posted[transfer.debit_account_id]
            assert transfer.credit_posted_after == posted[transfer.credit_account_id]
        for account in self.accounts.values():
            assert account.posted == posted.pop(account.id, 0)
            assert account.floor is None or account.posted - account.held >= account.floor
            assert -LIMIT <= account.posted <= LIMIT
            total[account.currency] += account.posted
        assert not posted, "every account with transfers exists"
        assert not any(total.values()), "money is neither made nor lost"

    def _check_holds(self) -> None:
        for account in self.accounts.values():
            held = sum(payment.capturable for payment in self.holds(account.id))
            assert account.held == held

    def _check_lists(self) -> None:
        last: dict[str, str] = defaultdict(str)
        for transfer in self.transfers:
            assert transfer.debit_previous_id == last[transfer.debit_account_id]
            assert transfer.credit_previous_id == last[transfer.credit_account_id]
            last[transfer.debit_account_id] = last[transfer.credit_account_id] = transfer.id
        last_payments: dict[str, str] = defaultdict(str)
        for payment in self.payments.values():
            assert payment.payer_previous_id == last_payments[payment.payer_account_id]
            last_payments[payment.payer_account_id] = payment.id
        for account in self.accounts.values():
            assert account.last_transfer_id == last[account.id]
            assert account.last_payment_id == last_payments[account.id]

    def _check_payments(self) -> None:
        moved: dict[tuple[str, str], int] = defaultdict(int)
        for transfer in self.transfers:
            if transfer.payment_id is not None:
                moved[transfer.payment_id, transfer.reason] += transfer.amount
        for leg in self.all_legs():
            if leg.kind == LegKind.CAPTURE:
                moved[leg.payment_id, Reason.FEE] += leg.fee
        pending: dict[str, int] = defaultdict(int)
        for refund in self.refunds:
            payment = self.payments[refund.payment_id]
            if refund.state == RefundState.PENDING:
                pending[payment.id] += refund.amount
            if self.place.peer_of(payment.settlement_account_id):
                moved[payment.id, Reason.FEE_REFUND] += refund.fee_refunded
        for payment in self.payments.values():
            assert payment.refund_pending == pending[payment.id]
            assert payment.captured == moved[payment.id, Reason.CAPTURE]
            assert payment.refunded == moved[payment.id, Reason.REFUND]
            assert payment.fee == moved[payment.id, Reason.FEE]
            assert payment.fee_refunded == moved[payment.id, Reason.FEE_REFUND]
            assert payment.fee == payment.fee_schedule.fee(payment.captured)
            assert payment.fee_refunded <= payment.fee <= payment.captured
            assert payment.refunded <= payment.captured
            assert payment.captured + payment.capturable <= payment.amount
            assert (payment.capturable > 0) == (payment.state in HOLDING)
            assert not (payment.captured and payment.state == State.VOIDED)
