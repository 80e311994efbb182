"""Types of messages: which event is told to whom, and where it is sent if they said nothing."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

TYPE_LENGTH_MAX: Final = 64
_ASKED_FOR: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Channel(StrEnum):
    """How a message reaches a person."""

    EMAIL = "email"
    SMS = "sms"
    PUSH = "push"


class Audience(StrEnum):
    """Who hears of a payment."""

    PAYER = "payer"
    MERCHANT = "merchant"


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of message."""

    type: str
    urgent: bool = False
    """Sent in quiet hours too."""
    default: frozenset[Channel] = frozenset(Channel)
    """Where it is sent unless the user said otherwise."""


ALL: Final = frozenset(Channel)
MAIL: Final = frozenset({Channel.EMAIL})
NOWHERE: Final[frozenset[Channel]] = frozenset()


def _payer(event: str, *, urgent: bool = False) -> Kind:
    return Kind(f"{event}.{Audience.PAYER}", urgent)


def _merchant(event: str, default: frozenset[Channel] = MAIL) -> Kind:
    return Kind(f"{event}.{Audience.MERCHANT}", default=default)


# A merchant hears of each sale only if it asked for that: a busy one would get thousands of mails.
OF_EVENT: Final[dict[str, dict[Audience, Kind]]] = {
    event: {Audience(kind.type.rpartition(".")[2]): kind for kind in kinds}
    for event, kinds in {
        "payment_authorized": (_payer("payment_authorized"),),
        "payment_captured": (
            _payer("payment_captured"),
            _merchant("payment_captured", NOWHERE),
        ),
        "payment_partially_captured": (_payer("payment_partially_captured"),),
        "payment_remainder_released": (),
        "payment_voided": (_payer("payment_voided"),),
        "payment_expired": (_payer("payment_expired"), _merchant("payment_expired")),
        # Somebody stands at a till and waits.
        "payment_declined": (_payer("payment_declined", urgent=True),),
        "payment_refunded": (
            _payer("payment_refunded"),
            _merchant("payment_refunded", NOWHERE),
        ),
        "refund_requested": (),
        "refund_failed": (_merchant("refund_failed"),),
        "payment_reversed_before_arrival": (),
    }.items()
}
"""By type of event, what is told to whom; what nobody is told of is here too."""

BY_TYPE: Final = {kind.type: kind for kinds in OF_EVENT.values() for kind in kinds.values()}


def is_type(text: str) -> bool:
    """Say whether a text may be a type of message: one of payments, or one to be asked for."""
    return text in BY_TYPE or is_asked_for(text)


def is_asked_for(text: str) -> bool:
    """Say whether a text may be a type that other services ask for."""
    return _ASKED_FOR.fullmatch(text) is not None
