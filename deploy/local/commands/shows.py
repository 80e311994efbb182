"""What shows the program itself: demo and version."""

import io
import platform
from importlib import metadata
from typing import Annotated

import typer
from rich.console import Console

from deploy.local.commands import calling, reports
from deploy.local.commands.output import Output

app = typer.Typer()


@calling.local(app, "demo", "tender demo", "tender demo --keep", "tender demo --json")
def demo(
    printer: Output,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the stack running until Ctrl-C.")
    ] = False,
) -> None:
    """Tell a short story on a stack of its own, in a minute; exit code 1 if anything went wrong."""
    # Imports the drivers of a whole stack, which no other command shall wait for.
    from deploy.local import demo as story

    unheard = io.StringIO() if printer.as_json else None
    summary = story.run(Console(highlight=False, soft_wrap=True, file=unheard), keep)
    if printer.as_json:
        printer.json(summary)
    if summary["failures"]:
        raise typer.Exit(reports.EXIT_REFUSED)


@calling.local(app, "version", "tender version --json")
def version(printer: Output) -> None:
    """Show the version of Tender and of what it stands on."""
    versions = {name: _installed(name) for name in ("tender", "grpcio", "protobuf")}
    versions["python"] = platform.python_version()
    if printer.as_json:
        printer.json(versions)
    for name, number in versions.items():
        printer.say(f"{name} {number}")


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
