"""Every metric of both servers, and the small HTTP server that shows them."""

import bisect
import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    Counter,
    Gauge,
    Histogram,
    Metric,
    generate_latest,
)
from prometheus_client.registry import Collector

from kit import addresses

_RPC_BUCKETS: Final = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
_RPC_BUCKET_NAMES: Final = (*map(str, _RPC_BUCKETS), "+Inf")
_BATCH_SECONDS_BUCKETS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075),
    *(0.01, 0.02, 0.05, 0.1, 0.5, 1.0),
)
_OPENING_BUCKETS: Final = (0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0)
_BATCH_SIZE_BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 150, 200, 300)
_EVENT_AGE_BUCKETS: Final = (
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    *(60.0, 600.0, 3_600.0, 86_400.0),
)
_SCRAPE_SECONDS_MAX: Final = 5.0  # A scraper that says nothing must not keep the next one out.
_POLL_SECONDS: Final = 0.1  # How soon it notices that it is to close.

# Both servers. These two are written down by RpcMeter and shown by a collector.
RPC_REQUESTS = Counter(
    "tender_rpc_requests_total", "Answered RPCs.", ["server", "method", "code"], registry=None
)
RPC_LATENCY = Histogram(
    "tender_rpc_latency_seconds",
    "From the whole request to the answer.",
    ["server", "method"],
    buckets=_RPC_BUCKETS,
    registry=None,
)
INTERNAL_ERRORS = Counter(
    "tender_internal_errors_total", "Unexpected exceptions, each logged once.", ["server"]
)

# The gateway.
GATEWAY_IN_FLIGHT = Gauge("tender_gateway_in_flight", "Commands sent and not yet answered.")
GATEWAY_LANE_CONNECTED = Gauge(
    "tender_gateway_lane_connected",
    "1 while the lane is reached; the shard is empty where there is one.",
    ["shard"],
)
GATEWAY_LANE_RESENT = Counter(
    "tender_gateway_lane_resent_total", "Commands sent again after a broken stream."
)
GATEWAY_LANE_STRAYS = Counter(
    "tender_gateway_lane_strays_total", "Outcomes that came late or twice, dropped."
)
GATEWAY_HELD_BACK = Gauge(
    "tender_gateway_held_back", "Bulk commands that wait because the lane is full."
)
GATEWAY_SENT_AGAIN = Counter(
    "tender_gateway_sent_again_total", "Bulk commands sent again after the lane had been full."
)
GATEWAY_DETOURS = Counter(
    "tender_gateway_detours_total", "Commands refused by a lane that does not own their bucket."
)
GATEWAY_TURNED_AWAY = Counter(
    "tender_gateway_turned_away_total", "Calls refused unread for want of room.", ["reason"]
)
GATEWAY_STREAMS = Gauge("tender_gateway_streams", "Open streams of StreamPayments.")
GATEWAY_STREAM_COMMANDS = Counter(
    "tender_gateway_stream_commands_total", "Commands that came over streams."
)


# The relay.
RELAY_OWNER = Gauge("tender_relay_owner", "1 while this relay publishes the shard.", ["shard"])
RELAY_TROUBLE = Gauge(
    "tender_relay_trouble", "1 while the shard's journal cannot be published.", ["shard"]
)
RELAY_EVENTS = Counter(
    "tender_relay_events_total", "Events handed to Kafka, repeats among them.", ["shard"]
)
RELAY_OUTSTANDING = Gauge(
    "tender_relay_outstanding", "Events that Kafka has not acknowledged.", ["shard"]
)
RELAY_ROWS_BEHIND = Gauge(
    "tender_relay_rows_behind", "Journal rows that are not published.", ["shard"]
)
RELAY_SECONDS_BEHIND = Gauge(
    "tender_relay_seconds_behind", "How long the first of them has waited.", ["shard"]
)

# Webhooks.
WEBHOOKS_DELIVERIES = Counter(
    "tender_webhooks_deliveries_total",
    "Deliveries that ended: delivered, or why they were given up.",
    ["outcome"],
)
WEBHOOKS_ATTEMPTS = Counter(
    "tender_webhooks_attempts_total", "Attempts: ok, or why they failed.", ["outcome"]
)
WEBHOOKS_ATTEMPT_SECONDS = Histogram(
    "tender_webhooks_attempt_seconds",
    "From the lookup of the name to the answer.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
WEBHOOKS_IN_FLIGHT = Gauge(
    "tender_webhooks_in_flight", "Endpoints that this process is delivering to."
)
WEBHOOKS_LEASES_LOST = Counter(
    "tender_webhooks_leases_lost_total",
    "Times that a result was not recorded, since another process had the endpoint.",
)
WEBHOOKS_PENDING = Gauge(
    "tender_webhooks_pending", "Deliveries that wait for endpoints that are enabled."
)
WEBHOOKS_OLDEST_SECONDS = Gauge(
    "tender_webhooks_oldest_seconds", "How long the oldest of them has waited."
)
WEBHOOKS_DUE_SECONDS = Gauge(
    "tender_webhooks_due_seconds",
    "How long an endpoint has waited for a worker, with something that is due.",
)
WEBHOOKS_ENDPOINTS = Gauge(
    "tender_webhooks_endpoints",
    "Endpoints that are healthy, failing (their last attempt failed) or disabled.",
    ["state"],
)
WEBHOOKS_DISABLED = Counter(
    "tender_webhooks_disabled_total", "Endpoints that were disabled by themselves.", ["cause"]
)

# Redis, by what it is used for.
REDIS_UP = Gauge("tender_redis_up", "1 while Redis is asked; 0 while it is done without.", ["role"])
REDIS_CALLS = Counter(
    "tender_redis_calls_total",
    "Calls by what came of them: ok, timeout or error.",
    ["role", "outcome"],
)
REDIS_SECONDS = Histogram(
    "tender_redis_call_seconds",
    "Calls that were answered in time.",
    ["role"],
    buckets=_BATCH_SECONDS_BUCKETS,
)
REDIS_SKIPPED = Counter(
    "tender_redis_skipped_total", "What was not asked, since Redis is away or too slow.", ["role"]
)
GATEWAY_REPLAYS = Counter(
    "tender_gateway_replays_total",
    "Repeated calls that got their first answer again, from the cache or from the lane.",
    ["tenant", "source"],
)
GATEWAY_CONFLICTS = Counter(
    "tender_gateway_request_conflicts_total",
    "Calls refused because their request_id was used for another request.",
    ["tenant", "source"],
)
GATEWAY_IN_FLIGHT_WAITS = Counter(
    "tender_gateway_in_flight_waits_total",
    "Calls that waited for an earlier one with the same request_id.",
    ["tenant"],
)
REPLAY_IGNORED = Counter(
    "tender_gateway_replay_ignored_total",
    "Calls left to their lanes, by why: Redis was away or left them unanswered, or what in a "
    "cached answer did not fit the call or the lane.",
    ["reason"],
)
RATE_LIMITED = Counter(
    "tender_gateway_rate_limited_total", "Calls refused by a rate limit, by its name.", ["limit"]
)
TENANTS_SHOWN_MAX: Final = 100
"""Tenants with a series of their own; the rest share one."""

_OTHER_TENANTS: Final = "other"


class RedisMeter:
    """What one role asks of Redis."""

    def __init__(self, role: str) -> None:
        self.up = REDIS_UP.labels(role)
        self.up.set(0)
        self.answered = REDIS_CALLS.labels(role, "ok")
        self.timeouts = REDIS_CALLS.labels(role, "timeout")
        self.errors = REDIS_CALLS.labels(role, "error")
        self.seconds = REDIS_SECONDS.labels(role)
        self.skipped = REDIS_SKIPPED.labels(role)


class RelayMeter:
    """What the relay of one shard does."""

    def __init__(self, shard: str) -> None:
        self.owner = RELAY_OWNER.labels(shard)
        self.trouble = RELAY_TROUBLE.labels(shard)
        self.events = RELAY_EVENTS.labels(shard)
        self.outstanding = RELAY_OUTSTANDING.labels(shard)
        self.rows_behind = RELAY_ROWS_BEHIND.labels(shard)
        self.seconds_behind = RELAY_SECONDS_BEHIND.labels(shard)


class TenantCounter:
    """A counter by tenant with a bounded number of series."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._series: dict[tuple[str, ...], Counter] = {}

    def count(self, tenant_id: str, *labels: str) -> None:
        series = self._series.get((tenant_id, *labels))
        if series is None:
            series = self._add(tenant_id, labels)
        series.inc()

    def _add(self, tenant_id: str, labels: tuple[str, ...]) -> Counter:
        known = {tenant for tenant, *_ in self._series}
        if len(known) >= TENANTS_SHOWN_MAX and tenant_id not in known:
            return self._counter.labels(_OTHER_TENANTS, *labels)
        series = self._series[tenant_id, *labels] = self._counter.labels(tenant_id, *labels)
        return series


REPLAYS: Final = TenantCounter(GATEWAY_REPLAYS)
CONFLICTS: Final = TenantCounter(GATEWAY_CONFLICTS)
IN_FLIGHT_WAITS: Final = TenantCounter(GATEWAY_IN_FLIGHT_WAITS)


class _Watched:
    """A gauge that is asked for at scrape and costs nothing between: how much is held in all."""

    def __init__(self, gauge: Gauge) -> None:
        self._held: dict[int, Sized] = {}
        gauge.set_function(lambda: sum(map(len, tuple(self._held.values()))))

    @contextmanager
    def watching(self, held: Sized) -> Iterator[None]:
        self._held[id(held)] = held
        try:
            yield
        finally:
            del self._held[id(held)]


IN_FLIGHT: Final = _Watched(GATEWAY_IN_FLIGHT)
HELD_BACK: Final = _Watched(GATEWAY_HELD_BACK)
STREAMS: Final = _Watched(GATEWAY_STREAMS)

# The lanes, by shard. A lane writes to them through its LaneMeter.
LANE_BATCH_SIZE = Histogram(
    "tender_lane_batch_size", "Commands in a batch.", ["shard"], buckets=_BATCH_SIZE_BUCKETS
)
LANE_DECIDE = Histogram(
    "tender_lane_decide_seconds", "Deciding one batch.", ["shard"], buckets=_BATCH_SECONDS_BUCKETS
)
LANE_APPLY = Histogram(
    "tender_lane_apply_seconds", "Committing one batch.", ["shard"], buckets=_BATCH_SECONDS_BUCKETS
)
LANE_LOAD = Histogram(
    "tender_lane_load_seconds",
    "Loading keys and cold accounts.",
    ["shard"],
    buckets=_BATCH_SECONDS_BUCKETS,
)
LANE_QUEUE_DEPTH = Gauge("tender_lane_queue_depth", "Commands that wait for a batch.", ["shard"])
LANE_BACKGROUND = Gauge(
    "tender_lane_background_depth", "Commands that wait behind all whose callers wait.", ["shard"]
)
LANE_EPOCH = Gauge("tender_lane_epoch", "Epoch under which this process owns the lane.", ["shard"])
LANE_OPEN = Gauge("tender_lane_open", "1 while the lane takes commands.", ["shard"])
LANE_TAKEOVERS = Counter(
    "tender_lane_takeovers_total",
    "Times this process took the lane, by why: it was handed_over, its owner_lost, it was unheld, "
    "or this process reopened it.",
    ["shard", "cause"],
)
LANE_HANDOVERS = Counter(
    "tender_lane_handovers_total", "Times this process gave the lane to another.", ["shard"]
)
LANE_OPENING = Histogram(
    "tender_lane_opening_seconds",
    "From when this process lost the lane, or began to try for it, until it took commands.",
    ["shard"],
    buckets=_OPENING_BUCKETS,
)
PEERS_UNHEARD = Gauge(
    "tender_processor_peers_unheard", "Other processors that this one does not hear."
)
LANE_COMMANDS = Counter(
    "tender_lane_commands_total",
    "Commands by what became of them: ok, replayed, declined or the reason of a refusal.",
    ["shard", "method", "outcome"],
)
LANE_BISECTIONS = Counter(
    "tender_lane_bisections_total",
    "Batches halved to find a poisonous command.",
    ["shard", "tenant"],
)
LANE_INTERNAL_ERRORS = Counter(
    "tender_lane_internal_errors_total", "Commands that failed for a reason of our own.", ["shard"]
)
LANE_HOLDS_EXPIRED = Counter("tender_lane_holds_expired_total", "Holds that ran out.", ["shard"])
LANE_REQUEST_KEYS_DELETED = Counter(
    "tender_lane_request_keys_deleted_total",
    "Request keys deleted after their retention.",
    ["shard"],
)
LANE_CLOCK_SKEW = Gauge(
    "tender_lane_clock_skew_seconds", "How far the database's clock is from lane time.", ["shard"]
)
LANE_LOST_COMMITS = Counter(
    "tender_lane_lost_commits_total",
    "Commits that the witness remembers and the journal has no more, found at takeovers.",
    ["shard"],
)
LEGS_PENDING = Gauge(
    "tender_legs_pending",
    "Legs sent whose effect on their shard is not confirmed yet.",
    ["shard"],
)
LEGS_WAITING_SINCE = Gauge(
    "tender_legs_waiting_since_timestamp_seconds",
    "When legs to the destination that is slowest began to wait or last got on; 0 if none wait.",
    ["shard"],
)
LEGS_STOPPED = Counter(
    "tender_legs_stopped_total",
    "Times that legs were left where they are for an error of ours.",
    ["shard"],
)
BUCKET_FREEZE = Histogram(
    "tender_bucket_freeze_seconds",
    "How long nothing was decided on a bucket that was to move.",
    ["shard"],
    buckets=(0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0),
)
BUCKET_FREEZES_ENDED = Counter(
    "tender_bucket_freezes_ended_total",
    "Freezes that ended by themselves, for nobody released the bucket in time.",
    ["shard"],
)
JOURNAL_SEQ = Gauge(
    "tender_journal_seq", "Last committed sequence number of the journal.", ["shard"]
)

# Reads, by shard. The cause is empty when the cache or a replica did; else why none did: none (no
# replica), away, lagging, behind (a read token), history.
READS = Counter("tender_reads_total", "Reads by who answered them.", ["shard", "source", "cause"])
REPLICA_UP = Gauge(
    "tender_replica_up",
    "1 while the replica answers and has the primary's history.",
    ["shard", "replica"],
)
REPLICA_LAG_SEQ = Gauge(
    "tender_replica_lag_seq", "Commits that the replica is behind.", ["shard", "replica"]
)
REPLICA_LAG_SECONDS = Gauge(
    "tender_replica_lag_seconds",
    "Since the replica was last known to be equal to the primary.",
    ["shard", "replica"],
)


class ReplicaMeter:
    """One replica's series."""

    def __init__(self, shard: str, replica: str) -> None:
        self.up = REPLICA_UP.labels(shard, replica)
        self.lag_seq = REPLICA_LAG_SEQ.labels(shard, replica)
        self.lag_seconds = REPLICA_LAG_SECONDS.labels(shard, replica)


@functools.cache
def replica_meter(shard: str, replica: str) -> ReplicaMeter:
    """Return the meter of a shard's replica; replicas are counted from 1."""
    return ReplicaMeter(shard, replica)


class LaneMeter:
    """One lane's series, looked up once: a batch must not pay for labels."""

    def __init__(self, shard: str) -> None:
        self._shard = shard
        self.batch_size = LANE_BATCH_SIZE.labels(shard)
        self.decide = LANE_DECIDE.labels(shard)
        self.apply = LANE_APPLY.labels(shard)
        self.load = LANE_LOAD.labels(shard)
        self.queue_depth = LANE_QUEUE_DEPTH.labels(shard)
        self.background = LANE_BACKGROUND.labels(shard)
        self.epoch = LANE_EPOCH.labels(shard)
        self.open = LANE_OPEN.labels(shard)
        self.handovers = LANE_HANDOVERS.labels(shard)
        self.opening = LANE_OPENING.labels(shard)
        self.internal_errors = LANE_INTERNAL_ERRORS.labels(shard)
        self.holds_expired = LANE_HOLDS_EXPIRED.labels(shard)
        self.request_keys_deleted = LANE_REQUEST_KEYS_DELETED.labels(shard)
        self.lost_commits = LANE_LOST_COMMITS.labels(shard)
        self.clock_skew = LANE_CLOCK_SKEW.labels(shard)
        self.legs_pending = LEGS_PENDING.labels(shard)
        self.legs_waiting_since = LEGS_WAITING_SINCE.labels(shard)
        self.legs_stopped = LEGS_STOPPED.labels(shard)
        self.freeze = BUCKET_FREEZE.labels(shard)
        self.freezes_ended = BUCKET_FREEZES_ENDED.labels(shard)
        self.journal_seq = JOURNAL_SEQ.labels(shard)
        self._commands: dict[tuple[str, str], Counter] = {}

    def count_commands(self, method: str, outcome: str, count: int) -> None:
        """Count commands by outcome; both names come from fixed sets, so the cache is bounded."""
        counter = self._commands.get((method, outcome))
        if counter is None:
            counter = LANE_COMMANDS.labels(self._shard, method, outcome)
            self._commands[method, outcome] = counter
        counter.inc(count)

    def show_nothing(self) -> None:
        """Leave no state of a lane that others hold from now on."""
        for gauge in (self.queue_depth, self.background, self.clock_skew, self.legs_pending):
            gauge.set(0)

    def count_takeover(self, cause: str, seconds: float) -> None:
        """Count a takeover, and how long it took."""
        LANE_TAKEOVERS.labels(self._shard, cause).inc()
        self.opening.observe(seconds)

    def count_bisection(self, tenant_id: str) -> None:
        """Count a batch that was halved with commands of a tenant in it."""
        LANE_BISECTIONS.labels(self._shard, tenant_id).inc()


@functools.cache
def lane_meter(shard: str) -> LaneMeter:
    """Return the meter of a shard's lane; a process serves few shards."""
    return LaneMeter(shard)


# The archive of the journal (storage/archive).
ARCHIVE_ROWS = Counter("tender_archive_rows_total", "Journal rows that were archived.", ["shard"])
ARCHIVE_ROWS_BEHIND = Gauge(
    "tender_archive_rows_behind", "Journal rows that are not archived yet.", ["shard"]
)
ARCHIVE_TROUBLE = Gauge(
    "tender_archive_trouble", "1 while the journal cannot be archived.", ["shard"]
)
JOURNAL_ROWS = Gauge(
    "tender_journal_table_rows", "Journal rows that are still in the table.", ["shard"]
)

# How new the reports are (services/reporting).
REPORTING_COMPLETE = Gauge(
    "tender_reporting_complete_timestamp_seconds",
    "Everything that was in the topics at this time is in the reports; 0 while that is not known.",
)
REPORTING_HISTORIES_LOST = Gauge(
    "tender_reporting_histories_lost",
    "Shards of which the reports show commits that a failover took back.",
)

# What consumers of events do, by the name of the consumer. A loop writes to them through its
# ConsumerMeter.
CONSUMER_EVENTS = Counter(
    "tender_consumer_events_total",
    "Events by what became of them: handled, repeated (had their effect already) or parked.",
    ["consumer", "topic", "outcome"],
)
CONSUMER_PARKED = Counter(
    "tender_consumer_parked_total",
    "Events put into the dead-letter queue.",
    ["consumer", "topic", "cause"],
)
CONSUMER_RETRIES = Counter(
    "tender_consumer_retries_total",
    "Times that events were tried again, by why: narrowed (to find the one to blame), down (a "
    "dependency), parking (the dead-letter queue), again or error.",
    ["consumer", "why"],
)
CONSUMER_LAG = Gauge(
    "tender_consumer_lag",
    "Records that follow what was delivered; it stands still while nothing is read.",
    ["consumer", "topic", "partition"],
)
CONSUMER_NEWEST = Gauge(
    "tender_consumer_newest_event_timestamp_seconds",
    "When the newest event that was handled had been decided.",
    ["consumer", "topic"],
)
CONSUMER_AGE = Histogram(
    "tender_consumer_event_age_seconds",
    "From when an event was decided until its effect was committed.",
    ["consumer"],
    buckets=_EVENT_AGE_BUCKETS,
)
CONSUMER_WAITING = Gauge(
    "tender_consumer_waiting",
    "1 while nothing is read, because something that handling needs is away.",
    ["consumer"],
)
CONSUMER_HELD = Gauge(
    "tender_consumer_held_partitions",
    "Partitions that stand still until an event of theirs is tried again, or parked.",
    ["consumer"],
)


class ConsumerMeter:
    """One consumer's series; topics and causes come from fixed sets, so they are bounded."""

    def __init__(self, consumer: str) -> None:
        self._consumer = consumer
        self.age = CONSUMER_AGE.labels(consumer)
        self.waiting = CONSUMER_WAITING.labels(consumer)
        self.held = CONSUMER_HELD.labels(consumer)
        self._lags: set[tuple[str, int]] = set()
        self._newest: dict[str, float] = {}

    def count(self, topic: str, outcome: str, count: int) -> None:
        """Count events by what became of them."""
        CONSUMER_EVENTS.labels(self._consumer, topic, outcome).inc(count)

    def count_parked(self, topic: str, cause: str) -> None:
        """Count an event that was put into the dead-letter queue."""
        CONSUMER_PARKED.labels(self._consumer, topic, cause).inc()
        self.count(topic, "parked", 1)

    def count_retry(self, why: str) -> None:
        """Count a further try."""
        CONSUMER_RETRIES.labels(self._consumer, why).inc()

    def note_newest(self, topic: str, created_at: float) -> None:
        """Note an event that was handled, decided at a time in s since 1970."""
        if created_at > self._newest.get(topic, 0.0):
            self._newest[topic] = created_at
            CONSUMER_NEWEST.labels(self._consumer, topic).set(created_at)

    def show_lags(self, lags: Mapping[tuple[str, int], int]) -> None:
        """Show the lag of these partitions and of no others: they are somebody else's now."""
        for topic, partition in self._lags - lags.keys():
            CONSUMER_LAG.remove(self._consumer, topic, str(partition))
        for (topic, partition), lag in lags.items():
            CONSUMER_LAG.labels(self._consumer, topic, str(partition)).set(lag)
        self._lags = set(lags)


@functools.cache
def consumer_meter(consumer: str) -> ConsumerMeter:
    """Return the meter of a consumer; a process has few."""
    return ConsumerMeter(consumer)


class _Summed:
    """A gauge that shows the sum of what several parts count, at scrape."""

    def __init__(self, gauge: Gauge) -> None:
        self._counts: list[Callable[[], int]] = []
        gauge.set_function(lambda: sum(count() for count in tuple(self._counts)))

    @contextmanager
    def watching_count(self, count: Callable[[], int]) -> Iterator[None]:
        self._counts.append(count)
        try:
            yield
        finally:
            self._counts.remove(count)


# The asynchronous way in.
INTAKE_SUBMITTED = Counter(
    "tender_intake_submitted_total",
    "SubmitPayment calls past their checks: accepted, or the reason why not.",
    ["result"],
)
INTAKE_COMMANDS = Counter(
    "tender_intake_commands_total",
    "Accepted commands by what became of them: done, refused, or repeated (the record came again "
    "and had its outcome).",
    ["outcome"],
)
INTAKE_RETRIES = Counter(
    "tender_intake_retries_total", "Times that a command was to be tried again, by why.", ["reason"]
)
INTAKE_AGE = Histogram(
    "tender_intake_age_seconds",
    "From when a command was accepted until its outcome was told.",
    buckets=_EVENT_AGE_BUCKETS,
)
INTAKE_OLDEST = Gauge(
    "tender_intake_oldest_timestamp_seconds",
    "When the oldest command was accepted that was read and is not done; 0 without any.",
)
INTAKE_IN_HAND: Final = _Summed(
    Gauge("tender_intake_in_hand", "Records of commands that were read and are not done.")
)
INTAKE_UNDER_WAY: Final = _Summed(
    Gauge("tender_intake_under_way", "Accepted commands that lanes have and did not answer yet.")
)


# Notifications.
NOTIFICATIONS = Counter(
    "tender_notifications_total",
    "Messages to people by what became of them: written, sent, failed, cancelled, pending (tried, "
    "and to be tried again), fenced (by another process meanwhile).",
    ["channel", "outcome"],
)
NOTIFICATIONS_PENDING = Gauge(
    "tender_notifications_pending", "Messages that are due and not sent, up to 10,000.", ["channel"]
)
NOTIFICATIONS_OLDEST = Gauge(
    "tender_notifications_oldest_seconds",
    "How long the oldest of them has been due.",
    ["channel"],
)
NOTIFICATIONS_AWAY = Gauge(
    "tender_notifications_away",
    "1 while whoever delivers the channel does not answer and nothing is tried.",
    ["channel"],
)
NOTIFICATIONS_SEND = Histogram(
    "tender_notifications_send_seconds",
    "One try to have a message taken.",
    ["channel"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
NOTIFICATIONS_UNOWNED = Gauge(
    "tender_notifications_unowned_events",
    "Events of payments that wait for their payer to be known or for a template, up to 10,000.",
)


class NotificationMeter:
    """What is shown of one channel."""

    __slots__ = ("_channel", "away", "oldest", "pending", "seconds")

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self.pending = NOTIFICATIONS_PENDING.labels(channel)
        self.oldest = NOTIFICATIONS_OLDEST.labels(channel)
        self.away = NOTIFICATIONS_AWAY.labels(channel)
        self.seconds = NOTIFICATIONS_SEND.labels(channel)

    def count(self, outcome: str, count: int = 1) -> None:
        """Count what became of messages."""
        NOTIFICATIONS.labels(self._channel, outcome).inc(count)


@functools.cache
def notification_meter(channel: str) -> NotificationMeter:
    """Return the meter of a channel; there are three."""
    return NotificationMeter(channel)


class _Series:
    """What came of the calls of one method: plain numbers, written by one thread."""

    __slots__ = ("buckets", "codes", "seconds")

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self.buckets = [0] * (len(_RPC_BUCKETS) + 1)
        self.seconds = 0.0


class _RpcCollector(Collector):
    """Shows the calls of both servers at scrape, so that counting one costs next to nothing."""

    def __init__(self) -> None:
        self.series: dict[tuple[str, str], _Series] = {}

    def collect(self) -> Iterator[Metric]:
        (requests,), (latency,) = RPC_REQUESTS.describe(), RPC_LATENCY.describe()
        for (server, method), series in tuple(self.series.items()):
            labels = {"server": server, "method": method}
            for code, count in tuple(series.codes.items()):
                requests.add_sample(f"{requests.name}_total", labels | {"code": code}, count)
            reached = 0
            for bound, count in zip(_RPC_BUCKET_NAMES, tuple(series.buckets), strict=True):
                reached += count
                latency.add_sample(f"{latency.name}_bucket", labels | {"le": bound}, reached)
            latency.add_sample(f"{latency.name}_count", labels, reached)
            latency.add_sample(f"{latency.name}_sum", labels, series.seconds)
        yield requests
        yield latency


_RPCS: Final = _RpcCollector()
REGISTRY.register(_RPCS)


class RpcMeter:
    """Counts and times one method of one server."""

    __slots__ = ("_series",)

    def __init__(self, server: str, method: str) -> None:
        self._series = _RPCS.series.setdefault((server, method), _Series())

    def count(self, code: str) -> None:
        codes = self._series.codes
        codes[code] = codes.get(code, 0) + 1

    def observe(self, code: str, seconds: float) -> None:
        series = self._series
        codes = series.codes
        codes[code] = codes.get(code, 0) + 1
        series.seconds += seconds
        series.buckets[bisect.bisect_left(_RPC_BUCKETS, seconds)] += 1


class MetricsServer:
    """Serves /metrics and /healthz from a thread of its own until closed."""

    def __init__(self, listen: str, is_healthy: Callable[[], bool]) -> None:
        self._http = HTTPServer(addresses.host_and_port(listen), _handler(is_healthy))
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(_POLL_SECONDS,), name="metrics", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        return self._http.server_port

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def serve(listen: str, is_healthy: Callable[[], bool] = lambda: True) -> MetricsServer:
    return MetricsServer(listen, is_healthy)


def _handler(is_healthy: Callable[[], bool]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _SCRAPE_SECONDS_MAX
        server_version = "tender"
        sys_version = ""

        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
                case "/healthz" if is_healthy():
                    self._answer(200, "text/plain", b"SERVING\n")
                case "/healthz":
                    self._answer(503, "text/plain", b"NOT_SERVING\n")
                case _:
                    self._answer(404, "text/plain", b"Not found\n")

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent: scrapes are no events."""

    return Handler
