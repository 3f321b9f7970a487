from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrouter_asgi.errors import UpstreamRateLimited, UpstreamUnavailable, XRouterError
from xrouter_asgi.policies.backoff import Backoff


class Widest(random.Random):
    """Draws the upper end."""

    def uniform(self, a: float, b: float) -> float:
        return b


def overloaded() -> UpstreamUnavailable:
    return UpstreamUnavailable("Overloaded.", code="upstream_overloaded")


def down(**more: Any) -> UpstreamUnavailable:
    return UpstreamUnavailable("Down.", **more)


@given(seed=st.integers(), number=st.integers(1, 8))
def test_a_wait_is_anywhere_between_nothing_and_the_widest(seed: int, number: int) -> None:
    wait = Backoff().wait(down(), number, random.Random(seed))
    assert wait is not None
    assert 0 <= wait <= min(8.0, 0.5 * 2 ** (number - 1))


def test_the_widest_wait_doubles_up_to_its_cap() -> None:
    backoff = Backoff(base=1.0, cap=5.0)
    assert [backoff.wait(down(), number, Widest()) for number in range(1, 6)] == [1.0, 2.0, 4.0, 5.0, 5.0]


@given(seed=st.integers(), told=st.floats(0.0, 5.0))
def test_a_told_wait_is_kept_and_a_jitter_comes_on_top(seed: int, told: float) -> None:
    wait = Backoff().wait(down(retry_after=told), 3, random.Random(seed))
    assert wait is not None
    assert told <= wait <= told + 0.5


@pytest.mark.parametrize("number", [1, 2, 5])
def test_an_overloaded_upstream_is_given_up_to_the_cap_each_time(number: int) -> None:
    assert Backoff(cap=6.0).wait(overloaded(), number, Widest()) == 6.0


@pytest.mark.parametrize(
    ("error", "bearable"),
    [
        (down(), True),
        (overloaded(), True),
        (down(retry_after=2.0), True),
        (down(retry_after=2.1), False),
        (UpstreamRateLimited("Slow.", retry_after=2.0), True),
        (UpstreamRateLimited("Slow.", retry_after=2.1), False),
        (UpstreamRateLimited("Slow."), False),
    ],
    ids=lambda value: f"{type(value).__name__} {value.retry_after}" if isinstance(value, XRouterError) else None,
)
def test_it_waits_as_long_as_is_bearable_and_never_guesses_how_long_a_limit_lasts(
    error: XRouterError, bearable: bool
) -> None:
    backoff = Backoff(longest=2.0)
    assert backoff.is_bearable(error) is bearable
    assert (backoff.wait(error, 1, Widest()) is not None) is bearable


@pytest.mark.parametrize("option", ["base", "cap", "longest"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_options_that_make_no_sense_are_refused(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"'{option}' is"):
        Backoff(**{option: value})
