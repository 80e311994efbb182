"""The embedded Kafka: librdkafka's mock cluster behind a port of our choice, in memory.

The mock picks a random port for itself; a forwarder listens on the given one and the mock
advertises that, so that clients find a restarted broker at the same address. What it held is gone
then: it is for development only.
"""

import argparse
import asyncio
import ctypes
import functools
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import confluent_kafka

from deploy.local import kafka, ports, supervisor

START_SECONDS_MAX = 15.0
STOP_SECONDS_MAX = 5.0
COPY_BYTES = 64 * 1024

BROKER_ID = 1
PRODUCER_TYPE = 0  # rd_kafka_type_t; the mock needs some client to live in.
GROUP_WAIT_MS = 0  # A consumer group need not wait for further members here.
ERROR_BYTES = 512


def service(port: int, env: Mapping[str, str], log: Path) -> supervisor.Service:
    where = f"{ports.LOOPBACK}:{port}"
    return supervisor.Service(
        name="kafka",
        where=where,
        argv=(sys.executable, "-m", "deploy.local.kafka", "--port", str(port)),
        env=env,
        log=log,
        probe=functools.partial(kafka.probe, where),
        start_seconds_max=START_SECONDS_MAX,
        stop_seconds_max=STOP_SECONDS_MAX,
    )


def start_mock(advertised_port: int) -> int:
    """Start a one-broker mock cluster in this process and return its own port."""
    folders = Path(confluent_kafka.__file__).parent.parent.glob("confluent_kafka.libs/librdkafka*")
    library = ctypes.CDLL(str(next(folders)))
    library.rd_kafka_conf_new.restype = ctypes.c_void_p
    library.rd_kafka_new.restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    configuration = ctypes.c_void_p(library.rd_kafka_conf_new())
    library.rd_kafka_conf_set(configuration, b"log_level", b"0", None, 0)
    error = ctypes.create_string_buffer(ERROR_BYTES)
    client = library.rd_kafka_new(PRODUCER_TYPE, configuration, error, ctypes.c_size_t(ERROR_BYTES))
    if not client:
        raise RuntimeError(f"librdkafka: {error.value.decode()}")
    cluster = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(ctypes.c_void_p(client), 1))
    own_port = int(library.rd_kafka_mock_cluster_bootstraps(cluster).rpartition(b":")[2])
    library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, GROUP_WAIT_MS)
    library.rd_kafka_mock_broker_set_host_port(
        cluster, BROKER_ID, ports.LOOPBACK.encode(), advertised_port
    )
    return own_port


async def forward(port: int, own_port: int) -> None:
    """Carry every connection on `port` to the mock, until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    connect = functools.partial(_carry, own_port)
    async with await asyncio.start_server(connect, ports.LOOPBACK, port) as server:
        await server.start_serving()
        await stopped.wait()


async def _carry(own_port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    mock_reader, mock_writer = await asyncio.open_connection(ports.LOOPBACK, own_port)
    async with asyncio.TaskGroup() as group:
        group.create_task(_copy(reader, mock_writer))
        group.create_task(_copy(mock_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(COPY_BYTES):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # The other end learns of it by the close below.
    finally:
        writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port: int = parser.parse_args().port
    asyncio.run(forward(port, start_mock(port)))


if __name__ == "__main__":
    main()
