"""Valid requests for every method, and their fields as the contract names them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf import field_mask_pb2, timestamp_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tender.v1 import account_pb2, merchant_pb2, payment_pb2, request_pb2
from tests.badinput import wire
from tests.badinput.world import World, money, unique

NOT_LOOKED_AT = {"merchant.reference"}  # No mask of UpdateMerchant names it.


class Field(NamedTuple):
    """A field of a method's request."""

    method: str
    path: str

    @property
    def name(self) -> str:
        """Return the last part of the path."""
        return self.path.rpartition(".")[2].removesuffix("[0]")

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def valid(method: str, world: World) -> Message:
    """Return a request that would be carried out, with a request_id of its own."""
    return next(iter(variants(method, world)))


def variants(method: str, world: World) -> Iterator[Message]:
    """Yield valid requests for a method, one for each way of saying it."""
    built: list[Any] = list(_VARIANTS[method](world))
    for request in built:
        if not wire.is_read(method):
            request.request_id = unique()
        yield request


def fields(kind: int) -> list[Field]:
    """Return every field of a protobuf type in any request, found in the contract."""
    return [
        Field(method, path)
        for method, request in wire.REQUESTS.items()
        for path, field in _walk(request.DESCRIPTOR, "")
        if field.type == kind and path not in NOT_LOOKED_AT and path != "merchant.id"
        if path != "update_mask.paths[0]" and "create_time" not in path
    ] + ([Field("UpdateMerchant", "merchant.id")] if kind == FieldDescriptor.TYPE_STRING else [])


def put(request: Message, path: str, value: Any) -> None:
    """Set the field at a path; "[0]" stands for the only entry of a list."""
    *way, last = path.split(".")
    holder: Any = request
    for part in way:
        holder = getattr(holder, part.removesuffix("[0]"))
        holder = holder[0] if part.endswith("[0]") else holder
    setattr(holder, last, value)


def _walk(descriptor: Any, prefix: str) -> Iterator[tuple[str, FieldDescriptor]]:
    for field in descriptor.fields:
        path = f"{prefix}{field.name}{'[0]' if field.is_repeated else ''}"
        if field.message_type is None:
            yield path, field
        elif not field.message_type.GetOptions().map_entry:
            yield from _walk(field.message_type, path + ".")


def authorize(world: World, **given: Any) -> payment_pb2.AuthorizePaymentRequest:
    fields: dict[str, Any] = {
        "request_id": unique(),
        "payer_account_id": world.payer,
        "merchant_id": world.shop,
        "amount": money(),
    }
    return payment_pb2.AuthorizePaymentRequest(**fields | given)


def transfer(world: World, **given: Any) -> account_pb2.CreateTransferRequest:
    fields: dict[str, Any] = {
        "request_id": unique(),
        "source_account_id": world.payer,
        "destination_account_id": world.second,
        "amount": money(),
    }
    return account_pb2.CreateTransferRequest(**fields | given)


def update(world: World, *paths: str, **given: Any) -> merchant_pb2.UpdateMerchantRequest:
    return merchant_pb2.UpdateMerchantRequest(
        request_id=unique(),
        merchant=merchant_pb2.Merchant(id=world.shop, **given),
        update_mask=field_mask_pb2.FieldMask(paths=list(paths)),
    )


def terms(world: World) -> merchant_pb2.SettlementTerms:
    return merchant_pb2.SettlementTerms(currency_code="EUR", account_id=world.shop_wallet)


def now() -> timestamp_pb2.Timestamp:
    moment = timestamp_pb2.Timestamp()
    moment.GetCurrentTime()
    return moment


_VARIANTS: dict[str, Any] = {
    "AuthorizePayment": lambda world: [authorize(world)],
    "CapturePayment": lambda world: [
        payment_pb2.CapturePaymentRequest(payment_id=world.authorized, amount=money())
    ],
    "VoidPayment": lambda world: [payment_pb2.VoidPaymentRequest(payment_id=world.authorized)],
    "RefundPayment": lambda world: [
        payment_pb2.RefundPaymentRequest(payment_id=world.captured, amount=money())
    ],
    "ReversePayment": lambda world: [
        payment_pb2.ReversePaymentRequest(
            original_request_id=world.paid_request,
            payer_account_id=world.payer,
            merchant_id=world.shop,
        )
    ],
    "GetPayment": lambda world: [
        payment_pb2.GetPaymentRequest(payment_id=world.captured),
        payment_pb2.GetPaymentRequest(merchant_id=world.shop, request_id=world.paid_request),
    ],
    "ListPayments": lambda world: [
        payment_pb2.ListPaymentsRequest(merchant_id=world.shop, payer_account_id=world.payer)
    ],
    "CreateAccount": lambda _: [
        account_pb2.CreateAccountRequest(user_id="new", currency_code="EUR")
    ],
    "GetAccount": lambda world: [account_pb2.GetAccountRequest(account_id=world.payer)],
    "ListAccounts": lambda _: [account_pb2.ListAccountsRequest(user_id="payer")],
    "FreezeAccount": lambda world: [account_pb2.FreezeAccountRequest(account_id=world.poor)],
    "UnfreezeAccount": lambda world: [account_pb2.UnfreezeAccountRequest(account_id=world.frozen)],
    "CloseAccount": lambda world: [account_pb2.CloseAccountRequest(account_id=world.poor)],
    "CreateTransfer": lambda world: [transfer(world)],
    "ListTransfers": lambda world: [account_pb2.ListTransfersRequest(account_id=world.payer)],
    "GetBalanceAt": lambda world: [
        account_pb2.GetBalanceAtRequest(account_id=world.payer, time=now())
    ],
    "CreateMerchant": lambda world: [
        merchant_pb2.CreateMerchantRequest(reference=unique("ref"), settlement_terms=[terms(world)])
    ],
    "GetRequest": lambda world: [request_pb2.GetRequestRequest(request_id=world.paid_request)],
    "GetMerchant": lambda world: [merchant_pb2.GetMerchantRequest(merchant_id=world.shop)],
    "UpdateMerchant": lambda world: [
        update(world, "display_name", "settlement_terms", settlement_terms=[terms(world)])
    ],
}
