"""`python -m loadtest`: a stack, accounts and merchants, the scenarios, verify, and a table."""

import asyncio
import contextlib
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import tender
from deploy.local import folder, ports, supervisor
from loadtest import place, prepare, running, table, world
from loadtest.catalogue import SCENARIOS
from loadtest.place import Place
from loadtest.running import Run

REPORTS = running.ROOT / "loadtest" / "reports"
DURATION_SECONDS_DEFAULT = 20.0
PROCESSES_DEFAULT = 2
ACCOUNTS_DEFAULT = 2_000
WEB_PORT_DEFAULT = 8089
# Wider than the table, so that nothing is ever cut.
WIDTH = 500
EXIT_FAILED, EXIT_USAGE = 1, 2

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(context_settings={"help_option_names": ["-h", "--help"]})
def load(
    scenarios: Annotated[
        list[str] | None, typer.Argument(help=f"Of {', '.join(SCENARIOS)}; none means all.")
    ] = None,
    duration: Annotated[float, typer.Option(help="Seconds of each.")] = DURATION_SECONDS_DEFAULT,
    processes: Annotated[int, typer.Option(min=1, help="Workers.")] = PROCESSES_DEFAULT,
    users: Annotated[int | None, typer.Option(min=1, help="Instead of the scenario's.")] = None,
    rate: Annotated[
        float | None, typer.Option(min=0, help="Offered commands/s; 0: as answers come.")
    ] = None,
    accounts: Annotated[int, typer.Option(min=1, help="That pay.")] = ACCOUNTS_DEFAULT,
    target: Annotated[str | None, typer.Option(help="host:port of another deployment.")] = None,
    api_key_file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Its key.")
    ] = None,
    insecure: Annotated[bool, typer.Option(help="Without TLS to another machine.")] = False,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of a stack that runs here already.")
    ] = None,
    world_file: Annotated[
        Path | None, typer.Option("--world", exists=True, help="Accounts of an earlier run.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the reports.")] = None,
    p99_ms: Annotated[float | None, typer.Option(help="Limit, from the intended time.")] = None,
    error_share: Annotated[float | None, typer.Option(help="Limit, 0 to 1.")] = None,
    rate_min: Annotated[float | None, typer.Option(help="Least payments/s.")] = None,
    warm_up: Annotated[float, typer.Option(help="Seconds that count for nothing.")] = 3.0,
    seed: Annotated[int, typer.Option(help="Of the accounts drawn.")] = 1,
    ui: Annotated[bool, typer.Option("--ui", help="Locust's web UI instead of a run.")] = False,
    web_port: Annotated[int, typer.Option(help="Of the web UI.")] = WEB_PORT_DEFAULT,
) -> None:
    """Load a Tender: by default a stack of its own, with all scenarios one after the other.

    Exit code 1 when a limit is missed, a duplicate is found or the ledger does not verify.
    """
    wanted = scenarios or list(SCENARIOS)
    if unknown := [each for each in wanted if each not in SCENARIOS]:
        raise typer.BadParameter(f"no scenario is called {', '.join(unknown)}")
    run = Run(duration, processes, users, rate, p99_ms, error_share, rate_min, warm_up, seed)
    console = Console(width=WIDTH, highlight=False, soft_wrap=True)
    folder_out = (out or REPORTS / time.strftime("%Y%m%d-%H%M%S")).resolve()
    folder_out.mkdir(parents=True, exist_ok=True)
    try:
        with _somewhere(target, api_key_file, insecure, data_dir, folder_out, console) as there:
            people = world_file or _prepare(there, accounts, folder_out, console)
            if ui:
                _serve_ui(run, there, people, web_port, folder_out, console)
                summaries: list[dict[str, Any]] = []
            else:
                summaries = [_run(name, run, there, people, folder_out, console) for name in wanted]
            verified = None if there.data_dir is None else place.verify(there.data_dir)
    except (
        folder.FolderBusy,
        place.NotRunning,
        ports.PortTaken,
        supervisor.StartFailed,
        tender.TenderError,
    ) as error:
        console.print(f"[red]{error}[/]")
        raise typer.Exit(EXIT_FAILED) from None
    table.show(console, summaries, verified)
    console.print(f"[dim]reports: {folder_out}[/]")
    results = {"scenarios": summaries, "verify": verified}
    (folder_out / "results.json").write_text(json.dumps(results, indent=2))
    if verified or any(each["breaches"] for each in summaries):
        raise typer.Exit(EXIT_FAILED)


@contextlib.contextmanager
def _somewhere(
    target: str | None,
    api_key_file: Path | None,
    insecure: bool,
    data_dir: Path | None,
    out: Path,
    console: Console,
) -> Iterator[Place]:
    """The target, else the running stack, else a stack that lives as long as the load."""
    if target is not None:
        if api_key_file is None:
            raise typer.BadParameter("a target needs --api-key-file")
        yield Place(target, api_key_file, insecure)
    elif data_dir is not None:
        yield place.running(data_dir)
    else:
        own = out / "stack"
        with place.own_stack(own, lambda line: console.print(f"[dim]{line}[/]")) as there:
            yield there
        shutil.rmtree(own)


def _prepare(there: Place, accounts: int, out: Path, console: Console) -> Path:
    console.print(f"opening {accounts:,} accounts and {prepare.MERCHANTS} merchants")
    made = asyncio.run(
        prepare.prepare(there.target, there.api_key, accounts, insecure=there.insecure)
    )
    path = out / "world.json"
    world.save(made, path)
    return path


def _run(
    name: str, run: Run, there: Place, people: Path, out: Path, console: Console
) -> dict[str, Any]:
    scenario = SCENARIOS[name]
    console.print(f"[bold]{name}[/]: {scenario.about}, {run.duration_seconds:g} s")
    command = running.arguments(scenario, run, there, people, out)
    seconds_max = run.duration_seconds + running.OVERTIME_SECONDS_MAX
    exit_code = running.load(command, seconds_max, out / f"{name}.log")
    return running.outcome(scenario, exit_code, out)


def _serve_ui(
    run: Run, there: Place, people: Path, web_port: int, out: Path, console: Console
) -> None:
    console.print(f"Locust's web UI: [bold]http://127.0.0.1:{web_port}[/]; Ctrl-C ends it")
    running.load(running.ui_arguments(run, there, people, web_port), None, out / "ui.log")


if __name__ == "__main__":
    app(prog_name="python -m loadtest")
