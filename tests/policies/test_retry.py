from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.policies.upstream import HANG, ReadyUpstream, Upstream, call, events_of, text_of
from xrouter_asgi.context import Attempt
from xrouter_asgi.errors import (
    CircuitOpen,
    ConcurrencyExceeded,
    RequestRejected,
    UpstreamError,
    UpstreamQuotaExceeded,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnauthorized,
    UpstreamUnavailable,
    XRouterError,
)
from xrouter_asgi.events import AttemptRetried
from xrouter_asgi.policies.backoff import Backoff
from xrouter_asgi.policies.retry import Retry
from xrouter_asgi.policies.retry_budget import RetryBudget
from xrouter_asgi.providers.base import Call, Unready
from xrouter_asgi.testing.clock import Clock
from xrouter_asgi.testing.virtual import now, virtual


class Widest(random.Random):
    """Draws the upper end."""

    def uniform(self, a: float, b: float) -> float:
        return b


def down(**more: Any) -> UpstreamUnavailable:
    return UpstreamUnavailable("Down.", code=more.pop("code", "connect_refused"), **more)


def busy(wait: float = 2.0) -> UpstreamRateLimited:
    return UpstreamRateLimited("Slow.", retry_after=wait)


def always(*errors: BaseException) -> Upstream:
    return Upstream(*([error] for error in errors))


def retry(upstream: Upstream, **options: Any) -> Retry:
    return Retry(upstream, **{"random": Widest(), **options})


def coming_back(error: XRouterError | None = None, one: Call | None = None) -> Call:
    """A call that `Fallback` comes back with, after the upstream failed with that error."""
    return (one or call()).among_others(elsewhere=False, repeats=error or busy())


# What is repeated


@virtual
async def test_the_second_answer_is_as_good_as_the_first() -> None:
    upstream = Upstream([down()], ["hi"])
    reply = await retry(upstream).send(call(stream=True))
    assert await text_of(reply) == "hi"
    assert len(upstream.asked) == 2


@virtual
async def test_attempts_at_other_upstreams_count() -> None:
    upstream = always(down(), down())
    one = call()
    one.context.attempts += [Attempt("other", "m"), Attempt("other", "m")]
    with pytest.raises(UpstreamUnavailable):
        await retry(upstream).send(one)
    assert len(upstream.asked) == 1


@virtual
async def test_after_the_last_attempt_its_error_is_told_and_that_enough_was_tried() -> None:
    with pytest.raises(UpstreamUnavailable, match="three") as caught:
        await retry(always(*(UpstreamUnavailable(word) for word in ("one", "two", "three")))).send(call())
    assert caught.value.should_retry is False


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (down(), 3),
        (down(code="connection_lost"), 3),
        (down(code="upstream_error"), 3),
        (down(code="empty_answer"), 2),
        (down(code="empty_stream"), 2),
        (down(code="upstream_unavailable", retry_after=5.0), 3),
        (UpstreamTimeout("Late.", code="connect_timeout", retryable=True), 3),
        (UpstreamRateLimited("Slow.", retry_after=1.0), 3),
        (CircuitOpen("Cooling.", retry_after=1.0, retryable=True), 3),
        (down(code="dns_error"), 2),
        (down(code="truncated"), 2),
        (down(code="stream_broken"), 2),
        (down(code="upstream_overloaded"), 2),
        (down(code="upstream_unavailable", retry_after=5.1), 1),
        (down(should_retry=False), 1),
        (UpstreamRateLimited("Slow."), 1),
        (UpstreamRateLimited("Slow.", retry_after=60.0), 1),
        (UpstreamTimeout("Late.", code="first_byte_timeout"), 1),
        (UpstreamError("Odd.", code="bad_body"), 1),
        (UpstreamUnauthorized("Who?"), 1),
        (UpstreamQuotaExceeded("Broke."), 1),
        (CircuitOpen("Open.", retry_after=1.0), 1),
        (ConcurrencyExceeded("Full.", retry_after=1.0), 1),
        (RequestRejected("No."), 1),
        (RuntimeError("a defect"), 1),
    ],
    ids=lambda value: getattr(value, "code", None) or type(value).__name__,
)
def test_each_error_is_repeated_as_often_as_makes_sense(error: Exception, attempts: int) -> None:
    @virtual
    async def scenario() -> None:
        upstream = always(error)
        with pytest.raises(type(error)):
            await retry(upstream).send(call())
        assert len(upstream.asked) == attempts

    scenario()


@pytest.mark.parametrize(
    ("codes", "attempts"),
    [
        (("upstream_error", "truncated"), 3),
        (("truncated", "upstream_error", "truncated"), 3),
        (("truncated", "dns_error", "stream_broken"), 4),
        (("truncated", "dns_error", "truncated"), 3),
        (("upstream_overloaded", "upstream_overloaded"), 2),
    ],
    ids=str,
)
def test_each_kind_of_accident_is_repeated_once(codes: Sequence[str], attempts: int) -> None:
    @virtual
    async def scenario() -> None:
        upstream = Upstream(*[[down(code=code)] for code in codes], ["hi"])
        with contextlib.suppress(UpstreamUnavailable):
            await retry(upstream, attempts=4).send(call())
        assert len(upstream.asked) == attempts

    scenario()


@virtual
async def test_what_may_have_been_billed_is_repeated_on_demand_only() -> None:
    upstream = Upstream([UpstreamTimeout("Late.", code="first_byte_timeout")], ["hi"])
    await retry(upstream, retry_billed=True).send(call())
    assert len(upstream.asked) == 2


@virtual
async def test_an_error_that_nothing_was_tried_against_leaves_the_client_its_own_judgement() -> None:
    for error in (UpstreamRateLimited("Slow.", retry_after=60.0), RequestRejected("No.")):
        with pytest.raises(XRouterError) as caught:
            await retry(always(error)).send(call())
        assert caught.value.should_retry is None


@virtual
async def test_nothing_is_repeated_once_a_stream_has_begun() -> None:
    upstream = Upstream(["a", down()])
    reply = await retry(upstream).send(call(stream=True))
    with pytest.raises(UpstreamUnavailable):
        await text_of(reply)
    assert len(upstream.asked) == 1


@virtual
async def test_one_attempt_is_no_retry() -> None:
    upstream = always(down())
    with pytest.raises(UpstreamUnavailable):
        await retry(upstream, attempts=1).send(call())
    assert len(upstream.asked) == 1


# Where another upstream can be asked


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (busy(1.0), 1),
        (CircuitOpen("Cooling.", retry_after=1.0, retryable=True), 1),
        (down(code="upstream_unavailable", retry_after=1.0), 1),
        (down(code="upstream_overloaded"), 1),
        (down(), 3),
        (down(code="upstream_unavailable"), 3),
    ],
    ids=lambda value: getattr(value, "code", None) or type(value).__name__,
)
def test_a_told_wait_is_not_waited_while_others_can_be_asked(error: XRouterError, attempts: int) -> None:
    @virtual
    async def scenario() -> None:
        upstream = always(error)
        with pytest.raises(type(error)) as caught:
            await retry(upstream).send(call().among_others(elsewhere=True))
        assert len(upstream.asked) == attempts
        assert caught.value.should_retry is (None if attempts == 1 else False)

    scenario()


@pytest.mark.parametrize(("options", "made"), [({"budget": RetryBudget(ratio=0, per_second=0)}, 0), ({}, 2)])
def test_who_cannot_come_back_for_a_told_wait_learns_that_enough_was_tried(options: dict[str, Any], made: int) -> None:
    @virtual
    async def scenario() -> None:
        one = call().among_others(elsewhere=True)
        one.context.attempts += [Attempt("up", "m")] * made
        with pytest.raises(UpstreamRateLimited) as caught:
            await retry(always(busy(1.0)), **options).send(one)
        assert caught.value.should_retry is False

    scenario()


# When Fallback comes back


@virtual
async def test_coming_back_is_asking_at_once() -> None:
    upstream = Upstream(["hi"])
    await retry(upstream).send(coming_back())
    assert upstream.times == [0.0]


@virtual
async def test_who_was_waited_for_may_tell_another_wait() -> None:
    upstream = Upstream([busy(1.0)], ["hi"])
    await retry(upstream).send(coming_back())
    assert upstream.times == [0.0, 1.5]


@virtual
async def test_an_overloaded_upstream_that_was_waited_for_is_not_waited_for_again() -> None:
    upstream = always(down(code="upstream_overloaded"))
    with pytest.raises(UpstreamUnavailable):
        await retry(upstream).send(coming_back(down(code="upstream_overloaded")))
    assert len(upstream.asked) == 1


@virtual
async def test_coming_back_takes_a_retry_out_of_the_budget_and_is_no_request() -> None:
    upstream = Upstream()
    policy = retry(upstream, budget=RetryBudget(ratio=1.0, per_second=1))
    await policy.send(coming_back())
    assert policy.ready(coming_back()) == Unready("retry_budget", None, "no retry is left")
    with pytest.raises(UpstreamRateLimited) as caught:
        await policy.send(coming_back())
    assert (len(upstream.asked), caught.value.should_retry) == (1, False)
    await policy.send(call())  # the only one that earns a retry
    await policy.send(coming_back())
    assert policy.ready(coming_back()) is not None
    assert len(upstream.asked) == 3


@virtual
async def test_asking_whether_it_is_ready_takes_nothing_out_of_the_budget() -> None:
    policy = retry(Upstream(), budget=RetryBudget(ratio=0, per_second=1))
    for _ in range(5):
        assert policy.ready(coming_back()) is None
    await policy.send(coming_back())


@virtual
async def test_an_empty_budget_stands_in_the_way_of_nobody_who_asks_for_the_first_time() -> None:
    policy = retry(Upstream(), budget=RetryBudget(ratio=0, per_second=0))
    assert policy.ready(call()) is None
    await policy.send(call())


@virtual
async def test_it_is_as_ready_as_its_upstream_unless_the_budget_is_empty() -> None:
    upstream = ReadyUpstream()
    upstream.unready = Unready("circuit_open", 5.0, "circuit open for 5.0 s")
    policy = retry(upstream, budget=RetryBudget(ratio=0, per_second=1))
    assert policy.ready(call()) is policy.ready(coming_back()) is upstream.unready
    await policy.send(coming_back())
    assert policy.ready(call()) is upstream.unready
    assert str(policy.ready(coming_back())) == "no retry is left"


@pytest.mark.parametrize(("provider", "useful"), [("up", False), ("other", True)])
def test_who_has_been_asked_three_times_itself_is_asked_no_more(provider: str, useful: bool) -> None:
    @virtual
    async def scenario() -> None:
        upstream, one = Upstream(), call()
        one.context.attempts += [Attempt("up", "m"), Attempt("up", "m"), Attempt(provider, "m")]
        policy, again = retry(upstream), coming_back(busy(), one)
        assert (policy.ready(again) is None) is useful
        if useful:
            await policy.send(again)
        else:
            with pytest.raises(UpstreamRateLimited) as caught:
                await policy.send(again)
            assert caught.value.should_retry is False
        assert len(upstream.asked) == useful

    scenario()


# When


@virtual
async def test_the_widest_wait_doubles_up_to_its_cap() -> None:
    upstream = always(down())
    with pytest.raises(UpstreamUnavailable):
        await retry(upstream, attempts=6, backoff=Backoff(base=1.0, cap=5.0)).send(call())
    assert upstream.times == [0.0, 1.0, 3.0, 7.0, 12.0, 17.0]


@virtual
async def test_an_upstream_is_given_the_time_it_asks_for() -> None:
    upstream = Upstream([UpstreamRateLimited("Slow.", retry_after=2.0)], ["hi"])
    await retry(upstream).send(call())
    assert upstream.times == [0.0, 2.5]


@virtual
async def test_an_overloaded_upstream_is_given_a_long_time() -> None:
    upstream = Upstream([down(code="upstream_overloaded")], ["hi"])
    await retry(upstream).send(call())
    assert upstream.times == [0.0, 8.0]


@virtual
async def test_a_retry_that_would_come_after_the_deadline_is_not_waited_for() -> None:
    for deadline, attempts in ((1.5, 2), (1.6, 3)):
        upstream = always(down())
        began = now()
        with pytest.raises(UpstreamUnavailable) as caught:
            await retry(upstream).send(call(deadline=began + deadline))
        assert (len(upstream.asked), caught.value.should_retry) == (attempts, False)
        assert now() < began + deadline


@virtual
async def test_each_retry_is_told() -> None:
    errors = [down(), down()]
    one = call()
    told = events_of(one)
    await retry(Upstream([errors[0]], [errors[1]], ["hi"], name="one"), target="one/m").send(one)
    assert told == [
        AttemptRetried(one.context, "one", 1, 0.5, errors[0], "one/m"),
        AttemptRetried(one.context, "one", 2, 1.0, errors[1], "one/m"),
    ]


@virtual
async def test_who_leaves_while_waiting_asks_no_more() -> None:
    upstream = always(down())
    task = asyncio.create_task(retry(upstream).send(call()))
    await asyncio.sleep(0.25)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(60.0)
    assert len(upstream.asked) == 1


@virtual
async def test_who_leaves_while_asking_closes_the_upstream_and_asks_no_more() -> None:
    upstream = Upstream([HANG])
    task = asyncio.create_task(retry(upstream).send(call()))
    await asyncio.sleep(1.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (len(upstream.asked), upstream.open) == (1, 0)


# The budget


@virtual
async def test_without_budget_nothing_is_repeated() -> None:
    upstream = always(down())
    policy = retry(upstream, budget=RetryBudget(ratio=0, per_second=0))
    with pytest.raises(UpstreamUnavailable) as caught:
        await policy.send(call())
    assert (len(upstream.asked), caught.value.should_retry) == (1, False)


@given(seed=st.integers(0, 1000), lanes=st.sampled_from([1, 20, 200]), pause=st.sampled_from([0.0, 1.0, 10.0]))
@settings(deadline=None, max_examples=25)
def test_two_hundred_requests_at_a_dead_provider_make_at_most_270_attempts(seed: int, lanes: int, pause: float) -> None:
    """However they come: all at once, in lanes, or one after another over an hour."""

    @virtual
    async def scenario() -> None:
        dice = random.Random(seed)
        upstream = always(down())
        policy = retry(upstream, random=dice)

        async def lane() -> None:
            for _ in range(200 // lanes):
                await asyncio.sleep(dice.uniform(0, 2 * pause))
                with pytest.raises(UpstreamUnavailable):
                    await policy.send(call())

        await asyncio.gather(*(lane() for _ in range(lanes)))
        assert 200 < len(upstream.asked) <= 1.2 * 200 + 30

    scenario()


async def ask(policy: Retry, times: int) -> None:
    for _ in range(times):
        with pytest.raises(XRouterError):
            await policy.send(call())


@virtual
async def test_an_upstream_that_only_fails_gets_no_retries_until_it_has_answered() -> None:
    upstream = Upstream(*[[down()] for _ in range(30)], ["hi"], [down()], ["hi"])
    policy = retry(upstream)
    await ask(policy, 7)  # three attempts each, which makes 20 in the last one
    assert len(upstream.asked) == 20
    await ask(policy, 10)
    assert len(upstream.asked) == 30
    await policy.send(call())
    await policy.send(call())
    assert len(upstream.asked) == 33


@pytest.mark.parametrize(
    ("error", "retries"),
    [(RequestRejected("No."), 1), (UpstreamRateLimited("Slow."), 0), (ConcurrencyExceeded("Full."), 0)],
    ids=["finds fault", "has a limit", "was not asked"],
)
def test_an_upstream_is_alive_only_if_it_answers_or_finds_fault(error: XRouterError, retries: int) -> None:
    @virtual
    async def scenario() -> None:
        upstream = Upstream(*[[down()] for _ in range(20)], [error], [down()], ["hi"])
        policy = retry(upstream)
        await ask(policy, 8)
        with contextlib.suppress(XRouterError):
            await policy.send(call())
        assert len(upstream.asked) == 22 + retries

    scenario()


@virtual
async def test_what_shares_a_provider_shares_its_budget() -> None:
    budget = RetryBudget(ratio=0, per_second=1)
    upstream = always(down())
    for policy in (retry(upstream, budget=budget), retry(upstream, budget=budget)):
        with pytest.raises(UpstreamUnavailable):
            await policy.send(call())
    assert len(upstream.asked) == 3


def test_a_retry_counts_for_the_whole_window_although_time_passes_in_slots() -> None:
    clock = Clock(0.4)
    budget = RetryBudget(ratio=1.0, per_second=0, clock=clock)
    budget.request()
    clock.advance(0.5)
    assert budget.retry()
    clock.advance(9.6)  # the request is 10.1 s ago now, and its retry 9.6 s
    budget.request()
    assert not budget.retry()
    clock.advance(1.0)
    assert budget.retry()


def test_the_reserve_does_not_come_on_top_of_retries_that_nothing_earns_any_more() -> None:
    clock = Clock(0.0)
    budget = RetryBudget(ratio=0.2, per_second=2, clock=clock)
    for _ in range(100):
        budget.request()
    clock.advance(9.9)
    assert all(budget.retry() for _ in range(20))
    clock.advance(1.0)
    assert not budget.retry()
    clock.advance(10.0)
    assert budget.retry()


class BudgetMachine(RuleBasedStateMachine):
    """However requests and retries come, the budget keeps its word at every moment, and does not keep too much."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock(0.0)
        self.budget = RetryBudget(ratio=0.2, per_second=2, clock=self.clock)
        self.requests: list[float] = []
        self.retries: list[float] = []

    @rule(seconds=st.sampled_from([0.01, 0.3, 0.99, 1.0, 2.5, 9.9, 10.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(count=st.integers(1, 40))
    def request(self, count: int) -> None:
        for _ in range(count):
            self.budget.request()
            self.requests.append(self.clock.now)

    @rule(count=st.integers(1, 40))
    def retry(self, count: int) -> None:
        for _ in range(count):
            before = self.within(10.0, self.retries)
            if self.budget.retry():
                self.retries.append(self.clock.now)
                assert before + 1 <= 0.2 * self.within(10.0, self.requests) + 2 * 10
            else:
                spent = self.within(11.0, self.retries) + 1 > 0.2 * self.within(9.0, self.requests) + 2 * 10
                assert spent or self.within(1.0, self.retries) >= 2
                # A slot is forgotten late on one side and early on the other.
                assert self.within(11.0, self.retries) + 1 > 0.2 * self.within(9.0, self.requests)

    def within(self, seconds: float, times: list[float]) -> int:
        return sum(time > self.clock.now - seconds for time in times)


TestBudget = BudgetMachine.TestCase
TestBudget.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Retry(Upstream(), attempts=0), "attempts"),
        (lambda: RetryBudget(ratio=-0.1), "ratio"),
        (lambda: RetryBudget(per_second=-1), "per_second"),
    ],
)
def test_options_that_make_no_sense_are_refused(make: Callable[[], object], word: str) -> None:
    with pytest.raises(ValueError, match=rf"'{word}'"):
        make()
