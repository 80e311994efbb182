"""Every public method, and who may call it. What is not here is refused."""

import re
from dataclasses import dataclass
from types import ModuleType
from typing import Final

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tender.v1 import (
    account_pb2,
    lane_pb2,
    merchant_pb2,
    notification_pb2,
    operation_pb2,
    payment_pb2,
    reporting_pb2,
    request_pb2,
    webhook_pb2,
)

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
    "AuthorizePayments": (SERVICE, MERCHANT),
    "StreamPayments": (SERVICE, MERCHANT),
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
    "GetRequest": (SERVICE, OPERATOR),
    "GetMerchantReport": (SERVICE, MERCHANT, OPERATOR),
    "SearchPayments": (SERVICE, MERCHANT, OPERATOR),
    "GetAccountStatement": (SERVICE, MERCHANT, OPERATOR),
    "ExportPayments": (SERVICE, MERCHANT, OPERATOR),
    "ExportStatement": (SERVICE, MERCHANT, OPERATOR),
    "GetReportingStatus": (SERVICE, MERCHANT, OPERATOR),
    "PutNotificationContact": (SERVICE, MERCHANT, OPERATOR),
    "GetNotificationContact": (SERVICE, MERCHANT, OPERATOR),
    "DeleteNotificationContact": (SERVICE, MERCHANT, OPERATOR),
    "PutNotificationTemplate": (OPERATOR,),
    "ListNotificationTemplates": (SERVICE, OPERATOR),
    "PreviewNotificationTemplate": (SERVICE, OPERATOR),
    "ListNotifications": (SERVICE, MERCHANT, OPERATOR),
    "ResendNotification": (SERVICE, MERCHANT, OPERATOR),
    "CreateWebhookEndpoint": (SERVICE, MERCHANT, OPERATOR),
    "GetWebhookEndpoint": (SERVICE, MERCHANT, OPERATOR),
    "ListWebhookEndpoints": (SERVICE, MERCHANT, OPERATOR),
    "UpdateWebhookEndpoint": (SERVICE, MERCHANT, OPERATOR),
    "DeleteWebhookEndpoint": (SERVICE, MERCHANT, OPERATOR),
    "RotateWebhookSecret": (SERVICE, MERCHANT, OPERATOR),
    "ListWebhookDeliveries": (SERVICE, MERCHANT, OPERATOR),
    "RedeliverWebhook": (SERVICE, MERCHANT, OPERATOR),
    "SubmitPayment": (SERVICE, MERCHANT),
    "GetOperation": (SERVICE, MERCHANT, OPERATOR),
}

# Methods that carry many payment commands; each command is checked as its own method is.
AUTHORIZE_PAYMENTS: Final = "AuthorizePayments"
STREAM_PAYMENTS: Final = "StreamPayments"
_FIRST_READ: Final = lane_pb2.METHOD_GET_PAYMENT
_PUBLIC: Final[tuple[tuple[ModuleType, str], ...]] = (
    (payment_pb2, "PaymentService"),
    (account_pb2, "AccountService"),
    (merchant_pb2, "MerchantService"),
    (request_pb2, "RequestService"),
)

FORWARDED: Final[tuple[tuple[str, ModuleType, str], ...]] = (
    ("reporting", reporting_pb2, "ReportingService"),
    ("notifications", notification_pb2, "NotificationService"),
    ("webhooks", webhook_pb2, "WebhookService"),
    ("operations", operation_pb2, "OperationService"),
)
"""Which service of ours answers which public service: its name, and the contract's."""


@dataclass(frozen=True, slots=True)
class Route:
    """A public method as it is found on the wire."""

    path: str
    name: str
    allowed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Method(Route):
    """A public method that is one command or one query."""

    number: int
    request: type[Message]

    @property
    def is_read(self) -> bool:
        return self.number >= _FIRST_READ


@dataclass(frozen=True, slots=True)
class Forwarded(Route):
    """A public method that a service behind Kafka answers."""

    service: str


def _services() -> tuple[ServiceDescriptor, ...]:
    return tuple(module.DESCRIPTOR.services_by_name[name] for module, name in _PUBLIC)


def _routes(service: ServiceDescriptor) -> list[Route]:
    """A method of the contract without a rule above stops the gateway from starting."""
    return [_route(service, method) for method in service.methods]


def _route(service: ServiceDescriptor, method: MethodDescriptor) -> Route:
    path, name = f"/{service.full_name}/{method.name}", method.name
    allowed = frozenset(ALLOWED[name])
    if name in {AUTHORIZE_PAYMENTS, STREAM_PAYMENTS}:
        return Route(path, name, allowed)
    number = lane_pb2.Method.Value(f"METHOD_{_upper_snake(name)}")
    return Method(path, name, allowed, number, GetMessageClass(method.input_type))


def _forwarded(service: str, contract: ServiceDescriptor) -> list[Forwarded]:
    return [
        Forwarded(
            f"/{contract.full_name}/{method.name}",
            method.name,
            frozenset(ALLOWED[method.name]),
            service,
        )
        for method in contract.methods
    ]


def _forwarded_services() -> tuple[tuple[str, ServiceDescriptor], ...]:
    return tuple(
        (service, module.DESCRIPTOR.services_by_name[name]) for service, module, name in FORWARDED
    )


def _upper_snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()


SERVICE_NAMES: Final = tuple(
    contract.full_name
    for contract in (*_services(), *(contract for _, contract in _forwarded_services()))
)
_FOUND: Final[list[Route]] = [
    *(route for contract in _services() for route in _routes(contract)),
    *(
        route
        for service, contract in _forwarded_services()
        for route in _forwarded(service, contract)
    ),
]
ROUTES: Final[dict[str, Route]] = {route.path: route for route in _FOUND}
METHODS: Final[dict[str, Method]] = {
    path: route for path, route in ROUTES.items() if isinstance(route, Method)
}
BY_NUMBER: Final = {method.number: method for method in METHODS.values()}
BY_NAME: Final = {route.name: route for route in ROUTES.values()}
assert set(ALLOWED) == set(BY_NAME)
