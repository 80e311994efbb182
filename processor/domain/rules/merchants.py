"""Creates merchants and changes them."""

from processor.domain import accounts, commands, ids, merchants, refusals
from processor.domain.decision import Answer, Decision
from processor.domain.draft import Draft
from processor.domain.fees import FeeSchedule
from processor.domain.place import place
from processor.domain.rules.checks import require_account, require_merchant


def create(sheet: Draft, command: commands.CreateMerchant) -> Decision:
    """Create an active merchant whose reference is new to the tenant."""
    context, tenant_id = sheet.context, command.principal.tenant_id
    taken = sheet.view.reference(tenant_id, command.reference)
    if taken is not None:
        raise refusals.MerchantReferenceTaken(merchant_id=taken)
    terms = _terms(sheet, command.settlement_terms, tenant_id)
    bucket = ids.bucket_of_owner(context.region, command.reference)
    merchant = merchants.Merchant(
        id=context.mint.next(ids.MERCHANT, bucket),
        tenant_id=tenant_id,
        reference=command.reference,
        display_name=command.display_name,
        state=merchants.State.ACTIVE,
        settlement_terms=terms,
        version=1,
        created_at=context.now,
        updated_at=context.now,
    )
    return _decision(sheet, merchant, "merchant_created")


def update(sheet: Draft, command: commands.UpdateMerchant) -> Decision:
    """Change what the command names; payments keep the terms they were authorized under."""
    tenant_id = command.principal.tenant_id
    merchant = require_merchant(sheet.view, command.merchant_id, tenant_id)
    if place(sheet.context).peer_of(merchant.id):
        raise refusals.MerchantUnknown(merchant_id=merchant.id)  # This is a copy.
    changed = merchant._replace(version=merchant.version + 1, updated_at=sheet.context.now)
    if command.display_name is not None:
        changed = changed._replace(display_name=command.display_name)
    if command.state is not None:
        changed = changed._replace(state=merchants.State(command.state))
    if command.settlement_terms is not None:
        terms = _terms(sheet, command.settlement_terms, tenant_id)
        changed = changed._replace(settlement_terms=terms)
    return _decision(sheet, changed, "merchant_updated")


def _decision(sheet: Draft, merchant: merchants.Merchant, event: str) -> Decision:
    """Record a merchant; every lane must know it to authorize, so all other shards get it too."""
    sheet.put_merchant(merchant)
    sheet.event(event, merchant.id, merchant.version)
    sheet.send_merchant(merchant, place(sheet.context).peers())
    return Decision(Answer(merchant=merchant), sheet.changes())


def _terms(
    sheet: Draft, asked: tuple[commands.SettlementTerms, ...], tenant_id: str
) -> tuple[merchants.Terms, ...]:
    terms: list[merchants.Terms] = []
    for one in asked:
        # What another shard has cannot be looked up here; the gateway has checked it there.
        if not place(sheet.context).peer_of(one.account_id):
            account = require_account(sheet.view, one.account_id, tenant_id)
            if account.kind != accounts.Kind.MERCHANT_WALLET:
                raise refusals.AccountUnknown(account_id=account.id)
            if account.currency != one.currency:
                raise refusals.CurrencyMismatch(currency=account.currency, account_id=account.id)
        elif one.account_id.startswith(ids.OWN):
            raise refusals.AccountUnknown(account_id=one.account_id)
        schedule = FeeSchedule(one.basis_points, one.fixed, one.refund_policy)
        terms.append(merchants.Terms(one.currency, one.account_id, schedule))
    assert len({one.currency for one in terms}) == len(terms), "the gateway allows one per currency"
    return tuple(terms)
