"""The work sheet of one decision: state as the decision goes on, and what it changes."""

from collections.abc import Sequence
from typing import NamedTuple

from processor.domain import accounts, ids, refusals, transfers
from processor.domain.accounts import Account
from processor.domain.context import Context
from processor.domain.copies import Copied
from processor.domain.legs import Crossing, Leg, Received
from processor.domain.legs import Kind as LegKind
from processor.domain.merchants import Merchant
from processor.domain.payments import FIRST, HOLDING, NEXT, Payment, Refund
from processor.domain.transfers import Transfer
from processor.domain.view import View


class Event(NamedTuple):
    """Something that happened, in the past tense, to an entity at a version."""

    type: str
    entity_id: str
    version: int


class Tombstone(NamedTuple):
    """The key of an authorization that was reversed before it arrived, and whose it was to be."""

    tenant_id: str
    request_id: str
    original: str


class Changes(NamedTuple):
    """What a decision does, as after-images. Nothing of it has happened before it is committed."""

    accounts: tuple[Account, ...] = ()
    payments: tuple[Payment, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    refunds: tuple[Refund, ...] = ()
    merchants: tuple[Merchant, ...] = ()
    events: tuple[Event, ...] = ()
    tombstones: tuple[Tombstone, ...] = ()
    deleted_keys: tuple[tuple[str, str], ...] = ()
    crossing: Crossing | None = None
    copied: Copied | None = None


class Draft:
    """Moves money and holds on copies, and refuses what must not be.

    An account takes one step of its version per decision, however often it is touched; a payment
    takes one per transition.
    """

    def __init__(self, view: View, context: Context) -> None:
        self.view = view
        self.context = context
        self._accounts: dict[str, Account] = {}
        self._payments: dict[str, Payment] = {}
        self._transfers: list[Transfer] = []
        self._refunds: list[Refund] = []
        self._events: list[Event] = []
        self._crossing: Crossing | None = None
        self._merchants: tuple[Merchant, ...] = ()

    def changes(self) -> Changes:
        """Return all that was drafted."""
        # By position: every decision pays for it.
        return Changes(
            tuple(self._accounts.values()),
            tuple(self._payments.values()),
            tuple(self._transfers),
            tuple(self._refunds),
            self._merchants,
            tuple(self._events),
            (),
            (),
            self._crossing,
            None,
        )

    def account(self, account_id: str) -> Account:
        """Return an account as drafted so far; it must exist."""
        account = self._accounts.get(account_id) or self.view.account(account_id)
        assert account is not None, "a decision names only accounts that it looked up"
        return account

    def own_account(self, tenant_id: str, kind: accounts.Kind, currency: str) -> Account:
        """Return the tenant's own account of a kind; a new one opens once money moves on it."""
        context = self.context
        account_id = ids.system_account(context.region, context.shard, tenant_id, kind, currency)
        return self._own(account_id, tenant_id, kind, currency)

    def clearing(self, tenant_id: str, peer: str, currency: str) -> Account:
        """Return the account by which the tenant's money goes to and from a shard."""
        context = self.context
        account_id = ids.clearing_account(context.region, context.shard, tenant_id, peer, currency)
        return self._own(account_id, tenant_id, accounts.Kind.CLEARING, currency)

    def _own(self, account_id: str, tenant_id: str, kind: accounts.Kind, currency: str) -> Account:
        context = self.context
        return (
            self._accounts.get(account_id)
            or self.view.account(account_id)
            or Account(
                id=account_id,
                tenant_id=tenant_id,
                user_id="",
                kind=kind,
                currency=currency,
                state=accounts.State.OPEN,
                posted=0,
                held=0,
                floor=None if kind in accounts.WITHOUT_FLOOR else 0,
                version=0,
                created_at=context.now,
                updated_at=context.now,
                last_transfer_id="",
                last_payment_id="",
            )
        )

    def open_account(
        self,
        *,
        account_id: str,
        tenant_id: str,
        user_id: str,
        kind: str,
        currency: str,
        floor: int,
    ) -> Account:
        """Open an account at the caller's wish."""
        account = Account(
            id=account_id,
            tenant_id=tenant_id,
            user_id=user_id,
            kind=kind,
            currency=currency,
            state=accounts.State.OPEN,
            posted=0,
            held=0,
            floor=floor,
            version=1,
            created_at=self.context.now,
            updated_at=self.context.now,
            last_transfer_id="",
            last_payment_id="",
        )
        self._accounts[account_id] = account
        self.event("account_opened", account_id, 1)
        return account

    def move(
        self,
        debit: Account,
        credit: Account,
        amount: int,
        reason: transfers.Reason,
        *,
        payment_id: str | None = None,
        refund_id: str | None = None,
        description: str = "",
        last_payment_id: str = "",
    ) -> Transfer:
        """Post a transfer between accounts as drafted so far; the caller knows it is covered.

        `last_payment_id` is the debited account's newest payment from now on, empty if no other.
        """
        assert amount > 0
        transfer_id = self._new_transfer_id(debit, credit)
        debited, credited = debit.posted - amount, credit.posted + amount
        newest_payment_id = last_payment_id or debit.last_payment_id
        self._change(debit, debited, debit.held, transfer_id, newest_payment_id)
        self._change(credit, credited, credit.held, transfer_id, credit.last_payment_id)
        # By position, here and below: several times faster than by name, for every payment.
        transfer = Transfer(
            transfer_id,
            debit.id,
            credit.id,
            amount,
            debit.currency,
            reason,
            payment_id,
            refund_id,
            description,
            debited,
            credited,
            self.context.now,
            debit.last_transfer_id,
            credit.last_transfer_id,
        )
        self._transfers.append(transfer)
        return transfer

    def capture(
        self,
        payer: Account,
        settlement: Account,
        fees: Account,
        amount: int,
        fee: int,
        payment_id: str,
        last_payment_id: str,
    ) -> None:
        """Post a capture and its fee; `last_payment_id` is the payer's newest from now on.

        What two moves would do, but each account is drafted once: most payments are this.
        """
        assert amount > 0
        assert fee > 0
        capture_id = self._new_transfer_id(payer, settlement)
        fee_id = self._new_transfer_id(settlement, fees)
        now, between = self.context.now, settlement.posted + amount
        if between > accounts.LIMIT:
            raise refusals.BalanceLimit(account_id=settlement.id)
        paid, taken, charged = payer.posted - amount, between - fee, fees.posted + fee
        self._change(payer, paid, payer.held, capture_id, last_payment_id)
        self._change(settlement, taken, settlement.held, fee_id, settlement.last_payment_id)
        self._change(fees, charged, fees.held, fee_id, fees.last_payment_id)
        reason = transfers.Reason
        self._transfers += (
            Transfer(
                capture_id,
                payer.id,
                settlement.id,
                amount,
                payer.currency,
                reason.CAPTURE,
                payment_id,
                None,
                "",
                paid,
                between,
                now,
                payer.last_transfer_id,
                settlement.last_transfer_id,
            ),
            Transfer(
                fee_id,
                settlement.id,
                fees.id,
                fee,
                payer.currency,
                reason.FEE,
                payment_id,
                None,
                "",
                taken,
                charged,
                now,
                capture_id,
                fees.last_transfer_id,
            ),
        )

    def hold(self, account_id: str, amount: int, *, last_payment_id: str = "") -> None:
        """Raise what is held, a negative amount releases; `last_payment_id` as for a move."""
        account = self.account(account_id)
        self._change(
            account,
            account.posted,
            account.held + amount,
            account.last_transfer_id,
            last_payment_id or account.last_payment_id,
        )

    def put_account_state(self, account: Account, state: accounts.State, event: str) -> Account:
        """Record an account in another state."""
        assert account.id not in self._accounts, "a change of state is a decision of its own"
        changed = account._replace(
            state=state, version=account.version + 1, updated_at=self.context.now
        )
        self._accounts[account.id] = changed
        self.event(event, account.id, changed.version)
        return changed

    def put_payment(self, payment: Payment, event: str) -> Payment:
        """Record a payment's new after-image; its state must be allowed after the present one.

        A new one becomes its payer's newest, also when it is declined.
        """
        if payment.version == 1:
            assert payment.state in FIRST
            assert payment.id not in self._payments
            payer = self.account(payment.payer_account_id)
            if payer.last_payment_id != payment.id:
                assert payer.last_payment_id == payment.payer_previous_id
                self._change(payer, payer.posted, payer.held, payer.last_transfer_id, payment.id)
        else:
            before = self._payments.get(payment.id) or self.view.payment(payment.id)
            assert before is not None
            assert payment.version == before.version + 1
            assert payment.state in NEXT[before.state], (before.state, payment.state)
        assert (payment.capturable > 0) == (payment.state in HOLDING)
        assert payment.captured + payment.capturable <= payment.amount
        assert payment.refundable >= 0
        assert payment.fee_refunded <= payment.fee <= payment.captured
        self._payments[payment.id] = payment
        self.event(event, payment.id, payment.version)
        return payment

    def put_refund(self, refund: Refund) -> Refund:
        """Record a refund."""
        self._refunds.append(refund)
        return refund

    def settle_refund(self, refund: Refund) -> Refund:
        """Record what a refund that was pending has become."""
        crossing = self._crossing or Crossing()
        self._crossing = crossing._replace(settled=(*crossing.settled, refund))
        return refund

    def put_merchant(self, merchant: Merchant) -> Merchant:
        """Record a merchant."""
        self._merchants = (*self._merchants, merchant)
        return merchant

    def send(
        self,
        destination: str,
        kind: LegKind,
        tenant_id: str,
        *,
        account_id: str = "",
        remote_account_id: str = "",
        amount: int = 0,
        currency: str = "",
        fee: int = 0,
        transfer_id: str = "",
        payment_id: str = "",
        refund_id: str = "",
        description: str = "",
        reason: str = "",
        concerning: int = 0,
        hops: tuple[tuple[str, int], ...] = (),
    ) -> Leg:
        """Send another shard the next leg."""
        assert fee >= 0
        crossing = self._crossing or Crossing()
        number = self.view.sent(destination) + 1
        for earlier in crossing.sent:
            number += earlier.destination == destination
        leg = Leg(
            source=self.context.shard,
            destination=destination,
            number=number,
            kind=kind,
            created_at=self.context.now,
            tenant_id=tenant_id,
            account_id=account_id,
            remote_account_id=remote_account_id,
            amount=amount,
            currency=currency,
            fee=fee,
            transfer_id=transfer_id,
            payment_id=payment_id,
            refund_id=refund_id,
            description=description,
            reason=reason,
            concerning=concerning,
            hops=hops,
        )
        self._crossing = crossing._replace(sent=(*crossing.sent, leg))
        return leg

    def send_accounts(self, destination: str, legs: Sequence[Leg]) -> None:
        """Send a shard accounts with their money, numbered after what it was sent before."""
        assert self._crossing is None, "so the next number is the one after the last"
        first = self.view.sent(destination) + 1
        sent = [leg._replace(number=first + place) for place, leg in enumerate(legs)]
        self._crossing = Crossing(sent=tuple(sent))

    def arrive(self, account: Account) -> Account:
        """Record an account that comes from another shard, still empty; it may have been here."""
        before = self.view.account(account.id)
        assert before is None or (before.posted, before.held) == (0, 0), "its money left with it"
        assert account.id not in self._accounts
        arrived = account._replace(
            posted=0,
            held=0,
            version=max(account.version, before.version if before else 0) + 1,
            updated_at=self.context.now,
        )
        self._accounts[account.id] = arrived
        return arrived

    def send_merchant(self, merchant: Merchant, peers: Sequence[str]) -> None:
        """Send every other shard a merchant."""
        assert self._crossing is None, "so each shard's next number is the one after its last"
        if peers:
            sent = [
                Leg(
                    source=self.context.shard,
                    destination=peer,
                    number=self.view.sent(peer) + 1,
                    kind=LegKind.MERCHANT,
                    created_at=self.context.now,
                    tenant_id=merchant.tenant_id,
                    merchant=merchant,
                )
                for peer in peers
            ]
            self._crossing = Crossing(sent=tuple(sent))

    def send_buckets(
        self, destination: str, first_bucket: int, last_bucket: int, copied: str = ""
    ) -> None:
        """Hand buckets over to another shard, which has all rows up to the commit `copied`."""
        leg = self.send(destination, LegKind.BUCKETS, "")
        assert self._crossing is not None
        told = leg._replace(buckets=(first_bucket, last_bucket), copied=copied)
        sent = (*self._crossing.sent[:-1], told)
        self._crossing = self._crossing._replace(sent=sent)

    def receive(self, received: Received) -> None:
        """Record what came of a leg: it is taken in."""
        crossing = self._crossing or Crossing()
        assert crossing.received is None
        self._crossing = crossing._replace(received=received)

    def suspend(self, destination: str, number: int) -> None:
        """Record that the money of a leg of ours lies in suspense."""
        crossing = self._crossing or Crossing()
        self._crossing = crossing._replace(suspended=((destination, number),))

    def event(self, event_type: str, entity_id: str, version: int) -> None:
        """Record something that happened."""
        self._events.append(Event(event_type, entity_id, version))

    def _new_transfer_id(self, debit: Account, credit: Account) -> str:
        assert debit.id != credit.id
        assert debit.currency == credit.currency
        return self.context.mint.next(ids.TRANSFER, ids.bucket_of_pair(debit.id, credit.id))

    def _change(
        self, account: Account, posted: int, held: int, last_transfer_id: str, last_payment_id: str
    ) -> Account:
        """Record an account's after-image; its first change in this decision steps the version."""
        if not -accounts.LIMIT <= posted <= accounts.LIMIT or held > accounts.LIMIT:
            raise refusals.BalanceLimit(account_id=account.id)
        assert held >= 0
        assert account.floor is None or posted - held >= account.floor
        drafted = self._accounts.get(account.id)
        assert drafted is None or drafted is account, "the account is not as drafted so far"
        if account.version == 0:
            self.event("account_opened", account.id, 1)
        # All fields spelled out: several times faster than _replace, for every payment.
        changed = Account(
            account.id,
            account.tenant_id,
            account.user_id,
            account.kind,
            account.currency,
            account.state,
            posted,
            held,
            account.floor,
            account.version + (drafted is None),
            account.created_at,
            self.context.now,
            last_transfer_id,
            last_payment_id,
        )
        self._accounts[account.id] = changed
        return changed
