"""What fires each alert: an entry for every rule of deploy/prometheus/alerts.yml, and no other.

To add an alert, add its name to CASES with a case for each way in which it may fire: series that
make it fire, when its expression becomes true, the labels that it then has, what its summary says,
and what the series are when all is well. `stays`, `rises`, `processor` and `gateway` of series.py
write series. `rate` over a window counts as zero what was before the first scrape.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final

from tests.observability.series import (
    Series,
    buckets,
    gateway,
    in_turn,
    is_away,
    none_slower,
    notifications,
    one_in_fifty_slower,
    operations,
    processor,
    relay,
    reporting,
    rises,
    stays,
    webhooks,
)


@dataclass(frozen=True)
class Case:
    """One way in which an alert fires."""

    fires: Series
    healthy: Series
    """Of the same series those that are another when all is well; `is_away` for none at all."""
    says: str
    """The summary as people get it."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of the firing alert, but for its name and severity."""
    true_at: int = 0
    """The second at which the expression first is true; `for` comes on top."""


PROCESSOR: Final = {"job": "tender-processor", "instance": "processor-1:9465"}
GATEWAY: Final = {"job": "tender-gateway", "instance": "gateway-1:9464"}
S1: Final = {"shard": "s1"}
STAND_BY: Final = "processor-2:9465"
TEN_MINUTES: Final = 600

OPEN: Final = processor("tender_lane_open", **S1)
OPEN_TOO: Final = processor("tender_lane_open", STAND_BY, **S1)
EPOCH: Final = processor("tender_lane_epoch", **S1)
OPENING: Final = processor("tender_lane_opening_seconds_bucket", **S1)
HANDOVERS: Final = processor("tender_lane_handovers_total", **S1)
LOST: Final = processor("tender_lane_lost_commits_total", **S1)
OWNER_LOST: Final = processor("tender_lane_takeovers_total", **S1, cause="owner_lost")
HANDED_OVER: Final = processor("tender_lane_takeovers_total", **S1, cause="handed_over")
UNHEARD: Final = processor("tender_processor_peers_unheard")
JOURNAL: Final = processor("tender_journal_seq", **S1)
DEPTH: Final = processor("tender_lane_queue_depth", **S1)
BATCHES: Final = processor("tender_lane_batch_size_count", **S1)
APPLY: Final = processor("tender_lane_apply_seconds_bucket", **S1)
DECIDE: Final = processor("tender_lane_decide_seconds_bucket", **S1)
LOAD: Final = processor("tender_lane_load_seconds_bucket", **S1)
SKEW: Final = processor("tender_lane_clock_skew_seconds", **S1)
ERRORS: Final = gateway("tender_internal_errors_total", server="gateway")
LANE_ERRORS: Final = processor("tender_lane_internal_errors_total", **S1)
BISECTIONS: Final = processor("tender_lane_bisections_total", **S1, tenant="dev")
UNTIL_THEN: Final = (stays(1, TEN_MINUTES), stays(2))
WAITING_SINCE: Final = processor("tender_legs_waiting_since_timestamp_seconds", **S1)
LEGS_STOPPED: Final = processor("tender_legs_stopped_total", **S1)
FREEZES_ENDED: Final = processor("tender_bucket_freezes_ended_total", **S1)
REPLICA_UP: Final = processor("tender_replica_up", **S1, replica="1")
REPLICA_LAG: Final = processor("tender_replica_lag_seconds", **S1, replica="1")
RESENT: Final = gateway("tender_gateway_lane_resent_total")
IN_FLIGHT: Final = gateway("tender_gateway_in_flight")
REDIS_UP: Final = gateway("tender_redis_up", role="replays")
REDIS_UP_TOO: Final = gateway("tender_redis_up", "gateway-2:9464", role="replays")
CONNECTED: Final = gateway("tender_gateway_lane_connected", **S1)
RELAY_OWNER: Final = relay("tender_relay_owner", **S1)
RELAY_OWNER_TOO: Final = relay("tender_relay_owner", "relay-2:9466", **S1)
RELAY_TROUBLE: Final = relay("tender_relay_trouble", **S1)
RELAY_BEHIND: Final = relay("tender_relay_seconds_behind", **S1)
INTAKE_OLDEST: Final = operations("tender_intake_oldest_timestamp_seconds")
INTAKE_REFUSED: Final = operations("tender_intake_submitted_total", result="COMMANDS_UNAVAILABLE")
INTAKE_ACCEPTED: Final = operations("tender_intake_submitted_total", result="accepted")
ARCHIVE_TROUBLE: Final = relay("tender_archive_trouble", **S1)
REPORTS_COMPLETE: Final = reporting("tender_reporting_complete_timestamp_seconds")
REPORTS_LOST: Final = reporting("tender_reporting_histories_lost")
PAYMENT: Final = {"server": "gateway", "method": "AuthorizePayment"}
READ: Final = {"server": "gateway", "method": "GetPayment"}
PAYMENT_SECONDS: Final = gateway("tender_rpc_latency_seconds_bucket", **PAYMENT)
READ_SECONDS: Final = gateway("tender_rpc_latency_seconds_bucket", **READ)
CONSUMER: Final = {"consumer": "webhooks"}
CONSUMER_WAITING: Final = processor("tender_consumer_waiting", **CONSUMER)
CONSUMER_HELD: Final = processor("tender_consumer_held_partitions", **CONSUMER)
OF_PAYMENTS: Final = {**CONSUMER, "topic": "payments"}
CONSUMER_LAG: Final = processor("tender_consumer_lag", **OF_PAYMENTS, partition="3")
OF_MALFORMED: Final = {**OF_PAYMENTS, "cause": "MALFORMED"}
WEBHOOKS_DUE: Final = webhooks("tender_webhooks_due_seconds")
WEBHOOKS_FAILING: Final = webhooks("tender_webhooks_endpoints", state="failing")
WEBHOOKS_HEALTHY: Final = webhooks("tender_webhooks_endpoints", state="healthy")
WEBHOOKS_DISABLED: Final = webhooks("tender_webhooks_disabled_total", cause="failing")
PARKED: Final = processor("tender_consumer_parked_total", **OF_MALFORMED)
BY_MAIL: Final = {"channel": "email"}
NOTIFICATIONS_AWAY: Final = notifications("tender_notifications_away", **BY_MAIL)
NOTIFICATIONS_OLDEST: Final = notifications("tender_notifications_oldest_seconds", **BY_MAIL)
NOTIFICATIONS_FAILED: Final = notifications(
    "tender_notifications_total", **BY_MAIL, outcome="failed"
)
NOTIFICATIONS_SENT: Final = notifications("tender_notifications_total", **BY_MAIL, outcome="sent")
UNOWNED: Final = notifications("tender_notifications_unowned_events")


def calls(code: str) -> str:
    """Return the series of a gateway's payments that were answered so."""
    return gateway("tender_rpc_requests_total", **PAYMENT, code=code)


def commands(outcome: str) -> str:
    """Return the series of a lane's authorizations that came to this."""
    labels = {"method": "AUTHORIZE_PAYMENT", "outcome": outcome}
    return processor("tender_lane_commands_total", **S1, **labels)


CASES: Final[Mapping[str, tuple[Case, ...]]] = {
    "TenderLaneClosed": (
        Case(
            fires={OPEN: stays(0), OPEN_TOO: stays(0)},
            healthy={OPEN_TOO: stays(1)},
            says="Shard s1 has no lane: its payments are answered UNAVAILABLE.",
            labels=S1,
        ),
        Case(
            fires={OPEN: is_away(1_200)},
            healthy={OPEN: stays(1)},
            says="No shard has a lane: all payments are answered UNAVAILABLE.",
        ),
    ),
    "TenderTwoLanes": (
        Case(
            fires={OPEN: stays(1), OPEN_TOO: stays(1)},
            healthy={OPEN_TOO: stays(0)},
            says="Two processors believe that they own shard s1.",
            labels=S1,
        ),
    ),
    "TenderLaneOpensSlowly": (
        Case(
            fires=buckets(OPENING, {3: 0, 5: 1, inf: 1}),
            healthy=buckets(OPENING, {3: 1}),
            says="Shard s1 was without a lane for 4.9s at a takeover.",
            labels=S1,
            true_at=5,
        ),
    ),
    "TenderLanesMoveOften": (
        Case(
            fires={HANDOVERS: rises(0.01)},
            healthy={HANDOVERS: rises(0.001)},
            says="The lane of shard s1 was handed from processor to processor 5.05 times in 15 "
            "minutes.",
            labels=S1,
            true_at=505,
        ),
    ),
    "TenderOwnersLost": (
        Case(
            fires={OWNER_LOST: in_turn(stays(1, 2 * TEN_MINUTES), stays(2))},
            healthy={OWNER_LOST: stays(1)},
            says="The lane of shard s1 was taken from a processor that was no longer heard.",
            labels=S1,
            true_at=2 * TEN_MINUTES,
        ),
        Case(
            fires={OWNER_LOST: in_turn(is_away(TEN_MINUTES), stays(1)), HANDED_OVER: stays(1)},
            healthy={OWNER_LOST: is_away(2 * TEN_MINUTES)},
            says="The lane of shard s1 was taken from a processor that was no longer heard.",
            labels=S1,
            true_at=TEN_MINUTES,
        ),
    ),
    "TenderProcessorUnheard": (
        Case(
            fires={UNHEARD: stays(1)},
            healthy={UNHEARD: stays(0)},
            says="Processor processor-1:9465 does not hear 1 of the others.",
            labels=PROCESSOR,
        ),
    ),
    "TenderTakeoverStorm": (
        Case(
            fires={EPOCH: in_turn(stays(3, 540), stays(9))},
            healthy={EPOCH: in_turn(stays(3, 540), stays(8))},
            says="The lane of shard s1 was taken over 6 times in 10 minutes.",
            labels=S1,
            true_at=TEN_MINUTES,
        ),
    ),
    "TenderHistoryRolledBack": (
        Case(
            fires={OPEN: stays(1), JOURNAL: in_turn(stays(1_000, TEN_MINUTES), stays(900))},
            healthy={JOURNAL: in_turn(stays(1_000, TEN_MINUTES), stays(1_100))},
            says="The journal of shard s1 is shorter than it was: acknowledged payments may be "
            "missing.",
            labels=S1,
            true_at=TEN_MINUTES,
        ),
    ),
    "TenderClockSkew": (
        Case(
            fires={SKEW: stays(1.5)},
            healthy={SKEW: stays(0.9)},
            says="Lane time of shard s1 is 1.5s away from the database's clock.",
            labels=S1,
        ),
    ),
    "TenderQueueDeep": (
        Case(
            fires={DEPTH: stays(6_000)},
            healthy={DEPTH: stays(5_000)},
            says="6k commands wait in the lane of shard s1.",
            labels=S1,
        ),
    ),
    "TenderLaneStuck": (
        Case(
            fires={DEPTH: stays(3), OPEN: stays(1), BATCHES: stays(100)},
            healthy={BATCHES: rises(1)},
            says="Commands wait in the lane of shard s1, and no batch is finished.",
            labels=S1,
            true_at=5,
        ),
    ),
    "TenderApplySlow": (
        Case(
            fires=one_in_fifty_slower(APPLY, 0.05, 0.1),
            healthy=none_slower(APPLY, 0.05, 0.1),
            says="1 % of the commits of shard s1 take longer than 75ms.",
            labels=S1,
            true_at=5,
        ),
    ),
    "TenderDecideSlow": (
        Case(
            fires=one_in_fifty_slower(DECIDE, 0.02, 0.05),
            healthy=none_slower(DECIDE, 0.02, 0.05),
            says="1 % of the batches of shard s1 take longer than 35ms to decide.",
            labels=S1,
            true_at=5,
        ),
    ),
    "TenderLoadsSlow": (
        Case(
            fires=one_in_fifty_slower(LOAD, 0.1, 0.5),
            healthy=none_slower(LOAD, 0.1, 0.5),
            says="1 % of the loads of cold accounts on shard s1 take longer than 300ms.",
            labels=S1,
            true_at=5,
        ),
    ),
    "TenderInternalErrors": (
        Case(
            fires={ERRORS: in_turn(*UNTIL_THEN)},
            healthy={ERRORS: stays(1)},
            says="1 calls failed for a reason of Tender's own.",
            labels={"server": "gateway"},
            true_at=TEN_MINUTES,
        ),
        Case(
            fires={ERRORS: in_turn(is_away(TEN_MINUTES), stays(1))},
            healthy={ERRORS: is_away(1_200)},
            says="1 calls failed for a reason of Tender's own.",
            labels={"server": "gateway"},
            true_at=TEN_MINUTES,
        ),
        Case(
            fires={LANE_ERRORS: in_turn(stays(0, TEN_MINUTES), stays(1))},
            healthy={LANE_ERRORS: stays(0)},
            says="1 calls failed for a reason of Tender's own.",
            labels=S1,
            true_at=TEN_MINUTES,
        ),
    ),
    "TenderBisections": (
        Case(
            fires={BISECTIONS: in_turn(stays(1, 2 * TEN_MINUTES), stays(2))},
            healthy={BISECTIONS: stays(1)},
            says="Postgres refused data that the lane decided, in batches with commands of tenant "
            "dev.",
            labels=S1 | {"tenant": "dev"},
            true_at=2 * TEN_MINUTES,
        ),
        Case(
            fires={BISECTIONS: in_turn(is_away(TEN_MINUTES), stays(1))},
            healthy={BISECTIONS: is_away(1_200)},
            says="Postgres refused data that the lane decided, in batches with commands of tenant "
            "dev.",
            labels=S1 | {"tenant": "dev"},
            true_at=TEN_MINUTES,
        ),
    ),
    "TenderRefusals": (
        Case(
            fires={commands("MERCHANT_UNKNOWN"): rises(30), commands("ok"): rises(70)},
            healthy={commands("MERCHANT_UNKNOWN"): rises(10)},
            says="More than a fifth of the commands on shard s1 are refused.",
            labels=S1,
            true_at=5,
        ),
    ),
    "TenderDeclines": (
        Case(
            fires={commands("declined"): rises(60), commands("ok"): rises(40)},
            healthy={commands("declined"): rises(30)},
            says="More than half of the payments on shard s1 are declined.",
            labels=S1,
            true_at=5,
        ),
    ),
    "TenderServerDown": (
        Case(
            fires={gateway("up"): stays(0), processor("up"): stays(1)},
            healthy={gateway("up"): stays(1)},
            says="tender-gateway at gateway-1:9464 does not answer.",
            labels=GATEWAY,
        ),
        Case(
            fires={gateway("up"): stays(1), processor("up"): stays(0)},
            healthy={processor("up"): stays(1)},
            says="tender-processor at processor-1:9465 does not answer.",
            labels=PROCESSOR,
        ),
    ),
    "TenderGatewayLaneDisconnected": (
        Case(
            fires={CONNECTED: stays(0)},
            healthy={CONNECTED: stays(1)},
            says="Gateway gateway-1:9464 does not reach the processor.",
            labels=GATEWAY | S1,
        ),
    ),
    "TenderGatewayReconnects": (
        Case(
            fires={RESENT: rises(10)},
            healthy={RESENT: rises(0.1)},
            says="Gateway gateway-1:9464 sent 1.05k commands a second time.",
            labels={"instance": GATEWAY["instance"]},
            true_at=105,
        ),
    ),
    "TenderLatencyHigh": (
        Case(
            fires=one_in_fifty_slower(PAYMENT_SECONDS, 0.1, 0.25),
            healthy=none_slower(PAYMENT_SECONDS, 0.1, 0.25),
            says="1 % of the payments take longer than 175ms.",
            true_at=5,
        ),
    ),
    "TenderReadsSlow": (
        Case(
            fires=one_in_fifty_slower(READ_SECONDS, 0.25, 0.5),
            healthy=none_slower(READ_SECONDS, 0.25, 0.5),
            says="1 % of the reads take longer than 375ms.",
            true_at=5,
        ),
    ),
    "TenderReplicaAway": (
        Case(
            fires={REPLICA_UP: stays(0)},
            healthy={REPLICA_UP: stays(1)},
            says="Replica 1 of shard s1 answers no reads.",
            labels=S1 | {"replica": "1"},
        ),
    ),
    "TenderReplicaLags": (
        Case(
            fires={REPLICA_LAG: stays(6)},
            healthy={REPLICA_LAG: stays(5)},
            says="Replica 1 of shard s1 was equal to its primary 6s ago.",
            labels=S1 | {"replica": "1"},
        ),
    ),
    "TenderShedding": (
        Case(
            fires={calls("RESOURCE_EXHAUSTED"): rises(2), calls("OK"): rises(98)},
            healthy={calls("RESOURCE_EXHAUSTED"): rises(0.5)},
            says="More than 1 % of the calls are turned away for lack of room.",
            true_at=5,
        ),
    ),
    "TenderUnavailable": (
        Case(
            fires={calls("UNAVAILABLE"): rises(2), calls("OK"): rises(98)},
            healthy={calls("UNAVAILABLE"): rises(0.5)},
            says="More than 1 % of the calls end without a known outcome.",
            true_at=5,
        ),
    ),
    "TenderGatewayNearlyFull": (
        Case(
            fires={IN_FLIGHT: stays(3_001)},
            healthy={IN_FLIGHT: stays(3_000)},
            says="3.001k commands are under way in gateway gateway-1:9464.",
            labels=GATEWAY,
        ),
    ),
    "TenderRedisAway": (
        Case(
            fires={REDIS_UP: stays(0), REDIS_UP_TOO: stays(0)},
            healthy={REDIS_UP_TOO: stays(1)},
            says="No gateway uses Redis for its replays.",
            labels={"role": "replays"},
        ),
    ),
    "TenderKeysRefused": (
        Case(
            fires={calls("UNAUTHENTICATED"): rises(4), calls("PERMISSION_DENIED"): rises(2)},
            healthy={calls("UNAUTHENTICATED"): rises(2)},
            says="6 calls a second come with a wrong key or without the scope.",
            true_at=255,
        ),
    ),
    "TenderRelayAway": (
        Case(
            fires={RELAY_OWNER: stays(0), RELAY_OWNER_TOO: stays(0)},
            healthy={RELAY_OWNER_TOO: stays(1)},
            says="Nobody publishes shard s1: events wait in the journal.",
            labels=S1,
        ),
        Case(
            fires={RELAY_OWNER: is_away(1_200)},
            healthy={RELAY_OWNER: stays(1)},
            says="No relay runs: events wait in the journal.",
        ),
    ),
    "TenderRelayTrouble": (
        Case(
            fires={RELAY_TROUBLE: stays(1)},
            healthy={RELAY_TROUBLE: stays(0)},
            says="The relay of shard s1 cannot publish: events wait in the journal.",
            labels=S1,
        ),
    ),
    "TenderRelayBehind": (
        Case(
            fires={RELAY_BEHIND: stays(31)},
            healthy={RELAY_BEHIND: stays(29)},
            says="Events of shard s1 wait for 31s before they are published.",
            labels=S1,
        ),
    ),
    "TenderArchiveTrouble": (
        Case(
            fires={ARCHIVE_TROUBLE: stays(1)},
            healthy={ARCHIVE_TROUBLE: stays(0)},
            says="The journal of shard s1 is not archived, and none of it is deleted.",
            labels=S1,
        ),
    ),
    "TenderReportingBehind": (
        Case(
            # Time begins at 0 in these tests.
            fires={REPORTS_COMPLETE: stays(60)},
            healthy={REPORTS_COMPLETE: rises(1)},
            says="Reports lack what was published up to 7m 5s ago.",
            true_at=365,
        ),
    ),
    "TenderReportingHistoryLost": (
        Case(
            fires={REPORTS_LOST: stays(1)},
            healthy={REPORTS_LOST: stays(0)},
            says="Reports show commits of 1 shards that a failover took back.",
        ),
    ),
    "TenderWebhooksBehind": (
        Case(
            fires={WEBHOOKS_DUE: stays(61)},
            healthy={WEBHOOKS_DUE: stays(59)},
            says="Webhooks that are due have waited for 1m 1s for somebody to send them.",
        ),
    ),
    "TenderWebhookEndpointsFailing": (
        Case(
            fires={WEBHOOKS_FAILING: stays(6), WEBHOOKS_HEALTHY: stays(5)},
            healthy={WEBHOOKS_HEALTHY: stays(7)},
            says="6 webhook endpoints fail, more than do not: the cause is probably here.",
        ),
        Case(
            fires={WEBHOOKS_FAILING: stays(5), WEBHOOKS_HEALTHY: stays(0)},
            healthy={WEBHOOKS_FAILING: stays(4)},
            says="5 webhook endpoints fail, more than do not: the cause is probably here.",
        ),
    ),
    "TenderWebhookEndpointDisabled": (
        Case(
            fires={WEBHOOKS_DISABLED: in_turn(stays(0, 60), stays(1))},
            healthy={WEBHOOKS_DISABLED: stays(0)},
            says="A webhook endpoint was disabled by itself: failing.",
            labels={"cause": "failing"},
            true_at=60,
        ),
    ),
    "TenderCommandsStuck": (
        Case(
            # Time begins at 0 in these tests; the command was accepted a minute after.
            fires={INTAKE_OLDEST: stays(60)},
            healthy={INTAKE_OLDEST: rises(1)},
            says="A command that was accepted 2m 5s ago is still not carried out.",
            true_at=125,
        ),
        Case(
            fires={INTAKE_OLDEST: stays(60)},
            healthy={INTAKE_OLDEST: stays(0)},
            says="A command that was accepted 2m 5s ago is still not carried out.",
            true_at=125,
        ),
    ),
    "TenderCommandsNotAccepted": (
        Case(
            fires={INTAKE_REFUSED: rises(2), INTAKE_ACCEPTED: rises(100)},
            healthy={INTAKE_REFUSED: rises(0.6), INTAKE_ACCEPTED: rises(100)},
            says="2 commands a second are not accepted to be carried out later.",
            true_at=35,
        ),
    ),
    "TenderMoneyHeldUp": (
        Case(
            # Time begins at 0 in these tests; legs wait since a minute after.
            fires={WAITING_SINCE: stays(60)},
            healthy={WAITING_SINCE: rises(1)},
            says="Money that left shard s1 has waited for 1m 5s to arrive at another.",
            labels=S1,
            true_at=95,
        ),
        Case(
            fires={WAITING_SINCE: stays(60)},
            healthy={WAITING_SINCE: stays(0)},
            says="Money that left shard s1 has waited for 1m 5s to arrive at another.",
            labels=S1,
            true_at=95,
        ),
    ),
    "TenderLegsStopped": (
        Case(
            fires={LEGS_STOPPED: in_turn(stays(0, 60), stays(1))},
            healthy={LEGS_STOPPED: stays(0)},
            says="Shard s1 stopped taking or sending legs, which will not mend by itself.",
            labels=S1,
            true_at=60,
        ),
    ),
    "TenderMoverFails": (
        Case(
            fires={FREEZES_ENDED: in_turn(stays(0, 60), stays(9))},
            healthy={FREEZES_ENDED: stays(1)},
            says="Shard s1 froze a bucket that was to move more than five times, and nobody"
            " released it.",
            labels=S1,
            true_at=60,
        ),
    ),
    "TenderConsumerWaits": (
        Case(
            fires={CONSUMER_WAITING: stays(1)},
            healthy={CONSUMER_WAITING: stays(0)},
            says="Consumer webhooks reads no events, because something that it needs is away.",
            labels=CONSUMER,
        ),
    ),
    "TenderConsumerHeld": (
        Case(
            fires={CONSUMER_HELD: stays(2)},
            healthy={CONSUMER_HELD: stays(0)},
            says="Consumer webhooks stands still in 2 partitions, at events that it can neither"
            " handle nor park.",
            labels=CONSUMER,
        ),
    ),
    "TenderConsumerLags": (
        Case(
            fires={CONSUMER_LAG: stays(12_000)},
            healthy={CONSUMER_LAG: stays(10_000)},
            says="Consumer webhooks is 12k records of payments behind.",
            labels=OF_PAYMENTS,
        ),
    ),
    "TenderDeadLetters": (
        Case(
            fires={PARKED: in_turn(stays(1, 2 * TEN_MINUTES), stays(2))},
            healthy={PARKED: stays(1)},
            says="Consumer webhooks parked events of payments: MALFORMED.",
            labels=OF_MALFORMED,
            true_at=2 * TEN_MINUTES,
        ),
        Case(
            fires={PARKED: in_turn(is_away(2 * TEN_MINUTES), stays(1))},
            healthy={PARKED: is_away(2 * TEN_MINUTES)},
            says="Consumer webhooks parked events of payments: MALFORMED.",
            labels=OF_MALFORMED,
            true_at=2 * TEN_MINUTES,
        ),
    ),
    "TenderNotificationsAway": (
        Case(
            fires={NOTIFICATIONS_AWAY: stays(1)},
            healthy={NOTIFICATIONS_AWAY: stays(0)},
            says="Whoever delivers email messages does not answer, or takes nothing from us.",
            labels=BY_MAIL,
        ),
    ),
    "TenderNotificationsBehind": (
        Case(
            fires={NOTIFICATIONS_OLDEST: stays(660)},
            healthy={NOTIFICATIONS_OLDEST: stays(600)},
            says="The oldest email message has been due for 11m 0s.",
            labels=BY_MAIL,
        ),
    ),
    "TenderNotificationsFailing": (
        Case(
            fires={NOTIFICATIONS_FAILED: rises(1), NOTIFICATIONS_SENT: rises(1)},
            healthy={NOTIFICATIONS_FAILED: rises(1), NOTIFICATIONS_SENT: rises(9)},
            says="50% of email messages failed for good.",
            labels=BY_MAIL,
            true_at=5,
        ),
    ),
    "TenderNotificationsUnowned": (
        Case(
            fires={UNOWNED: stays(2_000)},
            healthy={UNOWNED: stays(1_000)},
            says="2k payments wait for their payer to be known before anybody is told of them.",
        ),
    ),
    "TenderHistoryLost": (
        Case(
            fires={LOST: in_turn(stays(0, 60), stays(3))},
            healthy={LOST: stays(0)},
            says="Shard s1 has lost at least 3 acknowledged commits in a failover.",
            labels=S1,
            true_at=60,
        ),
    ),
}
