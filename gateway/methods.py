"""Every public method, and who may call it. What is not here is refused."""

import re
from dataclasses import dataclass
from types import ModuleType
from typing import Final

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tender.v1 import account_pb2, lane_pb2, merchant_pb2, payment_pb2

MERCHANT: Final = "merchant"
SERVICE: Final = "service"
OPERATOR: Final = "operator"
SCOPES: Final = (MERCHANT, SERVICE, OPERATOR)

# One of these scopes is needed; more rules that look into the request are in access.py.
ALLOWED: Final[dict[str, tuple[str, ...]]] = {
    "AuthorizePayment": (SERVICE, MERCHANT),
    "CapturePayment": (SERVICE, MERCHANT),
    "VoidPayment": (SERVICE, MERCHANT),
    "RefundPayment": (SERVICE, MERCHANT),
    "ReversePayment": (SERVICE, MERCHANT),
    "GetPayment": (SERVICE, MERCHANT, OPERATOR),
    "ListPayments": (SERVICE, MERCHANT, OPERATOR),
    "CreateAccount": (SERVICE, OPERATOR),
    "GetAccount": (SERVICE, MERCHANT, OPERATOR),
    "ListAccounts": (SERVICE, OPERATOR),
    "FreezeAccount": (OPERATOR,),
    "UnfreezeAccount": (OPERATOR,),
    "CloseAccount": (OPERATOR,),
    "CreateTransfer": (SERVICE, OPERATOR),
    "ListTransfers": (SERVICE, MERCHANT, OPERATOR),
    "GetBalanceAt": (SERVICE, MERCHANT, OPERATOR),
    "CreateMerchant": (OPERATOR,),
    "GetMerchant": (SERVICE, MERCHANT, OPERATOR),
    "UpdateMerchant": (OPERATOR,),
}

BULK: Final = frozenset({"AuthorizePayments", "StreamPayments"})
_FIRST_READ: Final = lane_pb2.METHOD_GET_PAYMENT
_PUBLIC: Final[tuple[tuple[ModuleType, str], ...]] = (
    (payment_pb2, "PaymentService"),
    (account_pb2, "AccountService"),
    (merchant_pb2, "MerchantService"),
)


@dataclass(frozen=True, slots=True)
class Method:
    """A public method as the guard needs it."""

    path: str
    name: str
    number: int
    request: type[Message]
    allowed: frozenset[str]

    @property
    def is_read(self) -> bool:
        return self.number >= _FIRST_READ


def _services() -> tuple[ServiceDescriptor, ...]:
    return tuple(module.DESCRIPTOR.services_by_name[name] for module, name in _PUBLIC)


def _methods(service: ServiceDescriptor) -> list[Method]:
    """A method of the contract without a rule above stops the gateway from starting."""
    return [
        Method(
            path=f"/{service.full_name}/{method.name}",
            name=method.name,
            number=lane_pb2.Method.Value(f"METHOD_{_upper_snake(method.name)}"),
            request=GetMessageClass(method.input_type),
            allowed=frozenset(ALLOWED[method.name]),
        )
        for method in service.methods
        if method.name not in BULK
    ]


def _upper_snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()


SERVICE_NAMES: Final = tuple(service.full_name for service in _services())
METHODS: Final[dict[str, Method]] = {
    method.path: method for service in _services() for method in _methods(service)
}
BY_NUMBER: Final = {method.number: method for method in METHODS.values()}
assert set(ALLOWED) == {method.name for method in METHODS.values()}
