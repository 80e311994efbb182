"""Webhooks: endpoints, what became of deliveries, and a receiver for developers."""

import contextlib
import datetime
import itertools
import json
import threading
from itertools import islice
from typing import Annotated

import typer
from rich.markup import escape

import tender
from deploy.local.commands import calling, output, reports, webhook_listener, webhook_pages
from deploy.local.commands.calling import RequestId, Session
from deploy.local.commands.output import Output

app = typer.Typer(
    no_args_is_help=True,
    help="Webhook endpoints: register them, see what became of deliveries, deliver again.",
)

LIMIT_DEFAULT = 50
REDELIVER_CALLS_MAX = 1_000
"""Of at most 1,000 deliveries each."""

EndpointId = Annotated[str, typer.Argument(metavar="ENDPOINT", help="As whe_...")]
Types = Annotated[
    list[str] | None,
    typer.Option("--type", help="Only events of this type, as payment_captured; repeatable."),
]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="At most this many, newest first.")]
OfMerchant = Annotated[
    str, typer.Option("--merchant", help="Whose payments it hears of; else all of the tenant.")
]


def parse_time(text: str | datetime.datetime) -> datetime.datetime:
    """Reads a time as RFC 3339 writes it, or a span back from now as 90m, 24h or 7d."""
    if isinstance(text, datetime.datetime):
        return text
    units = {"m": "minutes", "h": "hours", "d": "days"}
    if text[-1:] in units and text[:-1].isdecimal() and len(text) <= 6:
        span = datetime.timedelta(**{units[text[-1]]: int(text[:-1])})
        return datetime.datetime.now(datetime.UTC) - span
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time") from None
    if found.tzinfo is None:
        raise typer.BadParameter(f"{text!r} says no zone; add Z or +01:00")
    return found


Since = Annotated[
    datetime.datetime | None,
    typer.Option(
        "--failed-since", parser=parse_time, metavar="TIME", help="2026-11-22T10:00Z, 90m, 24h, 7d."
    ),
]


@calling.command(
    app,
    "create",
    "tender webhooks create https://hooks.example.com/tender --merchant mer_...",
    "tender webhooks create http://127.0.0.1:9000/ --type payment_captured",
)
def create(
    session: Session,
    url: Annotated[str, typer.Argument(help="https; on a stack of `tender up` also this machine.")],
    merchant: OfMerchant = "",
    types: Types = None,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    request_id: RequestId = None,
) -> None:
    """Register an endpoint and print its secret, which is not shown again."""
    answer = session.client.create_webhook_endpoint(
        url=url,
        merchant_id=merchant,
        event_types=types or (),
        description=description,
        request_id=request_id,
    )
    rows = [*webhook_pages.endpoint(answer.endpoint), ("secret", f"[bold]{answer.secret}[/]")]
    session.output.one(answer, answer.endpoint.id, rows)


@calling.command(
    app,
    "endpoints",
    "tender webhooks endpoints",
    "tender webhooks endpoints --failing",
    "tender webhooks endpoints --disabled --json",
)
def endpoints(
    session: Session,
    merchant: Annotated[str, typer.Option(help="Only this merchant's.")] = "",
    disabled: Annotated[bool, typer.Option("--disabled", help="Only those disabled.")] = False,
    failing: Annotated[
        bool, typer.Option("--failing", help="Only those whose last attempt failed.")
    ] = False,
    limit: Limit = LIMIT_DEFAULT,
) -> None:
    """List endpoints with how they fare."""
    state = tender.WebhookEndpoint.STATE_DISABLED if disabled else None
    found = session.client.iter_webhook_endpoints(
        merchant_id=merchant, state=state or tender.WebhookEndpoint.STATE_UNSPECIFIED
    )
    wanted = (it for it in found if it.failures or not failing)
    session.output.many(
        "endpoints",
        islice(wanted, limit),
        webhook_pages.ENDPOINT_COLUMNS,
        webhook_pages.endpoint_row,
    )


@calling.command(app, "show", "tender webhooks show whe_...")
def show(session: Session, endpoint: EndpointId) -> None:
    """Show an endpoint."""
    answer = session.client.get_webhook_endpoint(endpoint_id=endpoint)
    session.output.one(answer, endpoint, webhook_pages.endpoint(answer.endpoint))


@calling.command(
    app,
    "enable",
    "tender webhooks enable whe_...",
    "tender webhooks enable whe_... --url https://hooks.example.com/new",
)
def enable(
    session: Session,
    endpoint: EndpointId,
    url: Annotated[str | None, typer.Option(help="Where it is from now on.")] = None,
) -> None:
    """Enable an endpoint again, and try what waits for it at once."""
    answer = session.client.update_webhook_endpoint(
        endpoint_id=endpoint, url=url, state=tender.WebhookEndpoint.STATE_ENABLED
    )
    session.output.one(answer, endpoint, webhook_pages.endpoint(answer.endpoint))


@calling.command(app, "disable", "tender webhooks disable whe_...")
def disable(session: Session, endpoint: EndpointId) -> None:
    """Disable an endpoint: nothing is delivered to it, and new events are not queued."""
    answer = session.client.update_webhook_endpoint(
        endpoint_id=endpoint, state=tender.WebhookEndpoint.STATE_DISABLED
    )
    session.output.one(answer, endpoint, webhook_pages.endpoint(answer.endpoint))


@calling.command(app, "delete", "tender webhooks delete whe_...")
def delete(session: Session, endpoint: EndpointId) -> None:
    """Delete an endpoint, its secrets and its deliveries."""
    answer = session.client.delete_webhook_endpoint(endpoint_id=endpoint)
    session.output.one(answer, endpoint, [("deleted", endpoint)])


@calling.command(
    app,
    "rotate",
    "tender webhooks rotate whe_...",
    "tender webhooks rotate whe_... --overlap-hours 0   # the old one leaked",
)
def rotate(
    session: Session,
    endpoint: EndpointId,
    overlap_hours: Annotated[
        int, typer.Option(min=0, max=168, help="How long earlier secrets sign along.")
    ] = 24,
    request_id: RequestId = None,
) -> None:
    """Make a new secret and print it; earlier ones sign along for the overlap."""
    answer = session.client.rotate_webhook_secret(
        endpoint_id=endpoint,
        overlap=datetime.timedelta(hours=overlap_hours),
        request_id=request_id,
    )
    rows = [
        ("secret", f"[bold]{answer.secret}[/]"),
        ("earlier ones end", output.moment(answer.overlap_end_time)),
    ]
    session.output.one(answer, endpoint, rows)


@calling.command(
    app,
    "deliveries",
    "tender webhooks deliveries --failed",
    "tender webhooks deliveries --endpoint whe_... --attempts",
    "tender webhooks deliveries --event s1.5f2a90c41b7e.1042.3",
)
def deliveries(
    session: Session,
    endpoint: Annotated[str, typer.Option(help="Only to this endpoint.")] = "",
    event: Annotated[str, typer.Option(help="Only of this event, by its id.")] = "",
    failed: Annotated[bool, typer.Option("--failed", help="Only those given up.")] = False,
    pending: Annotated[bool, typer.Option("--pending", help="Only those that wait.")] = False,
    attempts: Annotated[
        bool,
        typer.Option("--attempts", help="Each attempt with its status, and not only the last."),
    ] = False,
    limit: Limit = LIMIT_DEFAULT,
) -> None:
    """List deliveries, newest first; --json has their attempts too."""
    if failed and pending:
        raise typer.BadParameter("--failed and --pending together leave nothing")
    state = tender.WebhookDelivery.STATE_UNSPECIFIED
    if failed or pending:
        kinds = tender.WebhookDelivery
        state = kinds.STATE_FAILED if failed else kinds.STATE_PENDING
    found = session.client.iter_webhook_deliveries(
        endpoint_id=endpoint, event_id=event, state=state
    )
    shown = islice(found, limit)
    if attempts and not session.output.as_json:
        rows = itertools.chain.from_iterable(map(webhook_pages.attempt_rows, shown))
        session.output.show(output.table(webhook_pages.ATTEMPT_COLUMNS, rows))
        return
    session.output.many(
        "deliveries", shown, webhook_pages.DELIVERY_COLUMNS, webhook_pages.delivery_row
    )


@calling.command(
    app,
    "redeliver",
    "tender webhooks redeliver whe_... whd_...",
    "tender webhooks redeliver whe_... --failed-since 24h",
)
def redeliver(
    session: Session,
    endpoint: EndpointId,
    delivery: Annotated[
        str, typer.Argument(metavar="[DELIVERY]", help="As whd_...; or --failed-since.")
    ] = "",
    failed_since: Since = None,
) -> None:
    """Queue one delivery again, or all that failed since a time, behind what waits."""
    if bool(delivery) == (failed_since is not None):
        raise typer.BadParameter("name either a delivery or --failed-since")
    queued = 0
    for _ in range(REDELIVER_CALLS_MAX):
        answer = session.client.redeliver_webhook(
            endpoint_id=endpoint, delivery_id=delivery, failed_since=failed_since
        )
        queued += answer.queued
        if not answer.more:
            break
    if session.output.as_json:
        session.output.json({"queued": queued})
    session.output.say(f"queued {queued:,} again")


@calling.local(
    app,
    "listen",
    "tender webhooks listen --secret whsec_...",
    "tender webhooks listen --port 9001 --fail 3",
    "tender webhooks listen --status 500 --json",
)
def listen(
    printer: Output,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 for a free one.")] = 9_000,
    secrets: Annotated[
        list[str] | None,
        typer.Option(
            "--secret",
            envvar="TENDER_WEBHOOK_SECRET",
            help="Of the endpoint, to verify with; repeatable.",
        ),
    ] = None,
    status: Annotated[int, typer.Option(min=200, max=599, help="Answer with this.")] = 200,
    fail: Annotated[int, typer.Option(min=0, help="Answer so many with 500 first.")] = 0,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many.")] = None,
) -> None:
    """Receive webhooks on this machine and print what comes, until Ctrl-C."""
    left = [count]
    turn, done = threading.Lock(), threading.Event()

    def tell(heard: webhook_listener.Heard) -> None:
        with turn:
            _tell(printer, heard)
            if left[0] is not None:
                left[0] -= 1
                if left[0] == 0:
                    done.set()

    manners = webhook_listener.Manners(tuple(secrets or ()), status, fail)
    try:
        server = webhook_listener.listening(port, manners, tell)
    except OSError as error:
        problem = f"Port {port} cannot be used: {error.strerror}."
        raise reports.Problem(problem, "Choose another --port.", reports.EXIT_USAGE) from None
    where = f"http://127.0.0.1:{server.server_port}/"
    if printer.as_json:
        _line({"listening": where})
    printer.say(f"Listening on {where}; register it with `tender webhooks create {where}`.")
    if not secrets:
        printer.say("[yellow]Without --secret signatures are not checked.[/]")
    with server:
        serving = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
        serving.start()
        with contextlib.suppress(KeyboardInterrupt):
            done.wait()
        server.shutdown()
        serving.join()


def _tell(printer: Output, heard: webhook_listener.Heard) -> None:
    if printer.as_json:
        _line(heard.as_dict())
        return
    document = heard.document if isinstance(heard.document, dict) else {}
    colour = "green" if heard.is_verified else "yellow"
    if heard.signature not in (webhook_listener.VERIFIED, webhook_listener.NOT_CHECKED):
        colour = "red"
    what = " ".join(str(document.get(name, "")) for name in ("type", "entity_id", "id"))
    printer.say(f"[{colour}]{escape(heard.signature)}[/] {heard.status} {escape(what)}")


def _line(content: object) -> None:
    """One JSON document a line, at once, for whoever reads along."""
    typer.echo(json.dumps(content, separators=(",", ":")))
