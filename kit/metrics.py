"""Every metric of both servers, and the small HTTP server that shows them."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest

from kit import addresses

_RPC_BUCKETS: Final = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
_BATCH_SECONDS_BUCKETS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075),
    *(0.01, 0.02, 0.05, 0.1, 0.5, 1.0),
)
_BATCH_SIZE_BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 150, 200, 300)
_SCRAPE_SECONDS_MAX: Final = 5.0  # A scraper that says nothing must not keep the next one out.
_POLL_SECONDS: Final = 0.1  # How soon it notices that it is to close.

# Both servers.
RPC_REQUESTS = Counter("tender_rpc_requests_total", "Answered RPCs.", ["server", "method", "code"])
RPC_LATENCY = Histogram(
    "tender_rpc_latency_seconds",
    "From the whole request to the answer.",
    ["server", "method"],
    buckets=_RPC_BUCKETS,
)
INTERNAL_ERRORS = Counter(
    "tender_internal_errors_total", "Unexpected exceptions, each logged once.", ["server"]
)

# The gateway.
GATEWAY_IN_FLIGHT = Gauge("tender_gateway_in_flight", "Commands sent and not yet answered.")
GATEWAY_LANE_CONNECTED = Gauge("tender_gateway_lane_connected", "1 while the lane is reached.")
GATEWAY_LANE_RESENT = Counter(
    "tender_gateway_lane_resent_total", "Commands sent again after a broken stream."
)
GATEWAY_LANE_STRAYS = Counter(
    "tender_gateway_lane_strays_total", "Outcomes that came late or twice, dropped."
)

# The lane.
LANE_BATCH_SIZE = Histogram(
    "tender_lane_batch_size", "Commands in a batch.", buckets=_BATCH_SIZE_BUCKETS
)
LANE_DECIDE = Histogram(
    "tender_lane_decide_seconds", "Deciding one batch.", buckets=_BATCH_SECONDS_BUCKETS
)
LANE_APPLY = Histogram(
    "tender_lane_apply_seconds", "Committing one batch.", buckets=_BATCH_SECONDS_BUCKETS
)
LANE_LOAD = Histogram(
    "tender_lane_load_seconds", "Loading keys and cold accounts.", buckets=_BATCH_SECONDS_BUCKETS
)
LANE_QUEUE_DEPTH = Gauge("tender_lane_queue_depth", "Commands that wait for a batch.")
LANE_EPOCH = Gauge("tender_lane_epoch", "Epoch under which this process owns the lane.")
LANE_OPEN = Gauge("tender_lane_open", "1 while the lane takes commands.")
LANE_TAKEOVERS = Counter("tender_lane_takeovers_total", "Times this process took the lane.")
LANE_COMMANDS = Counter(
    "tender_lane_commands_total",
    "Commands by what became of them: ok, replayed, declined or the reason of a refusal.",
    ["method", "outcome"],
)
LANE_BISECTIONS = Counter(
    "tender_lane_bisections_total", "Batches halved to find a poisonous command.", ["tenant"]
)
LANE_INTERNAL_ERRORS = Counter(
    "tender_lane_internal_errors_total", "Commands that failed for a reason of our own."
)
LANE_HOLDS_EXPIRED = Counter("tender_lane_holds_expired_total", "Holds that ran out.")
LANE_REQUEST_KEYS_DELETED = Counter(
    "tender_lane_request_keys_deleted_total", "Request keys deleted after their retention."
)
LANE_CLOCK_SKEW = Gauge(
    "tender_lane_clock_skew_seconds", "How far the database's clock is from lane time."
)
JOURNAL_SEQ = Gauge("tender_journal_seq", "Last committed sequence number of the journal.")


class RpcMeter:
    """Counts and times one method of one server; its labels are looked up once."""

    __slots__ = ("_codes", "_latency", "_method", "_server")

    def __init__(self, server: str, method: str) -> None:
        self._server = server
        self._method = method
        self._latency = RPC_LATENCY.labels(server, method)
        self._codes: dict[str, Counter] = {}

    def count(self, code: str) -> None:
        counter = self._codes.get(code)
        if counter is None:
            counter = self._codes[code] = RPC_REQUESTS.labels(self._server, self._method, code)
        counter.inc()

    def observe(self, code: str, seconds: float) -> None:
        self.count(code)
        self._latency.observe(seconds)


_lane_commands: dict[tuple[str, str], Counter] = {}


def count_lane_command(method: str, outcome: str) -> None:
    """Count a command's outcome; both names come from fixed sets, so the cache is bounded."""
    counter = _lane_commands.get((method, outcome))
    if counter is None:
        counter = _lane_commands[method, outcome] = LANE_COMMANDS.labels(method, outcome)
    counter.inc()


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
