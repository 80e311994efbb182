"""Which requests took effect: one answer per request_id, told to a client or found stored."""

from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError, Message

from tests.checker.database import Row
from tests.checker.history import RESPONSES, REUSED, End, History, Operation

TOMBSTONE = "TOMBSTONE"


@dataclass
class Effect:
    """A request that was carried out once, and its answer."""

    request_id: str
    method: str
    request: Any
    response: Any
    acknowledged: bool

    def __str__(self) -> str:
        told = "acknowledged" if self.acknowledged else "not acknowledged"
        return f"request {self.request_id!r} ({self.method}, {told})"


def find(history: History, keys: dict[str, Row]) -> tuple[list[Effect], list[str]]:
    """Return what took effect and what is wrong with answers and request keys."""
    effects: list[Effect] = []
    problems: list[str] = []
    by_request: dict[str, list[Operation]] = {}
    for operation in history.operations:
        if operation.reason != REUSED:
            by_request.setdefault(operation.request_id, []).append(operation)
    for request_id, operations in by_request.items():
        effect = _effect(request_id, operations, keys.get(request_id), problems)
        if effect is not None:
            effects.append(effect)
    problems += _reused_without_first(history, by_request)
    return effects, problems


def _effect(
    request_id: str, operations: list[Operation], key: Row | None, problems: list[str]
) -> Effect | None:
    answered = [operation for operation in operations if operation.end is End.OK]
    if answered:
        first = answered[0]
        effect = Effect(request_id, first.method, first.request, first.response, True)
        problems += _unequal(effect, answered)
        problems += _stored(effect, key)
        return effect
    if key is None or key["method"] == TOMBSTONE:
        return None
    if all(operation.end is End.REFUSED for operation in operations):
        reasons = ", ".join(sorted({operation.reason for operation in operations}))
        problems.append(
            f"request {request_id!r}: was refused ({reasons}), but its request key is stored with"
            f" {key['method']} {key['resource_id']}"
        )
        return None
    asked = [operation for operation in operations if operation.method == key["method"]]
    if not asked:
        problems.append(f"request {request_id!r}: no client asked for {key['method']}")
        return None
    return _unacknowledged(request_id, asked[0], key, problems)


def _unacknowledged(
    request_id: str, operation: Operation, key: Row, problems: list[str]
) -> Effect | None:
    """No client knows what became of it; the stored answer does."""
    try:
        response = RESPONSES[type(operation.request)][1].FromString(key["outcome"])
    except DecodeError as error:
        problems.append(f"request {request_id!r}: the stored answer cannot be read ({error})")
        return None
    return Effect(request_id, operation.method, operation.request, response, False)


def _unequal(effect: Effect, answered: list[Operation]) -> list[str]:
    found = []
    for other in answered[1:]:
        if other.request != effect.request or other.method != effect.method:
            found.append(f"{effect}: another request with its id was answered too")
        elif _bytes(other.response) != _bytes(effect.response):
            found.append(f"{effect}: was answered differently when it was repeated")
    return found


def _stored(effect: Effect, key: Row | None) -> list[str]:
    if key is None:
        return [f"{effect}: its request key is missing"]
    if key["method"] != effect.method:
        return [f"{effect}: its request key is stored with method {key['method']}"]
    if key["outcome"] != _bytes(effect.response):
        try:
            same = type(effect.response).FromString(key["outcome"]) == effect.response
        except DecodeError:
            same = False
        if not same:
            return [f"{effect}: the stored answer is not the one that was given"]
    return []


def _reused_without_first(history: History, by_request: dict[str, list[Operation]]) -> list[str]:
    """A request_id can only be in use if somebody used it."""
    reversed_ = {
        operation.request.original_request_id
        for operation in history.operations
        if operation.method == "REVERSE_PAYMENT"
    }
    return [
        f"request {operation.request_id!r}: was refused as reused, but nobody used it before"
        for operation in history.operations
        if operation.reason == REUSED
        and operation.request_id not in by_request
        and operation.request_id not in reversed_
    ]


def _bytes(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)
