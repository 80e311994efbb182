"""Turns a skip or an expected failure into a failure: a test that does not run proves nothing."""

from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Stand outside pytest's own wrapper, which is the one that sets `wasxfail`."""
    report = yield
    _fail_what_did_not_run(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Catch whole modules that skip themselves while they are imported."""
    report = yield
    _fail_what_did_not_run(report)
    return report


def _fail_what_did_not_run(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped or hasattr(report, "wasxfail"):
        reason = getattr(report, "wasxfail", None) or report.longrepr
        report.__dict__.pop("wasxfail", None)
        report.outcome = "failed"
        report.longrepr = f"Skips and expected failures are not allowed here: {reason}"
