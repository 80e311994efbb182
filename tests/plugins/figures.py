"""Shows what tests measured at the end of the run; no test depends on it."""

from typing import Any, Final

import pytest

KEY: Final = "measured"

_figures: list[str] = []


def measured(line: str) -> None:
    """Note a figure for the end of the run."""
    _figures.append(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand over what was noted in a worker; the process that started it shows it."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[KEY] = _figures


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker noted."""
    _figures.extend(getattr(node, "workeroutput", {}).get(KEY, ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show all figures."""
    if _figures:
        terminalreporter.section(KEY)
        for line in _figures:
            terminalreporter.write_line(line)
