"""The templates that come with Tender, from the files beside this one."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from services.notifications.kinds import Channel
from services.notifications.templates import Parts, Template

FOLDER: Final = Path(__file__).parent / "defaults"
LANGUAGES: Final = ("de", "en")


def load() -> list[Template]:
    """Return one for each type of message about payments, channel and language."""
    return [template for language in LANGUAGES for template in _of(language)]


def _of(language: str) -> Iterator[Template]:
    layout = (FOLDER / "layout.html").read_text().replace("LANGUAGE", language)
    said: dict[str, Any] = tomllib.loads((FOLDER / f"{language}.toml").read_text())
    for type_name, words in said.items():
        html = layout.replace("BODY", words["html"].strip())
        subject, short = words["subject"], words["short"]
        mail = Parts(subject, words["text"].strip(), html)
        for channel, parts in (
            (Channel.EMAIL, mail),
            (Channel.SMS, Parts("", short)),
            (Channel.PUSH, Parts(subject, short)),
        ):
            yield Template(type_name, channel, language, 1, parts, built_in=True)
