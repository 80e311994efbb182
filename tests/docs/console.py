"""Blocks of a page that show commands with what they print, and what may differ between two runs.

A line that begins with `$ ` is a command, what follows is what it prints. Ids and addresses on a
page stand for those of a run: the first output that shows one says which, and it stands for that
one from then on, in outputs and in commands.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

PROMPT: Final = "$ "
CONTINUED: Final = "\\"
TIMES: Final = frozenset({"attempt", "attempts", "failures"})
"""Columns of how often something was tried, which no two runs have alike."""
PAIR: Final = 2
"""Cells of a line that shows one value; a table's lines have more."""
REST: Final = ("...",)
"""A line of a page for any number of lines."""

_BLOCK: Final = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_CELLS: Final = re.compile(r" {2,}")
_NAME: Final = re.compile(
    r"https?://\S+|\b(?:whe|whd|ntf|mer|pay)_\w+|\bs1\.[0-9a-f]{12}\.\d+\.\d+"
    r"|\b[a-z-]+/[a-z-]+/\d+/\d+"
)
_ALIKE: Final = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"[\d,]+ ms\b"), "N ms"),
    (re.compile(r"[\d,]+ attempts\b"), "N attempts"),
    (re.compile(r"partition \d+, offset \d+"), "partition N, offset N"),
)
Row = tuple[str, ...]


class Different(AssertionError):
    """What was printed is not what the page shows."""


@dataclass(frozen=True)
class Step:
    """A command, and what the page says that it prints."""

    command: str
    shown: str

    @property
    def changes_nothing(self) -> bool:
        """Whether it may be given until it prints what is waited for."""
        return bool(re.search(r"\b(list|show|endpoints|deliveries|preview)\b", self.command))


def section(text: str, heading: str) -> str:
    """Return what a page says under a heading, with all that is below it."""
    level = heading.partition(" ")[0]
    _, found, rest = f"\n{text}".partition(f"\n{heading}\n")
    assert found, f"there is no {heading}"
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def steps(text: str) -> list[Step]:
    """Return the commands of a text, in their order."""
    return [step for block in _BLOCK.findall(text) for step in _steps(block)]


def _steps(block: str) -> Iterator[Step]:
    command, shown, goes_on = "", "", False
    for line in block.splitlines(keepends=True):
        if line.startswith(PROMPT):
            if command:
                yield Step(command.strip(), shown)
            command, shown = line.removeprefix(PROMPT), ""
        elif goes_on:
            command += line
        else:
            shown += line
        goes_on = not shown and command.rstrip().endswith(CONTINUED)
    if command:
        yield Step(command.strip(), shown)


@dataclass
class Names:
    """What names on the page stand for in a run."""

    real: dict[str, str] = field(default_factory=dict)

    def put_into(self, command: str) -> str:
        """Return a command of the page with the names of the run."""
        return _NAME.sub(lambda found: self.real.get(found[0], found[0]), command)

    def compare(self, shown: str, printed: str) -> None:
        """Learn the names of an output that is as the page shows it. Raises Different."""
        wanted, found = _without_the_rest(rows(shown), rows(printed))
        pairs: dict[str, str] = {}
        if [_unnamed(row) for row in wanted] != [_unnamed(row) for row in found]:
            raise Different(f"the page shows\n{shown}and it printed\n{printed}")
        for name, real in zip(_names(wanted), _names(found), strict=True):
            if pairs.setdefault(name, self.real.get(name, real)) != real:
                raise Different(f"{name} is {pairs[name]} and {real} in\n{printed}")
        known = {**self.real, **pairs}
        if len(set(known.values())) != len(known):
            raise Different(f"two names of the page are one in\n{printed}")
        self.real = known


def rows(text: str) -> list[Row]:
    """Return the cells of an output's lines, without what differs each time."""
    found: list[Row] = []
    header: Row = ()
    for line in text.splitlines():
        cells = _CELLS.split(_alike(line.strip()))
        if TIMES & set(cells) and len(cells) > PAIR:
            header = tuple(cells)
        elif len(cells) == len(header):
            cells = [
                "N" if column in TIMES else cell for cell, column in zip(cells, header, strict=True)
            ]
        # One that was tried once more has one row more of the same kind.
        if not found or found[-1] != tuple(cells):
            found.append(tuple(cells))
    return found


def _without_the_rest(wanted: list[Row], found: list[Row]) -> tuple[list[Row], list[Row]]:
    if REST not in wanted:
        return wanted, found
    place = wanted.index(REST)
    after = wanted[place + 1 :]
    return wanted[:place] + after, found[:place] + found[max(place, len(found) - len(after)) :]


def _alike(line: str) -> str:
    for pattern, instead in _ALIKE:
        line = pattern.sub(instead, line)
    return line


def _kind(name: str) -> str:
    """Return what is the same of all names of a kind."""
    if "/" in name:
        return "URL" if "://" in name else re.sub(r"\d+", "N", name)
    return name.partition("_")[0] if "_" in name else "EVENT"


def _unnamed(row: Row) -> Row:
    return tuple(_NAME.sub(lambda found: f"<{_kind(found[0])}>", cell) for cell in row)


def _names(found: Sequence[Row]) -> list[str]:
    return [name for row in found for cell in row for name in _NAME.findall(cell)]
