"""How clients are made: targets, transport security and the environment."""

import grpc
import pytest

import tender
from tender import endpoints, retries
from tender.errors import Failure

LOOPBACK = [
    "127.0.0.1:50051",
    "localhost:1",
    "[::1]:1",
    "dns:///localhost:1",
    "unix:/run/x",
    "ipv4:127.0.0.1:1,127.0.0.2:1",
]
REMOTE = [
    "pay.example.com:443",
    "10.0.0.1:50051",
    "dns:///pay.example.com:443",
    "ipv4:127.0.0.1:1,10.0.0.1:1",
    "localhost.example.com:1",
]


@pytest.mark.parametrize("target", LOOPBACK)
def test_plaintext_is_the_default_on_this_machine(target: str) -> None:
    assert endpoints.endpoint(target, tls=None, insecure=False).credentials is None


@pytest.mark.parametrize("target", REMOTE)
def test_tls_is_the_default_elsewhere(target: str) -> None:
    assert endpoints.endpoint(target, tls=None, insecure=False).credentials is not None


def test_plaintext_elsewhere_needs_an_explicit_word() -> None:
    assert endpoints.endpoint(REMOTE[0], tls=None, insecure=True).credentials is None
    with pytest.raises(ValueError, match="insecure=True"):
        tender.Client(REMOTE[0], "key", tls=False)


def test_tls_and_insecure_together_are_refused() -> None:
    with pytest.raises(ValueError, match="either"):
        tender.SyncClient(LOOPBACK[0], "key", tls=True, insecure=True)


def test_own_credentials_are_used_on_this_machine_too() -> None:
    own = tender.tls_credentials()

    assert endpoints.endpoint(LOOPBACK[0], tls=own, insecure=False).credentials is own


async def test_the_environment_names_target_and_key(
    monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.setenv("TENDER_TARGET", f"{target}\n")
    monkeypatch.setenv("TENDER_API_KEY", "key_1.secret\n")

    async with tender.Client.from_env() as client:
        answer = await client.get_payment(payment_id="pay_9")

    assert answer.payment.id == "pay_9"


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENDER_TARGET", "localhost:1")
    monkeypatch.delenv("TENDER_API_KEY", raising=False)

    with pytest.raises(LookupError, match="TENDER_API_KEY"):
        tender.SyncClient.from_env()


@pytest.mark.parametrize("channels", [0, 65])
def test_channels_are_bounded(channels: int) -> None:
    with pytest.raises(ValueError, match="channels"):
        tender.Client("localhost:1", "key", channels=channels)


def test_delays_grow_with_jitter_up_to_their_bound() -> None:
    policy = retries.RetryPolicy(attempts_max=10, delay_first=0.05, delay_max=2.0)
    down = Failure(grpc.StatusCode.UNAVAILABLE, "", "UNAVAILABLE")
    least, most = (retries.Budget(policy, 1_000, now=0, request_id="r") for _ in range(2))

    delays = [(least.delay_after(down, 0, 0), most.delay_after(down, 0, 1)) for _ in range(9)]

    assert delays[0] == (0.025, 0.05)
    assert delays[-1] == (1.0, 2.0)
    assert delays == sorted(delays)
