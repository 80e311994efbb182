"""What a merchant is."""

from typing import NamedTuple

from processor.domain.fees import FeeSchedule
from processor.domain.names import Name


class State(Name):
    """Whether a merchant may take new payments."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"


class Terms(NamedTuple):
    """Where a merchant's money of one currency goes, and at what fee."""

    currency: str
    account_id: str
    fee_schedule: "FeeSchedule"


class Merchant(NamedTuple):
    """A merchant after its latest change; times in µs since 1970."""

    id: str
    tenant_id: str
    reference: str
    display_name: str
    state: str
    settlement_terms: "tuple[Terms, ...]"
    version: int
    created_at: int
    updated_at: int

    def terms(self, currency: str) -> Terms | None:
        """Return the terms for a currency, if it settles in it."""
        for terms in self.settlement_terms:
            if terms.currency == currency:
                return terms
        return None
