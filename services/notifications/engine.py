"""Fills in templates: Jinja's sandbox, and of Jinja only what a message needs.

A template can say what it shows, on which condition, and go through a list. It can call nothing,
compute nothing and define nothing, so that what it costs is bounded by its length and by what it is
given; the sandbox and the limits below are for what this table overlooks.
"""

import functools
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from jinja2 import (
    StrictUndefined,
    Template,
    TemplateError,
    TemplateSyntaxError,
    nodes,
    pass_context,
)
from jinja2.exceptions import UndefinedError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from services.notifications import money
from services.notifications.money import Amount

SOURCE_LENGTH_MAX: Final = 50_000
OUTPUT_LENGTH_MAX: Final = 100_000
SECONDS_MAX: Final = 2.0
"""For one part; a real one takes 50 µs, and a machine that stalls is no broken template."""
LOOPS_DEEP_MAX: Final = 2

# None that makes a text longer than what it is given: joined with itself a few times, one fills the
# memory.
_FILTERS: Final = frozenset(
    {"capitalize", "count", "default", "e", "escape", "first", "last", "length", "lower"}
    | {"trim", "upper"}
)
_TESTS: Final = frozenset({"defined", "undefined", "none", "eq", "ne", "equalto"})
_ALLOWED: Final = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr),
    *(nodes.Getitem, nodes.If, nodes.For, nodes.CondExpr, nodes.Compare, nodes.Operand),
    *(nodes.And, nodes.Or, nodes.Not, nodes.Concat, nodes.Filter, nodes.Test),
)


# No name of a template has a blank in it.
_READER: Final = "the reader"


class Reader(NamedTuple):
    """Whom amounts and times are written for."""

    language: str
    zone: ZoneInfo


class Broken(Exception):
    """A template cannot be filled in. The text names what is wrong in it, and no content."""


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja with nothing in it but what is listed here."""

    def __init__(self, *, as_html: bool) -> None:
        super().__init__(
            autoescape=as_html,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            cache_size=0,
        )
        self.globals.clear()
        self.filters = {name: self.filters[name] for name in _FILTERS} | {
            "money": _money,
            "time": _time,
        }
        self.tests = {name: self.tests[name] for name in _TESTS}


@pass_context
def _money(context: Context, value: Any) -> str:
    if not isinstance(value, Amount):
        raise Broken("money is shown of amounts alone")
    return money.written(value, context[_READER].language)


@pass_context
def _time(context: Context, value: Any) -> str:
    if not isinstance(value, datetime):
        raise Broken("time is shown of times alone")
    reader = context[_READER]
    return money.moment(value, reader.language, reader.zone)


_ENVIRONMENTS: Final = {as_html: _Environment(as_html=as_html) for as_html in (False, True)}


def fill_in(
    source: str,
    values: Mapping[str, Any],
    reader: Reader,
    *,
    as_html: bool,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Return what a template makes of values. Raises Broken."""
    template = _compiled(source, as_html)
    stop_by = clock() + SECONDS_MAX
    parts: list[str] = []
    length = 0
    try:
        for part in template.generate({**values, _READER: reader}):
            length += len(part)
            if length > OUTPUT_LENGTH_MAX:
                raise Broken(f"it gets longer than {OUTPUT_LENGTH_MAX} characters")
            if clock() > stop_by:
                raise Broken(f"it takes longer than {SECONDS_MAX:.0f} s")
            parts.append(part)
    except UndefinedError as error:
        raise Broken(_unknown(error)) from None
    except Broken:
        raise
    except (TemplateError, TypeError, ValueError, LookupError, RecursionError) as error:
        # Its text may quote what the template was given.
        raise Broken(f"it cannot be filled in: {type(error).__name__}") from None
    return "".join(parts)


@functools.lru_cache(maxsize=1_000)
def _compiled(source: str, as_html: bool) -> Template:
    if len(source) > SOURCE_LENGTH_MAX:
        raise Broken(f"it is longer than {SOURCE_LENGTH_MAX} characters")
    environment = _ENVIRONMENTS[as_html]
    try:
        tree = environment.parse(source)
        _check(tree, 0)
        return environment.from_string(tree)
    except TemplateSyntaxError as error:
        raise Broken(f"line {error.lineno}: {error.message}") from None
    except RecursionError:
        raise Broken("it is nested too deep") from None


def _check(node: nodes.Node, loops: int) -> None:
    """Raise Broken if there is more in a tree than a message needs."""
    if not isinstance(node, _ALLOWED):
        raise Broken(f"line {node.lineno}: {type(node).__name__} is not for messages")
    if isinstance(node, nodes.Filter) and node.node is None:
        raise Broken(f"line {node.lineno}: a filter has to stand behind a value")
    if isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Const):
        raise Broken(f"line {node.lineno}: only a name or a number may be in brackets")
    if isinstance(node, nodes.For):
        loops += 1
        if loops > LOOPS_DEEP_MAX or node.recursive:
            raise Broken(f"line {node.lineno}: loops may be {LOOPS_DEEP_MAX} deep")
    for child in node.iter_child_nodes():
        _check(child, loops)


def _unknown(error: UndefinedError) -> str:
    # "'payment' is undefined": names of the template alone, never values.
    return (error.message or "something in it is not known").replace("\n", " ")[:200]
