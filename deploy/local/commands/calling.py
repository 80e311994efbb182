"""The options that every calling command has, and the session that they make."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

import tender
from deploy.local import folder
from deploy.local.commands import reports
from deploy.local.commands.output import Output

P = ParamSpec("P")

PANEL = "Connection and output"
DATA_DIR_DEFAULT = Path(".tender")


def parse_amount(text: str | tender.Money) -> tender.Money:
    if isinstance(text, tender.Money):
        return text
    try:
        return tender.money.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def parse_pair(text: str) -> tuple[str, str]:
    """Reads KEY=VALUE."""
    key, found, value = text.partition("=")
    if not found or not key:
        raise typer.BadParameter(f"{text!r} is not written KEY=VALUE")
    return key, value


def parse_pairs(texts: list[str]) -> dict[str, str]:
    return dict(map(parse_pair, texts))


Amount = Annotated[
    tender.Money, typer.Argument(parser=parse_amount, metavar="AMOUNT", help="As in '10.50 EUR'.")
]
PartialAmount = Annotated[
    tender.Money | None,
    typer.Argument(parser=parse_amount, metavar="[AMOUNT]", help="As in '10.50 EUR'; else all."),
]
RequestId = Annotated[
    str | None,
    typer.Option(help="Repeating a command with the same one never moves money twice."),
]
Region = Annotated[
    str, typer.Option(help="Where its home is, for good; else the gateway's own region.")
]
DataDir = Annotated[
    Path, typer.Option(envvar="TENDER_DATA_DIR", help="Folder of the stack.", rich_help_panel=PANEL)
]
Json = Annotated[
    bool, typer.Option("--json", help="Print JSON, errors too.", rich_help_panel=PANEL)
]
OnlyId = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print the id alone.", rich_help_panel=PANEL)
]
Target = Annotated[
    str | None,
    typer.Option(
        envvar="TENDER_TARGET",
        help="host:port of the gateway; else the running stack's.",
        rich_help_panel=PANEL,
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        envvar="TENDER_API_KEY", help="API key; else the running stack's.", rich_help_panel=PANEL
    ),
]
Timeout = Annotated[
    float,
    typer.Option(min=0.001, help="Seconds, all retries included.", rich_help_panel=PANEL),
]
Insecure = Annotated[
    bool,
    typer.Option("--insecure", help="Without TLS to another machine.", rich_help_panel=PANEL),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        exists=True, dir_okay=False, help="PEM roots to trust with TLS.", rich_help_panel=PANEL
    ),
]


@dataclass(frozen=True)
class Session:
    """A client with its output."""

    client: tender.SyncClient
    output: Output


@dataclass(frozen=True)
class Connection:
    """The options of a calling command."""

    target: str | None
    api_key: str | None
    data_dir: Path
    timeout: float
    insecure: bool
    ca_file: Path | None

    def open(self) -> tender.SyncClient:
        target, api_key = self._whom()
        roots = self.ca_file.read_bytes() if self.ca_file else None
        try:
            return tender.SyncClient(
                target,
                api_key,
                tls=tender.tls_credentials(roots) if roots else None,
                insecure=self.insecure,
                timeout=self.timeout,
            )
        except ValueError as error:
            raise reports.Problem(str(error), exit_code=reports.EXIT_USAGE) from None

    def _whom(self) -> tuple[str, str]:
        """Target and key as given, and what is missing from the running stack's folder.

        A key found there goes to the stack it belongs to and to nobody else.
        """
        if self.target is not None and self.api_key is None:
            raise reports.Problem(
                "A target was given without a key.",
                reports.HINT_UNAUTHENTICATED,
                reports.EXIT_USAGE,
            )
        target = self.target or find_endpoints(self.data_dir).gateway
        api_key = self.api_key or find_endpoints(self.data_dir).api_key_file.read_text()
        return target, api_key.strip()


def find_endpoints(data_dir: Path) -> folder.Endpoints:
    """Where the stack that runs in a folder is reached."""
    if folder.running_stack(data_dir) is None:
        raise reports.Problem(
            f"No stack is running in {data_dir}.",
            "Start one with `tender up`, or name another with --data-dir or --target.",
            reports.EXIT_USAGE,
        )
    return folder.read_endpoints(data_dir)


def _connected(
    *,
    target: Target = None,
    api_key: Key = None,
    data_dir: DataDir = DATA_DIR_DEFAULT,
    timeout: Timeout = 10.0,
    insecure: Insecure = False,
    ca_file: CaFile = None,
) -> Connection:
    return Connection(target, api_key, data_dir, timeout, insecure, ca_file)


def _printing(*, as_json: Json = False, only_id: OnlyId = False) -> Output:
    return Output(as_json, only_id)


def _printing_json(*, as_json: Json = False) -> Output:
    return Output(as_json)


def _in_context(*, context: typer.Context) -> None:
    """What the program was called with."""


def command(
    app: typer.Typer, name: str, *examples: str
) -> Callable[[Callable[Concatenate[Session, P], None]], Callable[..., None]]:
    """Makes a command of a function that gets a session: adds the shared options, opens the
    client, reports what it raises."""

    def register(function: Callable[Concatenate[Session, P], None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(**options: Any) -> None:
            output = _printing(**_taken(options, _printing))
            connection = _connected(**_taken(options, _connected))
            with reports.reported(output.as_json), connection.open() as client:
                function(Session(client, output), **options)  # type: ignore[call-arg]

        _extend(run, function, _connected, _printing)
        return app.command(name, epilog=epilog(examples))(run)

    return register


def local(
    app: typer.Typer, name: str, *examples: str
) -> Callable[[Callable[Concatenate[Output, P], None]], Callable[..., None]]:
    """Makes a command of a function that works on this machine and gets an output."""

    def register(function: Callable[Concatenate[Output, P], None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(**options: Any) -> None:
            output = _printing_json(**_taken(options, _printing_json))
            with reports.reported(output.as_json):
                function(output, **options)  # type: ignore[call-arg]

        _extend(run, function, _printing_json)
        return app.command(name, epilog=epilog(examples))(run)

    return register


def local_group(
    group: typer.Typer, *examples: str
) -> Callable[[Callable[Concatenate[Output, P], None]], Callable[..., None]]:
    """Makes what a group does without a command of its own; like `local` otherwise."""

    def register(function: Callable[Concatenate[Output, P], None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(*, context: typer.Context, **options: Any) -> None:
            if context.invoked_subcommand is not None:
                return
            output = _printing_json(**_taken(options, _printing_json))
            with reports.reported(output.as_json):
                function(output, **options)  # type: ignore[call-arg]

        _extend(run, function, _in_context, _printing_json)
        return group.callback(invoke_without_command=True, epilog=epilog(examples))(run)

    return register


def epilog(examples: tuple[str, ...]) -> str:
    return "\n\n".join(["[bold]Examples[/]", *examples]) if examples else ""


def _taken(options: dict[str, Any], shared: Callable[..., Any]) -> dict[str, Any]:
    return {name: options.pop(name) for name in inspect.signature(shared).parameters}


def _extend(run: Any, function: Callable[..., Any], *shared: Callable[..., Any]) -> None:
    """Gives `run` the parameters of the function, its first one left out, and the shared ones."""
    own = list(inspect.signature(function).parameters.values())[1:]
    added = [each for one in shared for each in inspect.signature(one).parameters.values()]
    kept = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*own, *added)]
    run.__signature__ = inspect.Signature(kept)
    run.__annotations__ = {each.name: each.annotation for each in kept}
