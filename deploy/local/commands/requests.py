"""Looking at what became of a call, by its request_id."""

from typing import Annotated

import typer
from google.protobuf.json_format import MessageToJson

from deploy.local.commands import calling, output
from deploy.local.commands.calling import Session
from tender.v1 import request_pb2

app = typer.Typer()

State = request_pb2.StoredRequest.State


@calling.command(app, "requests", "tender requests order-4711", "tender requests order-4711 --json")
def requests(
    session: Session, request_id: Annotated[str, typer.Argument(help="As the call had it.")]
) -> None:
    """Show what is stored of a call: when it was decided, and the answer that repetitions get."""
    answer = session.client.get_request(request_id=request_id)
    if session.output.as_json:
        session.output.json(output.as_dict(answer))
        return
    for stored in answer.requests:
        rows = [
            ("request", stored.request_id),
            ("state", State.Name(stored.state).removeprefix("STATE_").lower().replace("_", " ")),
            ("method", stored.method or "-"),
            ("decided", stored.create_time.ToJsonString()),
            ("shard", stored.shard),
            ("resource", stored.resource_id or "-"),
            ("fingerprint", stored.fingerprint or "-"),
        ]
        session.output.show(output.grid(rows))
        field = stored.WhichOneof("answer")
        if field is not None:
            session.output.say(MessageToJson(getattr(stored, field)))
    if len(answer.requests) > 1:
        session.output.say("[red]used on more than one shard: each has its own effect[/]")
