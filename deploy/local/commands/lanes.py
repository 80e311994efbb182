"""Which processor holds which lane, as the processors themselves tell."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import grpc
import typer

from deploy.local import folder
from deploy.local.commands import calling, output, reports
from deploy.local.commands.calling import DATA_DIR_DEFAULT, DataDir
from deploy.local.commands.output import Output
from kit import internal_auth, serving
from tender.v1 import directory_pb2, directory_pb2_grpc

app = typer.Typer()

ANSWER_SECONDS_MAX = 2.0
ASKED_AT_A_TIME_MAX = 32

Processors = Annotated[
    str | None,
    typer.Option(
        "--processors",
        envvar="TENDER_PROCESSOR_TARGETS",
        help="host:port of each processor, with commas between; else the running stack's.",
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        envvar="TENDER_INTERNAL_TOKEN_FILE",
        help="File with the internal token; else the running stack's.",
    ),
]


@dataclass(frozen=True)
class Told:
    """What one processor tells, or why it does not."""

    target: str
    name: str = ""
    epochs: dict[str, int] = field(default_factory=dict)
    is_leaving: bool = False
    failure: str = ""

    @property
    def state(self) -> str:
        return self.failure or ("leaving" if self.is_leaving else "live")


@calling.local(app, "lanes", "tender lanes", "tender lanes --json")
def lanes(
    printer: Output,
    processors: Processors = None,
    token_file: TokenFile = None,
    data_dir: DataDir = DATA_DIR_DEFAULT,
) -> None:
    """Show which processor holds which shard's lane; exit code 1 unless all of them answer."""
    targets, token = _whom(processors, token_file, data_dir)
    with ThreadPoolExecutor(min(len(targets), ASKED_AT_A_TIME_MAX)) as pool:
        told = list(pool.map(lambda target: _ask(target, token), targets))
    held = sorted((shard, -epoch, each) for each in told for shard, epoch in each.epochs.items())
    if printer.as_json:
        printer.json(
            {
                "lanes": [
                    {"shard": shard, "epoch": -epoch, "processor": each.name, "target": each.target}
                    for shard, epoch, each in held
                ],
                "processors": [
                    {"target": each.target, "name": each.name, "state": each.state} for each in told
                ],
            }
        )
    rows = [(shard, str(-epoch), each.name, each.target) for shard, epoch, each in held]
    printer.show(output.table(("shard", "=epoch", "processor", "address"), rows))
    found = [(each.name, each.target, str(len(each.epochs)), each.state) for each in told]
    printer.show(output.table(("processor", "address", "=lanes", "state"), found))
    if any(each.failure for each in told):
        raise typer.Exit(1)


def _whom(processors: str | None, token_file: Path | None, data_dir: Path) -> tuple[list[str], str]:
    """Targets and token as given, and what is missing from the running stack's folder."""
    if processors is not None and token_file is None:
        raise reports.Problem(
            "Processors were given without a token.",
            "Name the file with --token-file.",
            reports.EXIT_USAGE,
        )
    if processors is None:
        endpoints = calling.find_endpoints(data_dir)
        targets = [each.address for each in _processors(endpoints)]
        token_file = token_file or endpoints.internal_token_file
    else:
        targets = [target for target in processors.split(",") if target]
    if not targets:
        raise reports.Problem("No processor is named.", exit_code=reports.EXIT_USAGE)
    assert token_file is not None
    try:
        return targets, token_file.read_text().strip()
    except OSError as error:
        raise reports.Problem(f"{token_file}: {error.strerror}") from None


def _processors(endpoints: folder.Endpoints) -> tuple[folder.ProcessorEndpoints, ...]:
    return endpoints.processors or (
        folder.ProcessorEndpoints("processor", endpoints.processor, endpoints.processor_metrics),
    )


def _ask(target: str, token: str) -> Told:
    with grpc.insecure_channel(
        target, options=serving.client_options(serving.RECEIVE_BYTES_MAX)
    ) as channel:
        watching = directory_pb2_grpc.DirectoryServiceStub(channel).Watch(
            directory_pb2.WatchRequest(),
            timeout=ANSWER_SECONDS_MAX,
            metadata=internal_auth.metadata(token),
        )
        try:
            said = next(iter(watching))
        except StopIteration:
            return Told(target, failure="ended")
        except grpc.RpcError as error:
            return Told(target, failure=error.code().name.lower())
        finally:
            watching.cancel()
    epochs = {lane.shard: lane.epoch for lane in said.lanes}
    return Told(target, said.processor, epochs, said.leaving)
