"""Requests as bytes, put together from parts that were encoded once.

A protobuf message is the concatenation of its fields, so that only the request_id is new in each.
"""

import itertools
import os
import time
from collections.abc import Iterable

import tender
from loadtest.world import World
from tender.v1 import payment_pb2

# Prices of a shop, in minor units; each merchant has all of them.
PRICES = tuple(range(220, 911, 11))

ID_DIGITS = 9


def field(number: int, content: bytes) -> bytes:
    """Encode a length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


class RequestIds:
    """Unique ids of one length whose order is that of time, as the SDK's are."""

    def __init__(self) -> None:
        self._prefix = f"load_{time.time_ns() // 1_000_000:012x}{os.urandom(5).hex()}_"
        self._numbers = itertools.count()

    def next(self) -> str:
        return f"{self._prefix}{next(self._numbers):0{ID_DIGITS}d}"


class Payloads:
    """AuthorizePayment requests among the accounts and merchants of a world."""

    def __init__(self, world: World) -> None:
        request = payment_pb2.AuthorizePaymentRequest
        self._ids = RequestIds()
        self._head = field(request.REQUEST_ID_FIELD_NUMBER, b"-" * len(self._ids.next()))
        self._head = self._head[: self._head.index(b"-")]
        self._payers = [
            request(payer_account_id=each).SerializeToString() for each in world.accounts
        ]
        self._tails = [
            [
                request(
                    merchant_id=merchant, amount=tender.money(world.currency_code, price)
                ).SerializeToString()
                for price in PRICES
            ]
            for merchant in world.merchants
        ]
        self._prices = itertools.cycle(range(len(PRICES)))

    def new_id(self) -> str:
        return self._ids.next()

    def authorize(self, payer: int, merchant: int) -> tuple[str, bytes]:
        """Return a request_id and the request in which that account pays that merchant."""
        request_id = self._ids.next()
        tail = self._tails[merchant][next(self._prices)]
        return request_id, self._head + request_id.encode() + self._payers[payer] + tail


_BATCHED = payment_pb2.AuthorizePaymentsRequest.REQUESTS_FIELD_NUMBER
_COMMANDS = payment_pb2.StreamPaymentsRequest.COMMANDS_FIELD_NUMBER
_AUTHORIZE = payment_pb2.PaymentCommand.AUTHORIZE_FIELD_NUMBER


def batch(requests: Iterable[bytes]) -> bytes:
    """Return an AuthorizePaymentsRequest of encoded requests."""
    return b"".join(field(_BATCHED, each) for each in requests)


def authorize_command(request: bytes) -> bytes:
    """Return a PaymentCommand of an encoded AuthorizePaymentRequest."""
    return field(_AUTHORIZE, request)


def stream_message(commands: Iterable[bytes]) -> bytes:
    """Return a StreamPaymentsRequest of encoded commands."""
    return b"".join(field(_COMMANDS, each) for each in commands)
