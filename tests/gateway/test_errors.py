"""The catalogue of errors: complete, and the same in code and document."""

import re
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2

from gateway import errors, reasons
from tender.v1 import lane_pb2

ROOT = Path(__file__).parent.parent.parent
RETRYABLE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED}


def test_the_document_is_the_table() -> None:
    assert (ROOT / "docs/errors.md").read_text() == reasons.catalogue()


@pytest.mark.parametrize("name", list(reasons.REASONS))
def test_every_reason_becomes_a_status_with_one_error_info(name: str) -> None:
    status = errors.Refused(name).status()

    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == (name, "tender")
    assert status.message == reasons.REASONS[name].sentence
    assert status.code == reasons.REASONS[name].code.value[0]


@pytest.mark.parametrize(("name", "reason"), reasons.REASONS.items())
def test_what_may_be_repeated_says_when_and_is_never_final(
    name: str, reason: reasons.Reason
) -> None:
    if reason.code in RETRYABLE:
        assert not reason.final
        assert reason.retry_delay_ms > 0
    if reason.undecided:
        assert reason.code in RETRYABLE or name in {
            "LANE_QUEUE_FULL",
            "TENANT_BUSY",
            "GATEWAY_BUSY",
            "RATE_LIMITED",
            "DEADLINE_PASSED",
        }


def test_every_reason_the_contract_mentions_is_in_the_catalogue() -> None:
    mentioned: set[str] = set()
    for proto in (ROOT / "proto/tender/v1").glob("*.proto"):
        for comment in re.findall(r"Errors:((?:.*\n\s*//)*.*)", proto.read_text()):
            mentioned |= set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", comment))
    codes = {code.name for code in grpc.StatusCode}

    unknown = {name for name in mentioned - codes if not name.startswith("STATE_")}

    assert unknown <= set(reasons.REASONS)


def test_text_of_the_processor_is_cut_and_masked() -> None:
    refused = errors.from_refusal(
        lane_pb2.Refusal(
            reason="PAYMENT_STATE",
            message="card 4111 1111 1111 1111 " + "x" * 1_000,
            metadata={"pan": "4111111111111111"},
            retry_delay_ms=-5,
        )
    )

    assert "4111" not in refused.message + str(refused.metadata)
    assert len(refused.message) <= 300
    assert refused.retry_delay_ms == 0


def test_an_unknown_reason_is_not_passed_on() -> None:
    with pytest.raises(errors.UnknownReason):
        errors.from_refusal(lane_pb2.Refusal(reason="SOMETHING_ELSE"))
