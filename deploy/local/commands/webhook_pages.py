"""How webhook endpoints and deliveries look on a terminal."""

from collections.abc import Sequence
from typing import Final

from rich.markup import escape

import tender
from deploy.local.commands import output
from deploy.local.commands.output import Rows

ENDPOINT_COLUMNS: Final = (
    *("endpoint", "state", "=waiting", "=failures", "last success", "of", "url"),
)
DELIVERY_COLUMNS: Final = (
    *("delivery", "state", "=attempts", "last", "queued", "event", "type", "of"),
)
ATTEMPT_COLUMNS: Final = ("delivery", "=attempt", "=status", "cause", "=took", "began", "event")
NOT_TRIED: Final = "not tried"


def endpoint(it: tender.WebhookEndpoint) -> Rows:
    rows = [
        ("endpoint", it.id),
        ("state", output.state(tender.WebhookEndpoint.State, it.state)),
        ("url", escape(it.url)),
        ("of", _owner(it)),
        ("types", ", ".join(it.event_types) or "all of payments"),
        ("waiting", f"{it.pending:,}"),
        ("created", output.moment(it.create_time)),
    ]
    if it.disabled_cause:
        cause = output.plain(tender.WebhookEndpoint.DisabledCause, it.disabled_cause)
        rows.insert(2, ("cause", cause.lower()))
        rows.insert(3, ("disabled", output.moment(it.disable_time)))
    if it.HasField("last_success_time"):
        rows.append(("last success", output.moment(it.last_success_time)))
    if it.failures:
        since = output.moment(it.failing_since_time)
        rows.append(("failing", f"{it.failures:,} attempts since {since}"))
    if it.description:
        rows.append(("description", escape(it.description)))
    return rows


def endpoint_row(it: tender.WebhookEndpoint) -> Sequence[str]:
    succeeded = it.HasField("last_success_time")
    return (
        it.id,
        output.state(tender.WebhookEndpoint.State, it.state),
        f"{it.pending:,}",
        f"{it.failures:,}",
        output.moment(it.last_success_time) if succeeded else "never",
        _owner(it),
        escape(it.url),
    )


def delivery_row(it: tender.WebhookDelivery) -> Sequence[str]:
    return (
        it.id,
        output.state(tender.WebhookDelivery.State, it.state),
        str(it.attempt_count),
        it.cause or _last(it),
        output.moment(it.create_time),
        it.event_id,
        it.event_type,
        escape(it.entity_id),
    )


def attempt_rows(it: tender.WebhookDelivery) -> list[Sequence[str]]:
    """A row for each attempt; one that says so for a delivery that has none."""
    if not it.attempts:
        return [(it.id, "0", "", NOT_TRIED, "", "", it.event_id)]
    return [
        (
            it.id,
            str(each.number),
            str(each.status_code or ""),
            each.cause or "delivered",
            f"{each.duration.ToMilliseconds():,} ms",
            output.moment(each.start_time),
            it.event_id,
        )
        for each in it.attempts
    ]


def _owner(it: tender.WebhookEndpoint) -> str:
    return it.merchant_id or "the whole tenant"


def _last(it: tender.WebhookDelivery) -> str:
    """What came of the latest attempt."""
    if not it.attempts:
        return NOT_TRIED
    attempt = it.attempts[-1]
    parts = (attempt.cause, str(attempt.status_code) if attempt.status_code else "")
    return " ".join(filter(None, parts))
