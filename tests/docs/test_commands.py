"""Every `tender` command that a page writes is there, with the options that the page gives it."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import typer
from typer.core import TyperGroup

from deploy.local import cli

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md")))
PROGRAM: Final = typer.main.get_command(cli.app)

_BLOCK: Final = re.compile(r"^ *```(?P<kind>\w*)\n(?P<lines>.*?)^ *```", re.MULTILINE | re.DOTALL)
_SHELL: Final = frozenset({"sh", "console", ""})
_CONTINUED: Final = re.compile(r"\\\n\s*")
_IN_BLOCK: Final = re.compile(
    r"^ *(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\w+=\$\(|[^#\n]*\| )?tender (?P<words>.*?)\)?$", re.MULTILINE
)
_BEHIND: Final = re.compile(r" +(?:#|>)")
_IN_TEXT: Final = re.compile(r"(?<!`)`tender (?P<words>[^`]+)`(?!`)")


def in_blocks(text: str) -> Iterator[str]:
    """Yield the commands of a page's blocks, which are whole."""
    for block in _BLOCK.finditer(text):
        lines = _CONTINUED.sub("", block["lines"]) if block["kind"] in _SHELL else ""
        for found in _IN_BLOCK.finditer(lines):
            yield _BEHIND.split(found["words"])[0]


def in_text(text: str) -> Iterator[str]:
    """Yield the commands that sentences name; what is said of them may leave out the rest."""
    for found in _IN_TEXT.finditer(_BLOCK.sub("", text)):
        yield " ".join(found["words"].split())


TEXTS: Final = [page.read_text() for page in PAGES]
WHOLE: Final = sorted({words for text in TEXTS for words in in_blocks(text)})
NAMED: Final = sorted({words for text in TEXTS for words in in_text(text)} - set(WHOLE))


def missing(words: str) -> list[str]:
    """Return what a command still wants; fail if there is no such command or option."""
    left = shlex.split(words)
    command = PROGRAM
    while isinstance(command, TyperGroup) and left and not left[0].startswith("-"):
        name = left.pop(0)
        assert name in command.commands, f"there is no {name}"
        command = command.commands[name]
    context = command.context_class(command, info_name=words)
    given, more, _ = command.make_parser(context).parse_args(left)
    assert more == [], f"nothing takes {' '.join(more)}"
    return [str(it.name) for it in command.params if it.required and not given.get(str(it.name))]


def test_pages_write_commands() -> None:
    assert len(WHOLE) > 25
    assert len(NAMED) > 10


@pytest.mark.parametrize("words", WHOLE)
def test_a_command_that_is_shown_is_there_as_it_is_shown(words: str) -> None:
    assert missing(words) == []


@pytest.mark.parametrize("words", NAMED)
def test_a_command_that_is_named_is_there_with_its_options(words: str) -> None:
    missing(words)


@pytest.mark.parametrize("words", ["dlq lists", "dlq show a b"])
def test_a_command_that_is_not_there_is_found(words: str) -> None:
    with pytest.raises(AssertionError):
        missing(words)


def test_an_argument_that_is_left_out_is_found() -> None:
    assert missing("webhooks enable --url https://hooks.example.com/new") == ["endpoint"]


def test_an_option_that_is_not_there_is_found() -> None:
    with pytest.raises(Exception, match=r"No such option: --nothing"):
        missing("dlq list --nothing")
