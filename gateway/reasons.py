"""The one table of every reason of a refusal: its gRPC code, and what a caller does next."""

from dataclasses import dataclass
from typing import Final

import grpc

from kit import faults

VIOLATIONS_MAX: Final = 20  # A client refuses trailers over 8 KiB, and nobody reads more.
_Code = grpc.StatusCode


@dataclass(frozen=True, slots=True)
class Reason:
    """A row of the catalogue. FINAL: this call was not carried out and will not be."""

    code: grpc.StatusCode
    final: bool
    sentence: str
    advice: str
    retry_delay_ms: int = 0
    # Answered without deciding: of a command that was sent twice it says nothing about the first.
    undecided: bool = False


_CORRECT = "Correct the request."
_CORRECT_FIELDS = "Correct the fields that BadRequest names."
_REPEAT = "Repeat the same request with the same request_id."
_REPEAT_LATER = "Repeat the same request with the same request_id after the delay in RetryInfo."
_CHECK_ID = "Check the id. An id of somebody else looks the same as one that does not exist."

REASONS: Final[dict[str, Reason]] = {
    "FIELD_INVALID": Reason(
        _Code.INVALID_ARGUMENT, True, "A field of the request is not valid.", _CORRECT_FIELDS
    ),
    "AMOUNT_OUT_OF_RANGE": Reason(
        _Code.INVALID_ARGUMENT,
        True,
        "The amount is not between 1 and 10^15 minor units.",
        _CORRECT_FIELDS,
    ),
    "CURRENCY_UNKNOWN": Reason(
        _Code.INVALID_ARGUMENT,
        True,
        "The currency is not an active ISO 4217 code in upper case.",
        _CORRECT_FIELDS,
    ),
    "REQUEST_UNKNOWN": Reason(
        _Code.NOT_FOUND,
        True,
        "Nothing is stored of this request_id.",
        "If the call may still be under way, ask again later; to be sure, repeat the call itself.",
    ),
    "REGION_UNKNOWN": Reason(
        _Code.INVALID_ARGUMENT, True, "There is no such region here.", _CORRECT
    ),
    "CURRENCY_MISMATCH": Reason(
        _Code.INVALID_ARGUMENT,
        True,
        "The currency is not that of the account or the payment.",
        _CORRECT,
    ),
    "ACCOUNTS_EQUAL": Reason(
        _Code.INVALID_ARGUMENT,
        True,
        "The account that gives is the account that gets.",
        _CORRECT,
    ),
    "PAGE_TOKEN_INVALID": Reason(
        _Code.INVALID_ARGUMENT,
        True,
        "The page token is not one that this list with these filters gave.",
        "Start again with the first page.",
    ),
    "READ_TOKEN_ELSEWHERE": Reason(
        _Code.INVALID_ARGUMENT,
        True,
        "The read token is of another shard than the one that is read.",
        "Send a token of an answer about the same user, account, payment or merchant.",
    ),
    "READ_TOKEN_AHEAD": Reason(
        _Code.INVALID_ARGUMENT,
        True,
        "The read token is of a commit that the shard has not made yet.",
        "Send a token as an answer gave it.",
    ),
    "HISTORY_LOST": Reason(
        _Code.DATA_LOSS,
        True,
        "The commit that the read token names was lost when the shard's database failed over.",
        "Read again without the token, and repeat what is missing with the same request_id.",
    ),
    "MESSAGE_MALFORMED": Reason(
        _Code.INVALID_ARGUMENT,
        True,
        "The message is not a valid protocol buffer of the method's request.",
        "Use a client generated from the contract.",
    ),
    "MESSAGE_TOO_LARGE": Reason(
        _Code.RESOURCE_EXHAUSTED, True, "The message is larger than 64 KiB.", _CORRECT
    ),
    "LANE_QUEUE_FULL": Reason(
        _Code.RESOURCE_EXHAUSTED,
        True,
        "Too many calls wait for the shard.",
        _REPEAT_LATER,
        retry_delay_ms=250,
        undecided=True,
    ),
    "GATEWAY_BUSY": Reason(
        _Code.RESOURCE_EXHAUSTED,
        True,
        "The gateway carries as many calls as it may.",
        _REPEAT_LATER,
        retry_delay_ms=250,
        undecided=True,
    ),
    "TENANT_BUSY": Reason(
        _Code.RESOURCE_EXHAUSTED,
        True,
        "The tenant has as many calls under way as it may.",
        _REPEAT_LATER,
        retry_delay_ms=250,
        undecided=True,
    ),
    "RATE_LIMITED": Reason(
        _Code.RESOURCE_EXHAUSTED,
        True,
        "More calls come than the limit allows that the metadata names.",
        _REPEAT_LATER,
        retry_delay_ms=250,
        undecided=True,
    ),
    "CREDENTIALS_MISSING": Reason(
        _Code.UNAUTHENTICATED,
        True,
        "The call carries no API key.",
        "Send one metadata entry `authorization: Bearer <key>`.",
    ),
    "CREDENTIALS_INVALID": Reason(
        _Code.UNAUTHENTICATED,
        True,
        "The API key is not valid.",
        "Check the key; it may have been revoked.",
    ),
    "SCOPE_MISSING": Reason(
        _Code.PERMISSION_DENIED,
        True,
        "The API key lacks a scope that the call needs.",
        "Use a key with the scope that the metadata names.",
    ),
    "ACCOUNT_UNKNOWN": Reason(_Code.NOT_FOUND, True, "There is no such account.", _CHECK_ID),
    "PAYMENT_UNKNOWN": Reason(_Code.NOT_FOUND, True, "There is no such payment.", _CHECK_ID),
    "MERCHANT_UNKNOWN": Reason(_Code.NOT_FOUND, True, "There is no such merchant.", _CHECK_ID),
    "WEBHOOK_ENDPOINT_UNKNOWN": Reason(
        _Code.NOT_FOUND, True, "There is no such webhook endpoint.", _CHECK_ID
    ),
    "WEBHOOK_DELIVERY_UNKNOWN": Reason(
        _Code.NOT_FOUND,
        True,
        "The endpoint has no such delivery, or has it no more.",
        "Check the id; deliveries are kept for some days.",
    ),
    "WEBHOOK_URL_REFUSED": Reason(
        _Code.INVALID_ARGUMENT,
        True,
        "Webhooks are not sent to this URL.",
        "Correct the URL as BadRequest says; the metadata names the cause.",
    ),
    "WEBHOOK_ENDPOINT_LIMIT": Reason(
        _Code.FAILED_PRECONDITION,
        True,
        "The merchant or the tenant has as many webhook endpoints as it may.",
        "Delete one first.",
    ),
    "WEBHOOK_ENDPOINT_DISABLED": Reason(
        _Code.FAILED_PRECONDITION,
        True,
        "The webhook endpoint is disabled.",
        "Enable it with UpdateWebhookEndpoint, then redeliver.",
    ),
    "REQUEST_ID_REUSED": Reason(
        _Code.ALREADY_EXISTS,
        True,
        "The request_id was used for another request.",
        "Choose a new request_id for a new intent; the metadata names the fields that differ.",
    ),
    "MERCHANT_REFERENCE_TAKEN": Reason(
        _Code.ALREADY_EXISTS,
        True,
        "Another merchant has this reference.",
        "Use that merchant, or choose another reference.",
    ),
    "PAYMENT_STATE": Reason(
        _Code.FAILED_PRECONDITION,
        True,
        "The payment's state does not allow this.",
        "Read the payment; the metadata names its state.",
    ),
    "CAPTURE_EXCEEDS_CAPTURABLE": Reason(
        _Code.FAILED_PRECONDITION,
        True,
        "The capture is larger than what may still be captured.",
        "Read the payment and capture at most `capturable`.",
    ),
    "REFUND_EXCEEDS_CAPTURED": Reason(
        _Code.FAILED_PRECONDITION,
        True,
        "The refund is larger than what is captured and not refunded.",
        "Read the payment and refund at most what is left.",
    ),
    "MERCHANT_FUNDS_INSUFFICIENT": Reason(
        _Code.FAILED_PRECONDITION,
        True,
        "The merchant's account does not cover the refund.",
        "Top up the merchant's account, then refund again.",
    ),
    "ACCOUNT_FROZEN": Reason(
        _Code.FAILED_PRECONDITION,
        True,
        "An account of the movement is frozen.",
        "Unfreeze the account, then call again.",
    ),
    "ACCOUNT_CLOSED": Reason(
        _Code.FAILED_PRECONDITION,
        True,
        "An account of the movement is closed for ever.",
        "Use another account.",
    ),
    "ACCOUNT_STATE": Reason(
        _Code.FAILED_PRECONDITION,
        True,
        "The account's state does not allow this.",
        "Read the account; the metadata names its state.",
    ),
    "ACCOUNT_NOT_EMPTY": Reason(
        _Code.FAILED_PRECONDITION,
        True,
        "The account has a balance or open holds.",
        "Move the money and settle the holds, then close it.",
    ),
    "MERCHANT_SUSPENDED": Reason(
        _Code.FAILED_PRECONDITION,
        True,
        "The merchant takes no new payments.",
        "Ask the operator.",
    ),
    "SETTLEMENT_ACCOUNT_MISSING": Reason(
        _Code.FAILED_PRECONDITION,
        True,
        "The merchant has no settlement account in this currency.",
        "Add settlement terms for the currency with UpdateMerchant.",
    ),
    "BALANCE_LIMIT": Reason(
        _Code.FAILED_PRECONDITION,
        True,
        "A balance would pass 2^62 minor units.",
        "Use another account.",
    ),
    "HOLD_LIMIT": Reason(
        _Code.FAILED_PRECONDITION,
        True,
        "The account has as many open holds as it may.",
        "Capture or void earlier payments first.",
    ),
    "ORIGINAL_NOT_A_PAYMENT": Reason(
        _Code.FAILED_PRECONDITION,
        True,
        "The original request_id belongs to another kind of call.",
        "Reverse only AuthorizePayment calls.",
    ),
    "HISTORY_MISSING": Reason(
        _Code.OUT_OF_RANGE,
        True,
        "The account was not open at that time, or has come from another shard since.",
        "Ask for a later time.",
    ),
    "REQUEST_IN_PROGRESS": Reason(
        _Code.ABORTED,
        False,
        "An earlier call with this request_id is still running.",
        _REPEAT_LATER,
        retry_delay_ms=500,
        undecided=True,
    ),
    "METHOD_UNKNOWN": Reason(
        _Code.UNIMPLEMENTED, True, "There is no such method.", "Compare the client with the server."
    ),
    "COMPRESSION_UNSUPPORTED": Reason(
        _Code.UNIMPLEMENTED,
        True,
        "The message is compressed, which this server does not take.",
        "Send messages as they are.",
    ),
    "SHARD_UNAVAILABLE": Reason(
        _Code.UNAVAILABLE,
        False,
        "The shard does not answer just now.",
        _REPEAT_LATER,
        retry_delay_ms=500,
        undecided=True,
    ),
    "SEARCH_TOO_WIDE": Reason(
        _Code.RESOURCE_EXHAUSTED,
        True,
        "A report would have to look through more than is looked through for one answer.",
        "Narrow it: a shorter time, a currency, a payer.",
    ),
    "SERVICE_UNAVAILABLE": Reason(
        _Code.UNAVAILABLE,
        False,
        "The service that answers this does not answer just now.",
        _REPEAT_LATER,
        retry_delay_ms=1_000,
        undecided=True,
    ),
    "CONTACT_UNKNOWN": Reason(
        _Code.NOT_FOUND, True, "There is no contact of this user.", _CHECK_ID
    ),
    "NOTIFICATION_UNKNOWN": Reason(
        _Code.NOT_FOUND, True, "There is no message with this id.", _CHECK_ID
    ),
    "NOTIFICATION_STATE": Reason(
        _Code.FAILED_PRECONDITION,
        True,
        "The message is still to be sent, or its text is erased.",
        "Wait until it is sent or has failed; a text that is erased is gone.",
    ),
    "TEMPLATE_UNKNOWN": Reason(
        _Code.NOT_FOUND,
        True,
        "There is no template for this type, channel and language.",
        "Put one, or look at those that there are.",
    ),
    "TEMPLATE_BROKEN": Reason(
        _Code.INVALID_ARGUMENT,
        True,
        "The template cannot be filled in with a sample of its type.",
        "Correct what BadRequest names.",
    ),
    "SERVICE_ABSENT": Reason(
        _Code.UNIMPLEMENTED,
        True,
        "The service that answers this is not installed here.",
        "Ask whoever runs this Tender for it.",
    ),
    "COMMANDS_NOT_DURABLE": Reason(
        _Code.FAILED_PRECONDITION,
        True,
        "Nothing that is accepted to be carried out later would be kept: Kafka is in memory only.",
        "Call the command's own method, or ask whoever runs this Tender for a durable Kafka.",
    ),
    "COMMANDS_UNAVAILABLE": Reason(
        _Code.UNAVAILABLE,
        False,
        "Kafka does not take the command just now; it was not accepted.",
        _REPEAT_LATER,
        retry_delay_ms=1_000,
        undecided=True,
    ),
    "OPERATION_UNKNOWN": Reason(
        _Code.NOT_FOUND,
        True,
        "There is no such operation, or its outcome is no longer kept.",
        _CHECK_ID,
    ),
    "OPERATION_LOST": Reason(
        _Code.DATA_LOSS,
        False,
        "The command was accepted, but its record was passed over: Kafka lost it, or it is among "
        "the dead letters.",
        "Submit it again with the same request_id, and tell the operator.",
    ),
    "BUCKET_ELSEWHERE": Reason(
        _Code.UNAVAILABLE,
        False,
        "The users of this bucket are being moved, or are on another shard than the map says.",
        _REPEAT_LATER,
        retry_delay_ms=200,
        undecided=True,
    ),
    "OUTCOME_UNKNOWN": Reason(
        _Code.UNAVAILABLE,
        False,
        "The call may or may not have been carried out.",
        _REPEAT_LATER + " It is carried out at most once.",
        retry_delay_ms=500,
    ),
    "SHUTTING_DOWN": Reason(
        _Code.UNAVAILABLE,
        False,
        "This server is stopping.",
        _REPEAT_LATER,
        retry_delay_ms=200,
        undecided=True,
    ),
    "DEADLINE_PASSED": Reason(
        _Code.DEADLINE_EXCEEDED,
        True,
        "The deadline passed before the call was decided; it was dropped.",
        _REPEAT + " Give it more time.",
        undecided=True,
    ),
    "INTERNAL": Reason(
        _Code.INTERNAL,
        False,
        faults.INTERNAL_SENTENCE,
        "Repeat the same request with the same request_id, then tell the operator the error id.",
    ),
}


_PREAMBLE: Final = """\
# Errors

Generated from `gateway/reasons.py` by `python -m gateway.errors`; do not edit.

Every error is a `google.rpc.Status` with one `google.rpc.ErrorInfo` of the domain `tender`. Its
`reason` is what programs compare; texts may change. Fields that are not valid are listed in
`google.rpc.BadRequest`, at most {violations_max} of them. Where waiting helps,
`google.rpc.RetryInfo` says how long. A declined payment is not an error: it is an OK answer with
`STATE_DECLINED` and a `decline_reason`.

**FINAL** means: *this call was not carried out and will not be.* Every error that is not marked
FINAL, and every error without an `ErrorInfo` of the domain `tender` (among them
`DEADLINE_EXCEEDED`, `CANCELLED`, `UNAVAILABLE` and `INTERNAL` made by gRPC itself), means that the
outcome is **unknown**: repeat the same request with the same `request_id` until an answer comes.
It is carried out at most once.

FINAL speaks of the call it answers. If an earlier call with the same `request_id` ended unknown,
a later FINAL refusal of `LANE_QUEUE_FULL`, `GATEWAY_BUSY`, `TENANT_BUSY`, `RATE_LIMITED`,
`DEADLINE_PASSED` or of the caller's key does not settle it: keep repeating.

| Reason | gRPC code | FINAL | What happened | What to do |
|---|---|---|---|---|
"""

_EXAMPLE: Final = """
## Example

An amount of zero and a request_id that is missing:

```
code: INVALID_ARGUMENT
message: "{message}"
details:
  google.rpc.ErrorInfo  reason: AMOUNT_OUT_OF_RANGE  domain: tender
  google.rpc.BadRequest
    request_id: Must be 1 to 255 bytes of printable text.
    amount.minor_units: Must be 1 to 1000000000000000.
```

In Python:

```python
from google.rpc import error_details_pb2
from grpc_status import rpc_status

status = rpc_status.from_call(error)
info = error_details_pb2.ErrorInfo()
for detail in status.details if status else ():
    if detail.Unpack(info):
        print(info.domain, info.reason, dict(info.metadata))
```
"""


def catalogue() -> str:
    """Render docs/errors.md."""
    rows = [
        f"| `{name}` | `{reason.code.name}` | {'FINAL' if reason.final else 'unknown'} "
        f"| {reason.sentence} | {reason.advice} |\n"
        for name, reason in sorted(REASONS.items(), key=_by_code_and_name)
    ]
    example = _EXAMPLE.format(message=REASONS["AMOUNT_OUT_OF_RANGE"].sentence)
    return _PREAMBLE.format(violations_max=VIOLATIONS_MAX) + "".join(rows) + example


def _by_code_and_name(item: tuple[str, Reason]) -> tuple[int, str]:
    name, reason = item
    return int(reason.code.value[0]), name
