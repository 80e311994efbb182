"""Runs the gateway itself, for machines on which it stands alone."""

import os
import sys
from typing import Annotated

import typer

from deploy.local.commands import calling
from deploy.local.commands.output import Output

app = typer.Typer()


@calling.local(app, "gateway", "tender gateway", "tender gateway --workers 4")
def gateway(
    printer: Output,
    workers: Annotated[
        int | None,
        typer.Option(
            envvar="TENDER_GATEWAY_WORKERS", help="Processes on the port, one per core.", min=1
        ),
    ] = None,
    only_check: Annotated[
        bool, typer.Option("--check", help="Print the settings that apply, and exit.")
    ] = False,
) -> None:
    """Run a gateway with the settings of the environment, until a signal to stop.

    It takes the place of this command's process, and logs and prints JSON.
    """
    options = ["--workers", str(workers)] * (workers is not None) + ["--check"] * only_check
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "deploy.servers.gateway", *options])
