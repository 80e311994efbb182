"""A stack with several processors: each has its ports and name, and all of them share the lanes."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import tender
from deploy.local import cli, folder, servers
from deploy.local.layout import BadLayout
from deploy.local.stack import Stack, StackOptions
from processor.sharing import preferred
from tests.local.test_stack import eventually

NAMES = ["processor", "processor2"]
SHARDS = ["s1", "s2", "s3"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    options = StackOptions(
        tmp_path_factory.mktemp("processors"),
        shards=3,
        replicas=0,
        processors=2,
        processor_env={"TENDER_HANDOVER_AFTER_SECONDS": "0"},
    )
    with Stack(options) as stack:
        yield stack


@pytest.fixture
def run(stack: Stack) -> Callable[..., Result]:
    """Runs the program beside the stack."""
    env = {
        "TENDER_DATA_DIR": str(stack.options.data_dir),
        "TENDER_PROCESSOR_TARGETS": None,
        "TENDER_INTERNAL_TOKEN_FILE": None,
        "COLUMNS": "200",
    }
    return lambda *arguments: CliRunner(env=env).invoke(cli.app, list(arguments))


def test_every_processor_is_a_child_with_ports_of_its_own(stack: Stack) -> None:
    read = folder.read_endpoints(stack.options.data_dir)

    assert stack.names()[-3:] == [*NAMES, "gateway"]
    assert [each.name for each in read.processors] == NAMES
    assert (read.processor, read.processor_metrics) == (
        *(read.processors[0].address, read.processors[0].metrics),
    )
    assert (
        len({address for each in read.processors for address in (each.address, each.metrics)}) == 4
    )


def test_each_is_told_of_the_others_and_the_gateway_of_all(stack: Stack) -> None:
    endpoints = stack.endpoints
    first, second = endpoints.processors

    own = servers.processor_environment(endpoints, "", "", "eu", "s1", None, second)
    gateway = servers.gateway_environment(endpoints, "eu", reflection=False)

    assert own["TENDER_LANE_OWNER"] == "processor2"
    assert own["TENDER_PROCESSOR_LISTEN"] == second.address
    assert own["TENDER_PEER_TARGETS"] == first.address
    assert gateway["TENDER_PROCESSOR_TARGETS"] == f"{first.address},{second.address}"


def test_the_lanes_are_where_they_belong_and_the_program_shows_it(
    stack: Stack, run: Callable[..., Result]
) -> None:
    wanted = {shard: preferred(shard, NAMES) for shard in SHARDS}

    def told() -> dict[str, str]:
        answer = json.loads(run("lanes", "--json").stdout)
        return {lane["shard"]: lane["processor"] for lane in answer["lanes"]}

    eventually(lambda: told() == wanted, "lanes where they belong")
    shown = run("lanes")

    assert shown.exit_code == 0
    assert set(wanted.values()) == set(NAMES)
    for shard in SHARDS:
        assert f"{shard} " in shown.stdout


def test_a_processor_that_does_not_answer_is_shown(
    stack: Stack, run: Callable[..., Result]
) -> None:
    stack.stop_one("processor2")
    try:
        answer = run("lanes", "--json")
        told = json.loads(answer.stdout)
    finally:
        stack.start_one("processor2")

    assert answer.exit_code == 1
    assert [each["state"] for each in told["processors"]] == ["live", "unavailable"]


def test_processors_elsewhere_need_a_token(run: Callable[..., Result]) -> None:
    answer = run("lanes", "--processors", "127.0.0.1:1")

    assert answer.exit_code == 2
    assert "--token-file" in answer.output


def test_payments_go_on_while_lanes_settle(stack: Stack) -> None:
    key = stack.endpoints.api_key_file.read_text().strip()
    started = time.monotonic()
    with tender.SyncClient(stack.endpoints.gateway, key) as client:
        for number in range(20):
            client.create_account(user_id=f"user-{number}", currency_code="EUR")

    assert time.monotonic() - started < 20


def test_a_stack_has_at_least_one_processor() -> None:
    with pytest.raises(BadLayout, match="needs a processor"):
        StackOptions(Path("x"), processors=0)


def test_one_processor_keeps_its_name() -> None:
    names = StackOptions(Path("x")).port_names()

    assert [name for name in names if name.startswith("processor")] == [
        *("processor", "processor_metrics")
    ]
