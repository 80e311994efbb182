"""Makes secrets, and the headers of a delivery as Standard Webhooks says."""

import base64
import datetime
import secrets
from collections.abc import Sequence
from typing import Final

from standardwebhooks import Webhook

SECRET_PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
SECRETS_MAX: Final = 3
"""Signatures in one header; a receiver tries each."""

USER_AGENT: Final = "Tender-Webhooks/1"


def new_secret() -> str:
    """Return a random secret."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def headers(
    event_id: str, body: str, signing_secrets: Sequence[str], now: datetime.datetime
) -> dict[str, str]:
    """Return the headers of an attempt at `now`, with a signature by each secret, newest first."""
    assert signing_secrets, "an endpoint has a secret that does not end"
    signatures = [Webhook(secret).sign(event_id, now, body) for secret in signing_secrets]
    return {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
