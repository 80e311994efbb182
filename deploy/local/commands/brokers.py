"""How commands that speak to Kafka are told where it is."""

from pathlib import Path
from typing import Annotated

import typer

Bootstrap = Annotated[
    str | None,
    typer.Option(
        envvar="TENDER_KAFKA_BOOTSTRAP",
        help="Kafka brokers, host:port with commas between; else the running stack's.",
    ),
]
SecurityFile = Annotated[
    Path | None,
    typer.Option(
        envvar="TENDER_KAFKA_SECURITY_FILE",
        help="TOML file of librdkafka's properties for TLS and SASL.",
    ),
]
Prefix = Annotated[
    str, typer.Option(envvar="TENDER_TOPIC_PREFIX", help="What the topics' names begin with.")
]
