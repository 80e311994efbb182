"""Addresses of people: which ones may be stored, and how much of one may be shown."""

import re
from typing import Final

from email_validator import EmailNotValidError, validate_email

from services.notifications.kinds import Channel

EMAIL_LENGTH_MAX: Final = 254
PUSH_TOKEN_LENGTH_MAX: Final = 512

# ITU-T E.164: at most 15 digits, and no country code begins with 0.
_PHONE: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_PUSH_TOKEN: Final = re.compile(r"[!-~]{1,512}")


class BadAddress(ValueError):
    """Not an address; the text does not repeat it."""


def email(text: str) -> str:
    """Return an address as it is sent to, in ASCII. Raises BadAddress.

    Only its form is looked at: whether somebody reads there is found out by sending.
    """
    if len(text) > EMAIL_LENGTH_MAX:
        raise BadAddress(f"has more than {EMAIL_LENGTH_MAX} characters")
    try:
        found = validate_email(text, check_deliverability=False, allow_smtputf8=False)
    except EmailNotValidError:
        raise BadAddress("is not an e-mail address") from None
    # A domain in other scripts has an ASCII form; servers without SMTPUTF8 take that.
    return found.ascii_email or found.normalized


def phone(text: str) -> str:
    """Return a number as it is sent to. Raises BadAddress."""
    number = re.sub(r"[ ()/.-]", "", text)
    if _PHONE.fullmatch(number) is None:
        raise BadAddress("is not a number with its country code, as in +4366012345678")
    return number


def push_token(text: str) -> str:
    """Return a token as it is sent to. Raises BadAddress."""
    if _PUSH_TOKEN.fullmatch(text) is None:
        raise BadAddress(f"is not 1 to {PUSH_TOKEN_LENGTH_MAX} printable characters without blanks")
    return text


def masked(channel: Channel, address: str) -> str:
    """Return as much of an address as tells its owner which one it is, and nobody else much."""
    match channel:
        case Channel.EMAIL:
            local, _, domain = address.rpartition("@")
            return f"{local[:1]}***@{domain}"
        case Channel.SMS:
            return f"{address[:3]}***{address[-2:]}"
        case Channel.PUSH:
            return f"***{address[-4:]}" if len(address) >= 12 else "***"
