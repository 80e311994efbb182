"""Why a command is not carried out. A refusal stores nothing and moves no money."""


class Refused(Exception):
    """The command cannot be carried out."""

    reason = "INTERNAL"

    def __init__(self, **metadata: str) -> None:
        super().__init__(self.reason)
        self.metadata = metadata


class AccountUnknown(Refused):
    """There is no such account, or it is not the caller's."""

    reason = "ACCOUNT_UNKNOWN"


class PaymentUnknown(Refused):
    """There is no such payment, or it is not the caller's."""

    reason = "PAYMENT_UNKNOWN"


class MerchantUnknown(Refused):
    """There is no such merchant, or it is not the caller's."""

    reason = "MERCHANT_UNKNOWN"


class RegionUnknown(Refused):
    """No shard has the id's region and bucket."""

    reason = "REGION_UNKNOWN"


class BadBuckets(Exception):
    """A shard's buckets cannot change like that; nothing was done."""


class Inhabited(BadBuckets):
    """Users live in one of the buckets, so that each has to be copied first."""


class BucketElsewhere(Refused):
    """The bucket is not this shard's; nothing was done."""

    reason = "BUCKET_ELSEWHERE"


class AmountOutOfRange(Refused):
    """The amount is not between 1 and 10^15 minor units."""

    reason = "AMOUNT_OUT_OF_RANGE"


class CurrencyMismatch(Refused):
    """The amount is in another currency than the account or the payment."""

    reason = "CURRENCY_MISMATCH"


class AccountsEqual(Refused):
    """The same account would be debited and credited."""

    reason = "ACCOUNTS_EQUAL"


class AccountFrozen(Refused):
    """The account is frozen."""

    reason = "ACCOUNT_FROZEN"


class AccountClosed(Refused):
    """The account is closed."""

    reason = "ACCOUNT_CLOSED"


class AccountState(Refused):
    """The account's state does not allow the change."""

    reason = "ACCOUNT_STATE"


class AccountNotEmpty(Refused):
    """The account has a balance or open holds."""

    reason = "ACCOUNT_NOT_EMPTY"


class MerchantSuspended(Refused):
    """The merchant takes no new payments."""

    reason = "MERCHANT_SUSPENDED"


class MerchantReferenceTaken(Refused):
    """Another merchant of the tenant has this reference."""

    reason = "MERCHANT_REFERENCE_TAKEN"


class SettlementAccountMissing(Refused):
    """The merchant does not settle in this currency."""

    reason = "SETTLEMENT_ACCOUNT_MISSING"


class PaymentState(Refused):
    """The payment's state does not allow the transition."""

    reason = "PAYMENT_STATE"


class CaptureExceedsCapturable(Refused):
    """More would be captured than is left to capture."""

    reason = "CAPTURE_EXCEEDS_CAPTURABLE"


class RefundExceedsCaptured(Refused):
    """More would be refunded than was captured and not refunded yet."""

    reason = "REFUND_EXCEEDS_CAPTURED"


class MerchantFundsInsufficient(Refused):
    """The merchant's account does not cover the refund."""

    reason = "MERCHANT_FUNDS_INSUFFICIENT"


class BalanceLimit(Refused):
    """A balance would pass 2^62 minor units."""

    reason = "BALANCE_LIMIT"


class HoldLimit(Refused):
    """The account has too many open holds."""

    reason = "HOLD_LIMIT"


class OriginalNotAPayment(Refused):
    """The request_id to reverse belongs to a call that did not authorize a payment."""

    reason = "ORIGINAL_NOT_A_PAYMENT"


class RequestIdReused(Refused):
    """The request_id was used for another request."""

    reason = "REQUEST_ID_REUSED"


class RequestUnknown(Refused):
    """Nothing is stored of this request_id."""

    reason = "REQUEST_UNKNOWN"


class ScopeMissing(Refused):
    """The key may not do this."""

    reason = "SCOPE_MISSING"


class PageTokenInvalid(Refused):
    """The page token is not one that this list with these filters gave."""

    reason = "PAGE_TOKEN_INVALID"


class HistoryMissing(Refused):
    """The account was not open at that time, or has come from another shard since."""

    reason = "HISTORY_MISSING"


class FieldInvalid(Refused):
    """A field of the request is not valid."""

    reason = "FIELD_INVALID"

    def __init__(self, field: str, description: str) -> None:
        super().__init__()
        self.field = field
        self.description = description


class ReadTokenElsewhere(Refused):
    """The read token is of another shard than the one that is read."""

    reason = "READ_TOKEN_ELSEWHERE"


class ReadTokenAhead(Refused):
    """The read token is of a commit that the shard has not made yet."""

    reason = "READ_TOKEN_AHEAD"


class HistoryLost(Refused):
    """The commit that the read token names was lost when the shard's database failed over."""

    reason = "HISTORY_LOST"
