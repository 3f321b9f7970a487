"""How refusals are counted and logged."""

from __future__ import annotations

import pytest

from xrouter_asgi.admission import Refusals


def test_refusals_are_counted_by_their_reason() -> None:
    refusals = Refusals()
    for _ in range(3):
        error = refusals.refuse("memory", retry_after=1.5)
    assert (error.status, error.code) == (503, "overloaded")
    assert error.message.endswith("Please try again in 2s.")
    assert (b"retry-after", b"2") in error.headers()
    assert refusals.counts["memory"] == 3
    assert refusals.counts["bodies"] == 0


def test_a_burst_has_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    times = iter((0.0, 1.0, 50.0, 100.0, 161.0))
    refusals = Refusals(lambda: next(times))
    for _ in range(5):
        refusals.refuse("loop_lag", retry_after=1)
    assert caplog.messages == ["Requests are refused: the event loop is late."] * 2
