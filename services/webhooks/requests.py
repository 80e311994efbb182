"""What requests must look like. A check adds to what is wrong, and never repeats a value. Pure."""

import re
from collections.abc import Collection, Sequence
from typing import Final

from kit import card_numbers
from services.calls import Problem, Refused
from services.webhooks import catalogue, ids

REQUEST_ID_BYTES_MAX: Final = 255
DESCRIPTION_LENGTH_MAX: Final = 255
EVENT_ID_LENGTH_MAX: Final = 255
PAGE_SIZE_DEFAULT: Final = 50
PAGE_SIZE_MAX: Final = 200
PAGE_TOKEN_LENGTH_MAX: Final = 512

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_MERCHANT_ID: Final = re.compile(r"mer_[a-z0-9]{2,8}_[0-9a-hjkmnp-tv-z]{22}", re.ASCII)
_NO_CARD_NUMBER: Final = "Must not hold what looks like a card number."


class Checks:
    """Gathers what is wrong with a request."""

    def __init__(self, topics: Collection[str] = ()) -> None:
        """`topics` are those that events are taken from."""
        self._topics = topics
        self._problems: list[Problem] = []

    def add(self, field: str, description: str) -> None:
        """Note a problem."""
        self._problems.append(Problem(field, description))

    def done(self) -> None:
        """Refuse the request if anything was wrong."""
        if self._problems:
            raise Refused("FIELD_INVALID", problems=tuple(self._problems))

    def request_id(self, value: str) -> None:
        if not 0 < len(value.encode()) <= REQUEST_ID_BYTES_MAX or not value.isprintable():
            self.add("request_id", "Must be 1 to 255 bytes of printable text.")
        elif card_numbers.looks_like_one(value):
            self.add("request_id", _NO_CARD_NUMBER)

    def endpoint_id(self, value: str, field: str = "endpoint_id") -> None:
        if not re.fullmatch(ids.ENDPOINT + ids.FORM, value, re.ASCII):
            self.add(field, "Must be the id of an endpoint, whe_...")

    def delivery_id(self, value: str) -> None:
        if not re.fullmatch(ids.DELIVERY + ids.FORM, value, re.ASCII):
            self.add("delivery_id", "Must be the id of a delivery, whd_...")

    def merchant_id(self, value: str) -> None:
        """Check an id that may be empty."""
        if value and not _MERCHANT_ID.fullmatch(value):
            self.add("merchant_id", "Must be the id of a merchant, mer_...")

    def event_id(self, value: str) -> None:
        """Check an id that may be empty."""
        if len(value) > EVENT_ID_LENGTH_MAX or not (value.isascii() and value.isprintable()):
            self.add("event_id", "Must be the id of an event.")

    def description(self, value: str, field: str = "description") -> None:
        if len(value) > DESCRIPTION_LENGTH_MAX or _CONTROL.search(value):
            self.add(field, "Must be 0 to 255 characters without control characters.")
        elif card_numbers.looks_like_one(value):
            self.add(field, _NO_CARD_NUMBER)

    def event_types(
        self, values: Sequence[str], merchant_id: str, field: str = "event_types"
    ) -> None:
        allowed = catalogue.allowed_types(merchant_id, self._topics)
        if len(values) > catalogue.EVENT_TYPES_MAX or len(set(values)) != len(values):
            self.add(field, f"Must be at most {catalogue.EVENT_TYPES_MAX}, each once.")
        elif not set(values) <= set(allowed):
            self.add(field, f"Must be of {', '.join(allowed)}.")

    def page(self, size: int, token: str) -> None:
        if not 0 <= size <= PAGE_SIZE_MAX:
            self.add("page_size", f"Must be 0 to {PAGE_SIZE_MAX}.")
        if len(token) > PAGE_TOKEN_LENGTH_MAX:
            raise Refused("PAGE_TOKEN_INVALID")
