"""Apache Kafka itself: one KRaft node, broker and controller in one process, its data in a folder.

What it acknowledged is on its way to the disk: it outlives the process, and not a loss of power,
for which there are replicas in production. On loopback and without passwords: for development only.
"""

import base64
import functools
import os
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.local import folder, kafka, ports, supervisor
from deploy.local.kafka import java

START_SECONDS_MAX = 90.0
"""It takes a few seconds alone; one that was killed reads its logs again first."""

STOP_SECONDS_MAX = 30.0
FORMAT_SECONDS_MAX = 60.0
HEAP_MAX: Final = "512m"
"""A hundred small partitions leave half of it free; the page cache does the rest."""

NODE_ID: Final = 1
BROKER: Final = "kafka.Kafka"
STORAGE_TOOL: Final = "kafka.tools.StorageTool"
FORMATTED: Final = "meta.properties"
NOT_FORMATTED: Final = "kafka: its data was not formatted"
LOGGING: Final = Path(__file__).with_name("log4j2.properties")

# The serial collector has no threads of its own, of which two cores have none to spare.
JVM: Final = (
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    f"-Dlog4j2.configurationFile={LOGGING}",
)
BROKER_JVM: Final = (f"-Xmx{HEAP_MAX}", *JVM)
TOOL_JVM: Final = ("-Xmx128m", "-XX:TieredStopAtLevel=1", *JVM)

CONFIGURATION: Final = """\
process.roles=broker,controller
node.id={node}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
# Named here and not kept with the data, so that a stack may come back on other ports.
controller.quorum.voters={node}@{host}:{controller_port}
log.dirs={data}

# One broker can keep one copy.
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1

# As in production: topics are made by `tender topics apply`.
auto.create.topics.enable=false

# The machine is small, and others need it too.
num.network.threads=2
num.io.threads=2
background.threads=2
num.recovery.threads.per.data.dir=1
group.coordinator.threads=1
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
log.cleaner.dedupe.buffer.size=16777216

# Until its session ends the controller takes a killed broker for alive, and lets no other in.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# A consumer group need not wait for further members here.
group.initial.rebalance.delay.ms=0
"""


def service(
    directory: Path,
    port: int,
    controller_port: int,
    log: Path,
    jars: Path,
    settings: Mapping[str, str] | None = None,
) -> supervisor.Service:
    """Return the broker that keeps its data in a folder; settings win over ours.

    Raises java.Missing.
    """
    program = str(java.java())
    where = f"{ports.LOOPBACK}:{port}"
    configuration = directory / "server.properties"
    data = directory / "data"
    content = CONFIGURATION.format(
        node=NODE_ID,
        host=ports.LOOPBACK,
        port=port,
        controller_port=controller_port,
        data=escaped(str(data)),
    )
    # Of a property that is there twice, Java takes the last.
    content += "".join(f"{name}={escaped(value)}\n" for name, value in (settings or {}).items())
    return supervisor.Service(
        name="kafka",
        where=where,
        argv=(program, *BROKER_JVM, "-cp", f"{jars}/*", BROKER, str(configuration)),
        env=dict(os.environ),
        log=log,
        probe=functools.partial(kafka.probe, where),
        start_seconds_max=START_SECONDS_MAX,
        stop_seconds_max=STOP_SECONDS_MAX,
        prepare=functools.partial(_prepare, configuration, content, data, program, jars),
        niceness=supervisor.BEHIND_PAYMENTS,
    )


def _prepare(configuration: Path, content: str, data: Path, program: str, jars: Path) -> None:
    configuration.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.write_private(configuration, content)
    # Written last of all that is formatted.
    if not (data / FORMATTED).exists():
        _format(program, jars, configuration)


def _format(program: str, jars: Path, configuration: Path) -> None:
    """Give the data a cluster id, without which no broker starts on it. Raises StartFailed."""
    command = [
        *(program, *TOOL_JVM, "-cp", f"{jars}/*", STORAGE_TOOL, "format", "--ignore-formatted"),
        *("--config", str(configuration), "--cluster-id", new_cluster_id()),
    ]
    try:
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=FORMAT_SECONDS_MAX,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise supervisor.StartFailed(f"{NOT_FORMATTED}:\n{error.stdout}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise supervisor.StartFailed(f"{NOT_FORMATTED}: {error}") from None


def new_cluster_id() -> str:
    """Return 16 random bytes as Kafka writes them."""
    text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # One that began with a dash would be read as an option.
    return text.replace("-", "_")


def escaped(value: str) -> str:
    """Return a value as Java reads it from a file of properties, whose letters are Latin-1."""
    return "".join(
        "\\\\" if letter == "\\" else letter if letter.isascii() else _utf16(letter)
        for letter in value
    )


def _utf16(letter: str) -> str:
    units = letter.encode("utf-16-be").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
