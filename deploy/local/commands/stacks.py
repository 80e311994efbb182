"""Running a stack on this machine: up, down and status."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.box import DOUBLE
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from deploy.local import database, folder, layout, ports, servers, services, supervisor
from deploy.local.commands import calling, output, reports
from deploy.local.commands.calling import DATA_DIR_DEFAULT, DataDir
from deploy.local.commands.output import Output
from deploy.local.options import Kafka, StackOptions

app = typer.Typer()

# Where gRPC services are looked for first; everything else is found through `tender status`.
GATEWAY_PORT_DEFAULT = 50051
STOP_SECONDS_MAX = 90.0
READY = b"ready\n"

WARNING = (
    "[bold]Not for production.[/] Everything runs on this machine, on\n"
    "loopback and without TLS, and the key below may do everything."
)
FIRST_PAYMENT = """\
SHOP=$(tender merchant create corner-coffee --currency EUR --basis-points 140 --quiet)
ADA=$(tender account open ada EUR --quiet)
tender transfer '50.00 EUR' --from world --to $ADA
tender pay '10.50 EUR' --from $ADA --to $SHOP"""

Ports = Annotated[
    list[str] | None,
    typer.Option(
        "--port",
        metavar="NAME=NUMBER",
        help="Of gateway, processor, processor2, postgres, replica1, postgres2, "
        "postgres2-replica1, valkey, kafka, kafka_controller, gateway_metrics, "
        "processor_metrics or processor2_metrics; 0 takes a free one.",
    ),
]


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Tells why a stack does not start, where a person can do something about it."""
    try:
        yield
    except ports.PortTaken as error:
        hint = "Choose another with --port NAME=NUMBER; NAME=0 takes a free one."
        raise reports.Problem(str(error), hint) from None
    except folder.FolderBusy as error:
        hint = "Stop it with `tender down`, or choose another --data-dir."
        raise reports.Problem(str(error), hint) from None
    except layout.BadLayout as error:
        hint = "Give --shards, --regions and --servers as before, or choose another --data-dir."
        raise reports.Problem(str(error), hint) from None
    except supervisor.StartFailed as error:
        raise reports.Problem(str(error), "See the logs in the data folder.") from None


@calling.local(
    app,
    "up",
    "tender up",
    "tender up --detach --port gateway=0 --data-dir /tmp/tender",
    "tender up --shards 4 --regions eu,us --servers 2 --replicas 2 --processors 2",
    "tender up --replicas 2 --synchronous",
    "tender up --kafka apache",
    "tender up --postgres-url postgresql://tender@db.example.com/tender",
)
def up(
    printer: Output,
    data_dir: DataDir = DATA_DIR_DEFAULT,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Run in the background.")] = False,
    port: Ports = None,
    shards: Annotated[int, typer.Option(min=1, max=64, help="Databases with a lane each.")] = 1,
    regions: Annotated[
        str,
        typer.Option(
            "--regions", "--region", help="Short names, part of every id, with commas between."
        ),
    ] = "eu",
    postgres_servers: Annotated[
        int, typer.Option("--servers", min=1, max=16, help="Postgres servers for the shards.")
    ] = 1,
    replicas: Annotated[int, typer.Option(min=0, max=4, help="Standbys of each Postgres.")] = 1,
    processors: Annotated[
        int, typer.Option(min=1, max=16, help="Processors, which share the lanes.")
    ] = 1,
    failover: Annotated[
        bool,
        typer.Option("--failover", help="Promote a replica when its Postgres dies or hangs."),
    ] = False,
    synchronous: Annotated[
        bool,
        typer.Option(
            "--synchronous", help="Acknowledge only what a replica has too; implies --failover."
        ),
    ] = False,
    postgres_url: Annotated[
        str | None, typer.Option(help="Owner's URL of a Postgres to use instead.")
    ] = None,
    redis_url: Annotated[
        str | None, typer.Option(help="URL of a Redis or Valkey to use instead.")
    ] = None,
    kafka: Annotated[
        Kafka,
        typer.Option(
            help="Embedded, in memory; or Apache Kafka, which keeps its data and needs Java 17 and "
            "Maven."
        ),
    ] = "embedded",
    kafka_bootstrap: Annotated[
        str | None, typer.Option(help="host:port of a Kafka to use instead.")
    ] = None,
    relay: Annotated[
        bool, typer.Option("--relay/--no-relay", help="Publish what is committed to Kafka.")
    ] = True,
    behind: Annotated[
        bool,
        typer.Option(
            "--services/--no-services",
            help="Start the services behind Kafka too; they need the relay, and databases of "
            "their own on the first Postgres.",
        ),
    ] = True,
    reflection: Annotated[
        bool, typer.Option("--reflection/--no-reflection", help="Let clients list the methods.")
    ] = True,
    ready_fd: Annotated[int, typer.Option(hidden=True)] = -1,
) -> None:
    """Start Postgres with a replica, Valkey, Kafka, processor and gateway on this machine.

    Stays in the foreground, restarts what dies, and stops everything on Ctrl-C. What is in the
    data folder is there again at the next start, except for Valkey's and the embedded Kafka's.
    """
    if detach:
        _start_detached(data_dir)
        _print_running(printer, data_dir)
        return
    # Its drivers take a quarter of a second to import, which no other command shall wait for.
    from deploy.local.stack import Stack

    with explained():
        options = StackOptions(
            data_dir=data_dir,
            shards=shards,
            regions=tuple(regions.split(",")),
            servers=postgres_servers,
            replicas=replicas,
            processors=processors,
            failover=failover,
            synchronous=synchronous,
            ports={"gateway": GATEWAY_PORT_DEFAULT} | _ports(port or []),
            postgres_url=postgres_url,
            redis_url=redis_url,
            kafka_bootstrap=kafka_bootstrap,
            relay=relay,
            services=services.names() if relay and behind else (),
            kafka=kafka,
            reflection=reflection,
        )
    console = Console(highlight=False, soft_wrap=True, stderr=printer.as_json)
    stack = Stack(options, on_event=lambda event: console.print(f"[dim]{escape(event)}[/]"))
    # Until the stack listens to signals itself, a TERM during its start takes it down in order.
    signal.signal(signal.SIGTERM, _interrupt)
    with explained():
        stack.start()

    def announce() -> None:
        if ready_fd >= 0:
            os.write(ready_fd, READY)
            os.close(ready_fd)
        else:
            _print_running(printer, data_dir)

    try:
        stack.wait(announce)
    finally:
        stack.stop()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _ports(texts: list[str]) -> dict[str, int]:
    pairs = calling.parse_pairs(texts)
    for name, number in pairs.items():
        if not number.isdecimal() or int(number) > 65_535:
            raise typer.BadParameter(f"{number!r} is not a port for {name}")
    return {name: int(number) for name, number in pairs.items()}


def _start_detached(data_dir: Path) -> None:
    """Starts the same command in a session of its own and waits until it is ready."""
    place = folder.Folder(data_dir)
    place.create()
    log = place.log("up")
    ours, theirs = os.pipe()
    arguments = [each for each in sys.argv[1:] if each not in ("--detach", "-d")]
    with log.open("wb") as written:
        child = subprocess.Popen(
            [sys.executable, "-m", "deploy.local.cli", *arguments, "--ready-fd", str(theirs)],
            env=servers.environment(),
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            pass_fds=[theirs],
            start_new_session=True,
        )
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        answer = pipe.read(len(READY))
    if answer != READY:
        child.wait()
        raise reports.Problem(log.read_text().strip(), f"The whole log is {log}.")


def _print_running(printer: Output, data_dir: Path) -> None:
    endpoints = folder.read_endpoints(data_dir)
    key = endpoints.api_key_file.read_text().strip()
    if printer.as_json:
        printer.json({"target": endpoints.gateway, "apiKey": key, "dataDir": str(data_dir)})
        return
    rows = [
        ("gateway (gRPC)", endpoints.gateway),
        *((each.name, each.address) for each in endpoints.processors),
        ("metrics", f"http://{endpoints.gateway_metrics}/metrics"),
        *(("", f"http://{each.metrics}/metrics") for each in endpoints.processors),
        ("Kafka", endpoints.kafka_bootstrap),
        ("data", f"{data_dir}"),
        ("development key", f"[bold]{key}[/]"),
    ]
    console = Console(highlight=False, soft_wrap=True)
    console.print(Panel(WARNING, box=DOUBLE, border_style="yellow", expand=False))
    console.print(output.grid(rows))
    console.print("\nA first payment, to paste into another terminal:\n")
    if data_dir != DATA_DIR_DEFAULT:
        console.print(f"export TENDER_DATA_DIR={data_dir.resolve()}", style="cyan", markup=False)
    console.print(FIRST_PAYMENT, style="cyan", markup=False)
    console.print()


@calling.local(app, "down", "tender down")
def down(printer: Output, data_dir: DataDir = DATA_DIR_DEFAULT) -> None:
    """Stop the stack that runs in the data folder; its data stays."""
    try:
        stopped = folder.stop_running(data_dir, STOP_SECONDS_MAX)
    except TimeoutError as error:
        raise reports.Problem(str(error), "See the logs in the data folder.") from None
    if printer.as_json:
        printer.json({"stopped": stopped})
    printer.say("stopped" if stopped else f"no stack is running in {data_dir}")


@calling.local(app, "status", "tender status", "tender status --json")
def status(printer: Output, data_dir: DataDir = DATA_DIR_DEFAULT) -> None:
    """Show what runs in the data folder; exit code 1 unless all of it does."""
    state = folder.running_stack(data_dir)
    if state is None:
        if printer.as_json:
            printer.json({"running": False, "children": []})
        printer.say(f"no stack is running in {data_dir}")
        raise typer.Exit(1)
    children = [
        {"name": name, "pid": child.pid, "port": state.port(name), "alive": child.is_alive()}
        for name, child in state.children.items()
    ]
    endpoints = folder.read_endpoints(data_dir)
    shards = [
        {"name": each.name, "region": each.region, "database": _database(each)}
        for each in endpoints.shards
    ]
    serving = _serves(endpoints.gateway)
    if printer.as_json:
        printer.json(
            {
                "running": True,
                "serving": serving,
                "startedAt": state.started_at.isoformat(),
                "children": children,
                "shards": shards,
            }
        )
    rows = [
        (
            str(each["name"]),
            str(each["pid"]),
            str(each["port"] or ""),
            "[green]up[/]" if each["alive"] else "[red]down[/]",
        )
        for each in children
    ]
    printer.show(output.table(("child", "=pid", "=port", "state"), rows))
    found = [(each["name"], each["region"], each["database"]) for each in shards]
    printer.show(output.table(("shard", "region", "database"), found))
    printer.say("the gateway serves" if serving else "[red]the gateway does not serve[/]")
    if not serving or not all(each["alive"] for each in children):
        raise typer.Exit(1)


def _database(shard: folder.ShardEndpoints) -> str:
    """What may be shown of a shard's URL."""
    return f"{database.where(shard.owner_url)}/{database.name_in(shard.owner_url)}"


def _serves(gateway: str) -> bool:
    try:
        servers.probe(gateway)
    except supervisor.NotReady:
        return False
    return True
