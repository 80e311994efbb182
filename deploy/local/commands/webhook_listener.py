"""A receiver of webhooks for developers: verifies what comes, and misbehaves if asked to."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

BODY_BYTES_MAX: Final = 1 << 20
REQUEST_SECONDS_MAX: Final = 10.0
FAILED: Final = 500
REFUSED: Final = 401

NOT_CHECKED: Final = "not checked"
VERIFIED: Final = "verified"


@dataclass(frozen=True)
class Heard:
    """A delivery as it came, and what was answered."""

    event_id: str
    signature: str
    """VERIFIED, NOT_CHECKED, or why it is neither."""
    status: int
    document: Any

    @property
    def is_verified(self) -> bool:
        return self.signature == VERIFIED

    def as_dict(self) -> dict[str, Any]:
        """What a machine is told."""
        return {
            "eventId": self.event_id,
            "signature": self.signature,
            "answered": self.status,
            "event": self.document,
        }


@dataclass
class Manners:
    """How requests are answered."""

    secrets: Sequence[str]
    status: int = 200
    fail: int = 0
    """So many requests are answered with 500 first."""

    def judge(self, headers: dict[str, str], body: bytes) -> Heard:
        """Say what a request is, and what to answer."""
        signature = self._signature(headers, body)
        try:
            document = json.loads(body)
        except ValueError:
            document, signature = None, "the body is no JSON"
        status = self.status if signature in (VERIFIED, NOT_CHECKED) else REFUSED
        if self.fail > 0:
            self.fail -= 1
            status = FAILED
        return Heard(headers.get("webhook-id", ""), signature, status, document)

    def _signature(self, headers: dict[str, str], body: bytes) -> str:
        # Only this command needs it.
        from standardwebhooks import Webhook, WebhookVerificationError

        problem = NOT_CHECKED
        for secret in self.secrets:
            try:
                Webhook(secret).verify(body, headers)
            except WebhookVerificationError as error:
                problem = str(error)
            except ValueError:
                problem = "the body is no JSON"
            else:
                return VERIFIED
        return problem


def listening(port: int, manners: Manners, tell: Callable[[Heard], None]) -> ThreadingHTTPServer:
    """Return a server on this machine alone; `tell` is called for each request, one at a time."""

    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_SECONDS_MAX
        server_version = "tender"
        sys_version = ""
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", "0") or "0")
            if not 0 <= length <= BODY_BYTES_MAX:
                self._answer(413)
                self.close_connection = True
                return
            body = self.rfile.read(length)
            heard = manners.judge({name.lower(): it for name, it in self.headers.items()}, body)
            self._answer(heard.status)
            # Told afterwards, so that whoever reads it may stop us at once.
            tell(heard)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent: what came is told already."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)
