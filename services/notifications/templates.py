"""Templates of messages, and what one makes of an event."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.notifications import engine, samples
from services.notifications.engine import Broken, Reader
from services.notifications.kinds import Channel

SUBJECT_LENGTH_MAX: Final = 250
TEXT_LENGTH_MAX: Final = {
    Channel.EMAIL: engine.OUTPUT_LENGTH_MAX,
    Channel.SMS: 1_000,
    Channel.PUSH: 2_000,
}
"""Filled in. Six parts of a text message; what push services take."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a message, or the templates of them."""

    subject: str
    text: str
    html: str = ""


@dataclass(frozen=True, slots=True)
class Template:
    """A template as it is stored."""

    type: str
    channel: Channel
    language: str
    version: int
    parts: Parts
    sample: samples.Sample = samples.NONE
    """With which it was tried, if its type has none of its own."""
    built_in: bool = False


def fill_in(parts: Parts, channel: Channel, values: Mapping[str, Any], reader: Reader) -> Parts:
    """Return a message. Raises Broken, naming the part."""
    made = {}
    for name in ("subject", "text", "html"):
        source = getattr(parts, name)
        try:
            made[name] = engine.fill_in(source, values, reader, as_html=name == "html")
        except Broken as broken:
            raise Broken(f"{name}: {broken}") from None
    message = Parts(_one_line(made["subject"]), made["text"].strip(), made["html"])
    if not message.text:
        raise Broken("text: it is empty")
    if len(message.text) > TEXT_LENGTH_MAX[channel]:
        raise Broken(f"text: it is longer than {TEXT_LENGTH_MAX[channel]} characters")
    if channel is not Channel.SMS and not message.subject:
        raise Broken("subject: it is empty")
    return message


def try_out(template: Template) -> Parts:
    """Return the message that a template makes of the first sample of its type.

    Raises Broken if there is one of which it makes none.
    """
    reader = Reader(template.language, samples.ZONE)
    filled = [
        fill_in(template.parts, template.channel, values, reader)
        for values in values_to_try(template)
    ]
    return filled[0]


def values_to_try(template: Template) -> Sequence[Mapping[str, Any]]:
    """Return what a template has to be fit for."""
    return samples.OF_TYPE.get(template.type) or (samples.values(template.sample),)


def _one_line(text: str) -> str:
    """Return a subject in one line: what others wrote may hold line ends, a header may not."""
    shown = "".join(" " if unicodedata.category(it) in {"Cc", "Zl", "Zp"} else it for it in text)
    line = " ".join(part for part in shown.split(" ") if part)
    return line if len(line) <= SUBJECT_LENGTH_MAX else line[: SUBJECT_LENGTH_MAX - 1] + "…"
