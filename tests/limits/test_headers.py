from __future__ import annotations

import pytest

from xrouter_asgi.limits.base import LimitStatus
from xrouter_asgi.limits.headers import duration, ietf_headers, openai_headers, tightest_of
from xrouter_asgi.limits.limit import Limit


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.012, "12ms"),
        (0.0001, "1ms"),
        (0.9999, "1s"),
        (1, "1s"),
        (7.66, "7.66s"),
        (59.9996, "1m0s"),
        (360, "6m0s"),
        (61.5, "1m1.5s"),
        (3600, "1h0m0s"),
        (86_399.001, "23h59m59.001s"),
        (90_061, "25h1m1s"),
    ],
)
def test_durations_are_written_as_go_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds).decode() == text


def test_the_tightest_limit_of_each_unit_is_told() -> None:
    statuses = [
        LimitStatus(Limit.parse("60/minute"), 30, 61.0),
        LimitStatus(Limit.parse("1000/day"), 20, 5000.0),
        LimitStatus(Limit.parse("900 tokens/minute"), 0, 10.0),
        LimitStatus(Limit.parse("9000 tokens/day"), 0, 500.0),
        LimitStatus(Limit.parse("2 parallel"), 0, 0.0),
    ]
    assert openai_headers(tightest_of(statuses)) == {
        b"x-ratelimit-limit-requests": b"1000",
        b"x-ratelimit-remaining-requests": b"20",
        b"x-ratelimit-reset-requests": b"1h23m20s",
        b"x-ratelimit-limit-tokens": b"9000",
        b"x-ratelimit-remaining-tokens": b"0",
        b"x-ratelimit-reset-tokens": b"8m20s",
    }


def test_tokens_have_no_unit_in_the_draft() -> None:
    assert ietf_headers([LimitStatus(Limit.parse("900 tokens/minute per owner"), 7, 10.2)]) == {
        b"ratelimit-policy": b'"900 tokens per 1 minute per owner";q=900;w=60',
        b"ratelimit": b'"900 tokens per 1 minute per owner";r=7;t=11',
    }


def test_without_limits_there_is_nothing_to_tell() -> None:
    assert openai_headers(tightest_of([])) == ietf_headers([]) == {}
