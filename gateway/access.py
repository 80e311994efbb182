"""Rules of access that look into the request; the table of scopes is in methods.py.

The processor holds every caller to the tenant and the merchant of its principal; what is refused
here is refused before anything is sent.
"""

from collections.abc import Callable
from typing import Any, Final

from gateway import methods
from gateway.errors import Refused
from gateway.identity import Identity
from tender.v1 import lane_pb2

# Returns whether the request was changed and must be serialized anew.
Rule = Callable[[Any, Identity], bool]
_WALLET_PREFIX: Final = "acc_"


def require_scope(allowed: frozenset[str], identity: Identity) -> None:
    if allowed.isdisjoint(identity.scopes):
        raise _scope_missing(" or ".join(sorted(allowed)))


def _own_merchant_or(reason: str) -> Rule:
    def rule(request: Any, identity: Identity) -> bool:
        if identity.merchant_id and request.merchant_id != identity.merchant_id:
            raise Refused(reason)
        return False

    return rule


def _own_payment(request: Any, identity: Identity) -> bool:
    """By id the processor knows whose it is; by merchant and request_id we do already."""
    if not request.payment_id:
        _own_merchant_or("PAYMENT_UNKNOWN")(request, identity)
    return False


def _own_list(request: Any, identity: Identity) -> bool:
    if not identity.merchant_id:
        return False
    if request.merchant_id:
        return _own_merchant_or("MERCHANT_UNKNOWN")(request, identity)
    request.merchant_id = identity.merchant_id
    return True


def _overdraft_needs_operator(request: Any, identity: Identity) -> bool:
    if request.floor_minor_units != 0:
        _require_operator(identity)
    return False


def _operators_accounts_need_operator(request: Any, identity: Identity) -> bool:
    """Only wallets are open to all: world, fees and suspense are the operator's, however named."""
    for account_id in (request.source_account_id, request.destination_account_id):
        if not account_id.startswith(_WALLET_PREFIX):
            _require_operator(identity)
    return False


def _require_operator(identity: Identity) -> None:
    if not identity.is_operator:
        raise _scope_missing(methods.OPERATOR)


def _scope_missing(scope: str) -> Refused:
    return Refused("SCOPE_MISSING", metadata={"scope": scope})


def _nothing_more(_request: Any, _identity: Identity) -> bool:
    return False


RULES: Final[dict[int, Rule]] = {
    lane_pb2.METHOD_AUTHORIZE_PAYMENT: _own_merchant_or("MERCHANT_UNKNOWN"),
    lane_pb2.METHOD_CAPTURE_PAYMENT: _nothing_more,
    lane_pb2.METHOD_VOID_PAYMENT: _nothing_more,
    lane_pb2.METHOD_REFUND_PAYMENT: _nothing_more,
    lane_pb2.METHOD_REVERSE_PAYMENT: _own_merchant_or("MERCHANT_UNKNOWN"),
    lane_pb2.METHOD_GET_PAYMENT: _own_payment,
    lane_pb2.METHOD_LIST_PAYMENTS: _own_list,
    lane_pb2.METHOD_CREATE_ACCOUNT: _overdraft_needs_operator,
    lane_pb2.METHOD_GET_ACCOUNT: _nothing_more,
    lane_pb2.METHOD_LIST_ACCOUNTS: _nothing_more,
    lane_pb2.METHOD_FREEZE_ACCOUNT: _nothing_more,
    lane_pb2.METHOD_UNFREEZE_ACCOUNT: _nothing_more,
    lane_pb2.METHOD_CLOSE_ACCOUNT: _nothing_more,
    lane_pb2.METHOD_CREATE_TRANSFER: _operators_accounts_need_operator,
    lane_pb2.METHOD_LIST_TRANSFERS: _nothing_more,
    lane_pb2.METHOD_GET_BALANCE_AT: _nothing_more,
    lane_pb2.METHOD_CREATE_MERCHANT: _nothing_more,
    lane_pb2.METHOD_GET_MERCHANT: _own_merchant_or("MERCHANT_UNKNOWN"),
    lane_pb2.METHOD_UPDATE_MERCHANT: _nothing_more,
    lane_pb2.METHOD_GET_REQUEST: _nothing_more,
}
assert set(RULES) == set(methods.BY_NUMBER)
