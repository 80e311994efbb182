"""`tender bench`: the benchmark, on a stack of its own or against a deployment that runs."""

import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from deploy.local.commands import calling, reports
from deploy.local.commands.output import Output

app = typer.Typer(
    invoke_without_command=True,
    help="Measure payments per second, latency, and CPU per payment.",
)

RESULTS_DEFAULT = Path("benchmarks/results/latest.json")
DATA_DEFAULT = Path(".tender/bench")
SOAK_MINUTES = 10.0
WIDTH = 200
WHAT, WHERE, MUST = "What to measure", "Where", "What must come of it"
EXAMPLES = (
    "tender bench --quick",
    "tender bench --scenario unary --scenario stream --rounds 5 --no-pgbench",
    "tender bench --knee",
    "tender bench --overload",
    "tender bench --shards",
    "tender bench --events",
    "tender bench --scenario redis_on --scenario cross_shard",
    "tender bench --soak 10",
    "tender bench --all",
    "tender bench --target pay.example.com:443 --api-key-file key --ca-file roots.pem",
    "tender bench --quick --scenario unary --p99-ms 50 --rate-min 2000",
    "tender bench compare before.json after.json",
)


@app.callback(epilog=calling.epilog(EXAMPLES))
def bench(
    context: typer.Context,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Under 90 s: one short round.", rich_help_panel=WHAT),
    ] = False,
    scenario: Annotated[
        list[str] | None,
        typer.Option(help="Only this one; repeatable.", rich_help_panel=WHAT),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(min=1, help="Measured in each round.", rich_help_panel=WHAT),
    ] = None,
    round_count: Annotated[
        int | None,
        typer.Option("--rounds", min=1, max=99, help="Of each scenario.", rich_help_panel=WHAT),
    ] = None,
    with_pgbench: Annotated[
        bool,
        typer.Option("--pgbench/--no-pgbench", help="The yardstick.", rich_help_panel=WHAT),
    ] = True,
    in_flight: Annotated[
        int | None,
        typer.Option(min=1, help="Payments unanswered at a time.", rich_help_panel=WHAT),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="All scenarios, knee, overload and a soak of 10 minutes: about an hour.",
            rich_help_panel=WHAT,
        ),
    ] = False,
    with_knee: Annotated[
        bool,
        typer.Option("--knee", help="Find where latency breaks; plots.", rich_help_panel=WHAT),
    ] = False,
    only_shards: Annotated[
        bool,
        typer.Option(
            "--shards",
            help="Only what several shards, Redis and standbys give and cost: lanes, money across "
            "shards, replays, reads, takeover, a bucket's move, Redis on, off and killed.",
            rich_help_panel=WHAT,
        ),
    ] = False,
    only_events: Annotated[
        bool,
        typer.Option(
            "--events",
            help="Only what events cost and how old they get: a relay and Apache Kafka, which "
            "needs Java 17 and Maven, on the same cores.",
            rich_help_panel=WHAT,
        ),
    ] = False,
    with_overload: Annotated[
        bool,
        typer.Option(
            "--overload", help="Offer more than can be carried; goodput.", rich_help_panel=WHAT
        ),
    ] = False,
    soak: Annotated[
        float,
        typer.Option(
            min=0, metavar="MINUTES", help="At 70 % of the knee; plots.", rich_help_panel=WHAT
        ),
    ] = 0,
    target: Annotated[
        str | None,
        typer.Option(
            help="host:port of a gateway that runs already; its CPU, verify, history and pgbench "
            "cannot be looked at from here.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            exists=True, help="With a key of scope operator, for --target.", rich_help_panel=WHERE
        ),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(exists=True, help="PEM roots: --target has TLS.", rich_help_panel=WHERE),
    ] = None,
    replicas: Annotated[
        int, typer.Option(min=0, max=4, help="Standbys of Postgres.", rich_help_panel=WHERE)
    ] = 0,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Gateway processes.", rich_help_panel=WHERE)
    ] = 1,
    data_dir: Annotated[
        Path, typer.Option(help="Folder for data, on a real disk.", rich_help_panel=WHERE)
    ] = DATA_DEFAULT,
    p99_ms: Annotated[
        float | None, typer.Option(help="No p99 is above it.", rich_help_panel=MUST)
    ] = None,
    rate_min: Annotated[
        float | None, typer.Option(help="No rate is below it.", rich_help_panel=MUST)
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the results go.")] = RESULTS_DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Measure payments per second, latency, and CPU per payment.

    Starts a stack of its own, fills it, and deletes it afterwards. Exit code 1 for an error, a
    duplicate, a broken ledger, an answer that the database does not hold, or a missed threshold.
    """
    if context.invoked_subcommand is not None:
        return
    with reports.reported(as_json):
        benchmark, wanted_module, scenarios = _modules()
        if everything:
            with_knee = with_overload = True
            soak = soak or SOAK_MINUTES
        only_longer = not everything and (with_knee or with_overload or soak > 0)
        names, of_shards = _names(
            scenario,
            scenarios,
            quick,
            longer=only_longer,
            only_shards=only_shards and not everything,
            only_events=only_events and not everything,
            can_start=target is None,
        )
        wanted = wanted_module.Wanted(
            scenarios=names,
            shards=of_shards,
            events=only_events
            or everything
            or not (scenario or quick or only_longer or only_shards or target),
            city=wanted_module.CITY_QUICK if quick else wanted_module.CITY,
            data_dir=data_dir,
            lengths=wanted_module.changed(
                wanted_module.QUICK if quick else wanted_module.FULL,
                seconds=seconds,
                rounds=round_count,
                knee=with_knee,
            ),
            with_pgbench=with_pgbench and not only_longer and bool(names),
            target=_target(target, api_key_file, ca_file, wanted_module),
            stack={"replicas": replicas, "gateway_workers": workers},
            cold=wanted_module.COLD_QUICK if quick else wanted_module.COLD,
            in_flight=in_flight,
            knee=with_knee,
            overload=with_overload,
            soak_minutes=soak,
            pages=out.parent,
            p99_ms=p99_ms,
            rate_min=rate_min,
        )
        results = _run(benchmark, wanted, _say(as_json))
        benchmark.write(results, out)
        _show(results, as_json)
        if results["failures"]:
            raise typer.Exit(reports.EXIT_REFUSED)


@calling.local(app, "compare", "tender bench compare before.json after.json")
def compare(
    printer: Output,
    before: Annotated[Path, typer.Argument(exists=True, help="Results of an earlier run.")],
    after: Annotated[Path, typer.Argument(exists=True, help="Results of a later run.")],
) -> None:
    """Say what changed by more than noise: by more than the rounds of a run differ themselves."""
    from benchmarks import compare as comparison

    lines = comparison.compare(comparison.load(before), comparison.load(after))
    if printer.as_json:
        printer.json({"figures": [line._asdict() for line in lines]})
        return
    Console(highlight=False, soft_wrap=True).print(comparison.table(lines))


def _modules() -> tuple[Any, Any, Any]:
    """Import what takes a second, and what an installation without the tools does not have."""
    try:
        from benchmarks import bench, scenarios, wanted
    except ImportError as error:
        raise reports.Problem(
            f"The benchmark is not installed here: {error}",
            "It runs from a source tree with the extras local and load: `make bench`.",
        ) from None
    return bench, wanted, scenarios


def _names(
    given: list[str] | None,
    scenarios: Any,
    quick: bool,
    *,
    longer: bool,
    only_shards: bool,
    only_events: bool,
    can_start: bool,
) -> tuple[list[str], list[str]]:
    """Return which scenarios are measured, and what of several shards."""
    from benchmarks.shards.table import NAMES as OF_SHARDS

    known: dict[str, Any] = scenarios.SCENARIOS
    unknown = sorted(set(given or ()) - known.keys() - set(OF_SHARDS))
    if unknown:
        raise typer.BadParameter(
            f"{', '.join(unknown)}: there are {', '.join((*known, *OF_SHARDS))}"
        )
    of_shards = [name for name in OF_SHARDS if name in given] if given else list(OF_SHARDS)
    if not can_start and (only_shards or (given and of_shards)):
        raise typer.BadParameter("several shards are measured on a stack of the benchmark's own")
    if given:
        return [name for name in given if name in known], of_shards
    if only_events and not can_start:
        raise typer.BadParameter("events are measured on a stack of the benchmark's own")
    if only_shards:
        return [], of_shards
    if only_events:
        return [], []
    if longer:
        return ["unary"], []
    names = [name for name, one in known.items() if not (quick and one.cold)]
    return names, [] if quick or not can_start else of_shards


def _target(
    address: str | None, api_key_file: Path | None, ca_file: Path | None, wanted: Any
) -> Any:
    if address is None:
        return None
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise typer.BadParameter(f"{address!r} is not host:port")
    if api_key_file is None:
        raise typer.BadParameter("--target needs --api-key-file")
    return wanted.Target(host, int(port), api_key_file.read_text().strip(), ca_file)


def _run(benchmark: Any, wanted: Any, say: Callable[[str], None]) -> dict[str, Any]:
    from benchmarks.generator import GeneratorFailed
    from benchmarks.measure.machine import Dishonest
    from benchmarks.measure.pgbench import PgbenchFailed

    try:
        results: dict[str, Any] = benchmark.run(wanted, say)
    except Dishonest as refused:
        raise reports.Problem(str(refused), "Such a figure would say nothing.") from None
    except (GeneratorFailed, PgbenchFailed) as failed:
        raise reports.Problem(str(failed)) from None
    return results


def _console(as_json: bool) -> Console:
    file = io.StringIO() if as_json else None
    return Console(highlight=False, soft_wrap=True, width=WIDTH, file=file)


def _say(as_json: bool) -> Callable[[str], None]:
    console, started = _console(as_json), time.monotonic()
    return lambda line: console.print(f"[dim]{time.monotonic() - started:5.0f} s[/]  {line}")


def _show(results: dict[str, Any], as_json: bool) -> None:
    from benchmarks import report

    if as_json:
        typer.echo(json.dumps(results, indent=1))
        return
    console = _console(as_json)
    console.print()
    console.print(report.table(results))
    for shown in (report.overloads(results), report.shards(results), report.accidents(results)):
        if shown is not None:
            console.print(shown)
    for line in report.notes(results):
        console.print(line)
