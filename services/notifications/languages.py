"""Languages of messages: which one is tried after which."""

import re
from typing import Final

DEFAULT: Final = "en"
LENGTH_MAX: Final = 35

_FORM: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z]{4})?(-([A-Za-z]{2}|[0-9]{3}))?")


def normal(tag: str) -> str | None:
    """Return a BCP 47 tag of language, script and region as it is usually written, or None."""
    if _FORM.fullmatch(tag) is None:
        return None
    first, *others = tag.split("-")
    written = [part.title() if len(part) == 4 else part.upper() for part in others]
    return "-".join([first.lower(), *written])


def chain(tag: str, default: str = DEFAULT) -> tuple[str, ...]:
    """Return what is tried in turn: "de-AT" gives de-AT, de and then the default."""
    parts = tag.split("-")
    tried = ["-".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return tuple(dict.fromkeys([*tried, default]))
