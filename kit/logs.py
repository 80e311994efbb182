"""Logs: one JSON object a line on stderr, an event with fields, never a card number."""

import logging
import sys
from typing import Any, Final

import structlog

from kit import card_numbers

_MASK: Final = "[card number]"
LEVELS: Final = ("debug", "info", "warning", "error")


def configure(level: str = "info", **fields: str) -> None:
    """Set up logging of this process; `fields` (the server's name) go on every line."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact_event,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(**fields)


def logger() -> Any:
    """Return a logger; it finds its configuration when it is used."""
    return structlog.get_logger()


def redact(text: str) -> str:
    """Mask every run of 13 to 19 digits that could be a card number."""
    parts, done = [], 0
    for start, end in sorted(card_numbers.spans(text)):
        if start >= done:
            parts += [text[done:start], _MASK]
        done = max(done, end)
    return "".join([*parts, text[done:]])


def _redact_event(
    _logger: Any, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return {redact(key): _redacted(value) for key, value in event.items()}


def _redacted(value: Any) -> Any:
    match value:
        case str():
            return redact(value)
        case None | bool() | int() | float():
            return value
        case dict():
            return {redact(str(key)): _redacted(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_redacted(item) for item in value]
        case _:
            # The renderer would fall back to repr(): take it first, so that it is redacted too.
            return redact(repr(value))
