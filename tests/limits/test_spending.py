"""What a request took when nobody says, and what it cost at the price of each target that was asked."""

from __future__ import annotations

import asyncio

import pytest

from xrouter_asgi.context import Attempt, CostEstimate, RequestContext, Usage
from xrouter_asgi.errors import UpstreamRateLimited, UpstreamTimeout, UpstreamUnavailable
from xrouter_asgi.limits.estimates import Work
from xrouter_asgi.limits.prices import MOST, Price, Prices
from xrouter_asgi.limits.units import UNITS

RESERVED = 1124
LEFT = asyncio.CancelledError()
LATE = UpstreamTimeout("", code="first_byte_timeout")
UNREACHED = UpstreamTimeout("", code="connect_timeout")
CUT = UpstreamUnavailable("", code="truncated")
DOWN = UpstreamUnavailable("")


PRICES = Prices(
    {"provider/model": Price(1, 2), "cheap/model": Price("0.5", "0.5", cached=0), "dear/model": Price(10, 20)},
    models={"model": ["provider/model", "cheap/model", "dear/model", "free/model"]},
)


def attempt(
    error: BaseException | None = None,
    first: float | None = None,
    *,
    provider: str = "provider",
    usage: Usage | None = None,
) -> Attempt:
    return Attempt(provider, "model", first=first, error=error, usage=usage)


def tokens(context: RequestContext) -> int:
    return UNITS["tokens"].after(Work(context, "key", CostEstimate("model", 100), 1024), RESERVED)


def cost(context: RequestContext, *, served: Attempt | None = None) -> tuple[int, bool]:
    """In millionths of a unit, and whether it is known exactly."""
    context.decision.served = served
    work = Work(context, "key", CostEstimate("model", 100), 1024, PRICES)
    spent = work.spent().with_reserved(RESERVED * 1000)
    assert UNITS["money"].after(work, RESERVED * 1000) == spent.amount
    return spent.amount // 1000, not spent.estimated


@pytest.mark.parametrize(
    ("context", "spent"),
    [
        # The upstream counted.
        (RequestContext(usage=Usage(0, 0), provider="p"), 0),
        (RequestContext(usage=Usage(3, 2), streamed=True, characters=900), 5),
        # Nobody accepted it.
        (RequestContext(attempts=[attempt(DOWN), attempt(UpstreamRateLimited("")), attempt(UNREACHED)]), 0),
        # The client left, or nobody waited any longer: what was reserved.
        (RequestContext(attempts=[attempt(DOWN), attempt(LEFT)]), RESERVED),
        (RequestContext(attempts=[attempt(LATE)]), RESERVED),
        (RequestContext(attempts=[attempt(LATE), attempt(LATE)]), RESERVED + 100),
        (RequestContext(attempts=[attempt(LEFT, 1.0)], provider="p", streamed=True), RESERVED),
        # No count of a whole answer: what was reserved.
        (RequestContext(attempts=[attempt(DOWN), attempt(None, 1.0)], provider="p"), RESERVED),
        # A stream that ended early: the input and what came.
        (RequestContext(attempts=[attempt(LEFT, 1.0)], provider="p", streamed=True, characters=7), 104),
        (RequestContext(attempts=[attempt(LATE), attempt(LEFT, 1.0)], streamed=True, characters=7), 204),
        # An upstream that broke off: the input.
        (RequestContext(attempts=[attempt(CUT)]), 100),
        (RequestContext(attempts=[attempt(CUT), attempt(CUT), attempt(DOWN)]), 200),
        # Without a Target.
        (RequestContext(error=DOWN), 0),
        (RequestContext(error=DOWN, streamed=True, provider="p", characters=1), 101),
        (RequestContext(provider="p"), RESERVED),
        (RequestContext(), RESERVED),
    ],
)
def test_what_a_request_took(context: RequestContext, spent: int) -> None:
    assert tokens(context) == spent


def test_losers_cost_their_input_as_the_winner_s_upstream_counted_it() -> None:
    context = RequestContext(usage=Usage(30, 5))
    context.attempts += [attempt(LEFT), attempt(CUT), attempt(DOWN), attempt(None, 1.0)]
    context.decision.served = context.attempts[-1]
    assert tokens(context) == 35 + 2 * 30


# What it cost: a token of `provider` costs a millionth of a unit, of `dear` ten.


def test_an_answer_costs_what_its_own_target_costs() -> None:
    answer = attempt(None, 1.0, usage=Usage(30, 5))
    assert cost(RequestContext(usage=Usage(30, 5), attempts=[answer]), served=answer) == (40, True)
    answer = attempt(None, 1.0, provider="cheap", usage=Usage(30, 6, 20))
    assert cost(RequestContext(usage=Usage(30, 6, 20), attempts=[answer]), served=answer) == (8, True)


def test_what_a_loser_was_counted_costs_its_own_price() -> None:
    loser = attempt(LEFT, 1.0, provider="dear", usage=Usage(40, 3))
    answer = attempt(None, 1.0, usage=Usage(30, 5))
    assert cost(RequestContext(usage=Usage(30, 5), attempts=[loser, answer]), served=answer) == (40 + 460, True)


def test_a_loser_that_nobody_counted_costs_its_input_at_its_own_price() -> None:
    answer = attempt(None, 1.0, usage=Usage(30, 5))
    losers = [attempt(LEFT, provider="dear"), attempt(CUT, provider="cheap"), attempt(DOWN, provider="dear")]
    context = RequestContext(usage=Usage(30, 5), attempts=[*losers, answer])
    assert cost(context, served=answer) == (40 + 300 + 15, False)


def test_a_stream_that_ended_early_costs_its_input_and_what_came() -> None:
    broken = attempt(LEFT, 1.0, provider="dear")
    assert cost(RequestContext(streamed=True, characters=7, attempts=[broken]), served=broken) == (1080, False)


def test_what_nobody_knows_costs_what_was_reserved() -> None:
    assert cost(RequestContext(attempts=[attempt(LATE)])) == (RESERVED, False)
    assert cost(RequestContext(attempts=[attempt(LATE), attempt(LATE, provider="dear")])) == (RESERVED + 1000, False)


def test_what_no_upstream_accepted_costs_nothing() -> None:
    assert cost(RequestContext(attempts=[attempt(DOWN), attempt(UNREACHED)])) == (0, True)


def test_an_attempt_with_the_caller_s_own_credential_costs_nothing() -> None:
    answer = attempt(None, 1.0, usage=Usage(30, 5))
    context = RequestContext(usage=Usage(30, 5), attempts=[answer], own_keys=frozenset({"provider"}))
    assert cost(context, served=answer) == (0, True)


def test_a_target_without_a_price_costs_as_much_as_the_dearest_of_its_model() -> None:
    answer = attempt(None, 1.0, provider="free", usage=Usage(30, 5))
    assert cost(RequestContext(usage=Usage(30, 5), attempts=[answer]), served=answer) == (400, True)
    assert cost(RequestContext(usage=Usage(30, 5))) == (400, True)  # a provider without a Target


def test_a_wrong_count_owes_no_more_than_can_be_counted() -> None:
    answer = attempt(None, 1.0, usage=Usage(2**30, 2**30))
    prices = Prices({"provider/model": Price(10**6, 10**6)})
    work = Work(RequestContext(usage=answer.usage, attempts=[answer]), "key", CostEstimate("model", 1), 1, prices)
    assert work.spent().with_reserved(0).amount == MOST
