"""The figures of a run, and which of them fail it."""

import json
from collections import Counter

import pytest

import tender
from loadtest import catalogue, place, replies, running, tally, verdict
from loadtest.catalogue import Limits
from loadtest.tally import DUPLICATE, Tally
from tender.v1 import payment_pb2

LIMITS = Limits(p99_ms=100, error_share=0.01, declined_share=0.01, rate_min=50)
GOOD = 100


def run(**changes: object) -> Tally:
    """Return a run within LIMITS: four full seconds of a hundred payments, each in 10 ms."""
    content: dict[str, object] = {
        "calls": 400,
        "payments": 400,
        "latency": Counter({GOOD: 400}),
        "scheduled": Counter({GOOD: 400}),
        "by_second": Counter(dict.fromkeys(range(1_000, 1_006), 100)),
    }
    return Tally(**(content | changes))  # type: ignore[arg-type]


def judged(counted: Tally, workers_lost: int = 0) -> list[str]:
    return verdict.summarize("any", counted, LIMITS, 0.0, workers_lost).breaches


def test_a_run_within_its_limits_passes() -> None:
    assert judged(run()) == []


@pytest.mark.parametrize(
    ("changes", "breach"),
    [
        ({"scheduled": Counter({GOOD: 380, 1_010: 20})}, "p99 101.0 ms"),
        ({"errors": Counter({"UNAVAILABLE": 5})}, "errors 1.23%"),
        ({"errors": Counter({DUPLICATE: 1})}, "1 duplicate"),
        ({"declined": 5}, "declined 1.23%"),
        ({"by_second": Counter(dict.fromkeys(range(1_000, 1_006), 49))}, "49 payments/s"),
        ({"by_second": Counter({1_000: 100, 1_005: 100})}, "0 payments/s"),
        ({"latency": Counter()}, "nothing was measured"),
        ({"by_second": Counter()}, "nothing was measured"),
    ],
)
def test_each_limit_fails_a_run(changes: dict[str, object], breach: str) -> None:
    assert any(breach in each for each in judged(run(**changes)))


def test_few_errors_are_within_the_limit_but_no_duplicate_ever_is() -> None:
    assert judged(run(errors=Counter({"UNAVAILABLE": 1}))) == []
    assert judged(run(errors=Counter({DUPLICATE: 1}))) != []


def test_a_lost_worker_fails_a_run() -> None:
    assert judged(run(), workers_lost=1) == ["1 worker processes were lost"]


def test_the_rate_is_that_of_full_seconds_after_the_warm_up_and_counts_stalls() -> None:
    seconds = Counter({1_000: 7, 1_001: 100, 1_002: 100, 1_004: 100, 1_005: 3})

    summary = verdict.summarize("any", run(by_second=seconds), LIMITS, warm_up_seconds=1.0)

    # 1000 and 1005 are parts of seconds, 1001 is the warm-up, and in 1003 nothing was answered.
    assert summary.payments_per_second == pytest.approx(200 / 3)
    assert (summary.lowest_second, summary.highest_second) == (0, 100)


def test_percentiles_are_upper_bounds_within_a_percent() -> None:
    latencies = Counter(map(tally.bucket, (number / 1_000 for number in range(1, 1_001))))

    for share in (0.5, 0.99, 0.999):
        assert tally.percentile_ms(latencies, share) == pytest.approx(share * 1_000, rel=0.01)
    assert tally.percentile_ms(latencies, 1.0) >= 1_000
    assert tally.percentile_ms({}, 0.99) == 0


def test_a_latency_is_never_rounded_down() -> None:
    for seconds in (0.0, 0.000_05, 0.0991, 0.099_99, 0.1, 0.100_4, 0.104, 1.0):
        assert tally.bucket(seconds) / 10 >= seconds * 1_000


def test_counts_of_workers_survive_the_way_to_the_master() -> None:
    sent = run(errors=Counter({"UNAVAILABLE": 2}), declined=1, repeats=3, cpu_seconds=0.5)

    received = tally.from_message(json.loads(json.dumps(tally.to_message(sent))))

    assert received == sent
    received.add(sent)
    assert (received.payments, received.errors["UNAVAILABLE"]) == (800, 4)


def _answer(payment_id: str, state: int = tender.Payment.STATE_CAPTURED) -> bytes:
    payment = tender.Payment(id=payment_id, state=state)  # type: ignore[arg-type]
    return payment_pb2.AuthorizePaymentResponse(payment=payment).SerializeToString()


def test_two_payments_for_one_request_id_are_a_duplicate() -> None:
    first = _answer("pay_1")

    assert replies.compare(first, _answer("pay_1")) is None
    assert replies.compare(first, _answer("pay_2")) == DUPLICATE
    voided = _answer("pay_1", tender.Payment.STATE_VOIDED)
    assert replies.compare(first, voided) == replies.REPLAY_DIFFERS


def test_what_verify_found_fails_a_load_and_so_does_its_silence() -> None:
    broken = {"checks": [{"name": "balances", "breaches": ["acc_1 is off"]}]}

    assert place.breaches(1, json.dumps(broken), "") == ["verify: balances: acc_1 is off"]
    assert place.breaches(0, json.dumps({"checks": []}), "") == []
    assert place.breaches(1, json.dumps({"checks": []}), "killed") != []
    assert place.breaches(2, "", "no database") == ["verify ended with 2: no database"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 2_000),
        ({"rate": 1_050}, 1_000),
        ({"users": 350}, 1_000),
        ({"rate": 9_000}, 2_000),
        ({"rate": 0}, 2_000),
        ({"rate": 1_050, "rate_min": 7}, 7),
    ],
)
def test_a_smaller_load_must_reach_its_share_of_the_rate(
    changes: dict[str, float], expected: float
) -> None:
    run = running.Run(duration_seconds=10, processes=2, **changes)  # type: ignore[arg-type]

    assert running.rate_min(catalogue.POS_RUSH, run) == pytest.approx(expected)
