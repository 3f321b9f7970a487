from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.policies.upstream import HANG, WHOLE, ReadyUpstream, Step, Upstream, call, events_of, stream_of, text_of
from xrouter_asgi.errors import (
    CircuitOpen,
    ConcurrencyExceeded,
    ModelNotFound,
    RequestRejected,
    UpstreamError,
    UpstreamForbidden,
    UpstreamQuotaExceeded,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnauthorized,
    UpstreamUnavailable,
    XRouterError,
)
from xrouter_asgi.events import CircuitClosed, CircuitHalfOpened, CircuitOpened, CooldownStarted
from xrouter_asgi.policies.breaker import CircuitBreaker, CircuitGroup
from xrouter_asgi.policies.circuit import Thresholds
from xrouter_asgi.policies.timeout import Timeout
from xrouter_asgi.policies.upstream_state import UpstreamState
from xrouter_asgi.providers.base import Call, Provider, Unready
from xrouter_asgi.testing.virtual import now, virtual


def breaker(inner: Provider, **options: Any) -> CircuitBreaker:
    return CircuitBreaker(inner, **{"thresholds": Thresholds(minimum=2), **options})


def down() -> UpstreamUnavailable:
    return UpstreamUnavailable("Down.")


def state_of(policy: CircuitBreaker) -> str:
    return policy.state  # as a word, which may have changed whatever was asserted before


def why(policy: CircuitBreaker) -> str | None:
    """Why it would refuse a call now, for people."""
    unready = policy.unready()
    return None if unready is None else unready.text


async def error_of(policy: CircuitBreaker, one: Call | None = None) -> XRouterError:
    with pytest.raises(XRouterError) as caught:
        await policy.send(one or call())
    return caught.value


async def opened(*scenes: Sequence[Step]) -> tuple[CircuitBreaker, ReadyUpstream]:
    """A breaker that has just opened, above an upstream that plays `scenes` next."""
    upstream = ReadyUpstream([down()], [down()], *(scenes or [WHOLE]))
    policy = breaker(upstream)
    for _ in range(2):
        await error_of(policy)
    assert state_of(policy) == "open"
    return policy, upstream


# Health


@virtual
async def test_an_open_circuit_refuses_without_asking() -> None:
    policy, upstream = await opened()
    await asyncio.sleep(1.5)
    error = await error_of(policy)
    assert isinstance(error, CircuitOpen)
    assert (error.status, error.type, error.code) == (503, "service_unavailable_error", "circuit_open")
    assert (error.retry_after, error.retryable, error.trips, error.falls_back) == (3.5, False, False, True)
    assert error.message == "The upstream 'up' keeps failing and is left alone. Try again in 3.5 s."
    assert len(upstream.asked) == 2


@virtual
async def test_the_life_of_a_circuit_is_told() -> None:
    policy = breaker(Upstream([down()], [down()], [down()], WHOLE))
    one = call()
    told = events_of(one)
    for _ in range(2):
        await error_of(policy, one)
    await asyncio.sleep(5.0)
    await error_of(policy, one)
    await error_of(policy, one)
    await asyncio.sleep(10.0)
    await policy.send(one)
    assert told == [
        CircuitOpened(one.context, "up", 5.0),
        CircuitHalfOpened(one.context, "up"),
        CircuitOpened(one.context, "up", 10.0),
        CircuitHalfOpened(one.context, "up"),
        CircuitClosed(one.context, "up"),
    ]


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (down(), "open"),
        (UpstreamError("Odd."), "open"),
        (UpstreamTimeout("Late."), "open"),
        (UpstreamTimeout("Cut short.", trips=False), "closed"),
        (UpstreamUnavailable("Our pool is full.", code="pool_exhausted", trips=False), "closed"),
        (RequestRejected("No."), "closed"),
        (ModelNotFound("m"), "closed"),
        (UpstreamForbidden("No."), "closed"),
        (ConcurrencyExceeded("Full.", retry_after=1.0), "closed"),
        (RuntimeError("a defect"), "closed"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_the_upstreams_own_faults_open_it(error: Exception, state: str) -> None:
    @virtual
    async def scenario() -> None:
        upstream = Upstream([error])
        policy = breaker(upstream)
        for _ in range(2):
            with pytest.raises(type(error)):
                await policy.send(call())
        assert (state_of(policy), len(upstream.asked)) == (state, 2)

    scenario()


@virtual
async def test_streams_that_break_off_open_it() -> None:
    policy = breaker(Upstream(["a", UpstreamError("Broken.", code="stream_broken")]))
    one = call(stream=True)
    told = events_of(one)
    for _ in range(2):
        assert state_of(policy) == "closed"
        with pytest.raises(UpstreamError):
            await text_of(await policy.send(one))
    assert state_of(policy) == "open"
    assert told == [CircuitOpened(one.context, "up", 5.0)]


@virtual
async def test_a_clock_further_out_that_ends_the_wait_opens_it() -> None:
    policy = breaker(Upstream([HANG]))
    for _ in range(2):
        with pytest.raises(UpstreamTimeout):
            await Timeout(policy, first=5.0).send(call(stream=True))
    assert state_of(policy) == "open"


@virtual
@pytest.mark.parametrize(("patience", "state"), [(119.9, "closed"), (120.0, "open")])
async def test_a_deadline_that_the_upstream_does_not_keep_opens_it_unless_it_was_short(
    patience: float, state: str
) -> None:
    policy = breaker(Upstream([HANG]))
    for _ in range(2):
        with pytest.raises(UpstreamTimeout):
            await policy.send(call(deadline=now() + patience))
    assert state_of(policy) == state


@virtual
async def test_streams_that_took_too_long_were_alive_and_do_not_open_it() -> None:
    policy = breaker(Upstream(["a", UpstreamTimeout("Too long.", code="total_timeout")]))
    for _ in range(3):
        with pytest.raises(UpstreamTimeout):
            await text_of(await policy.send(call(stream=True)))
    assert state_of(policy) == "closed"


@virtual
async def test_streams_that_end_or_are_not_wanted_any_more_do_not_open_it() -> None:
    policy = breaker(Upstream(["a", "b"]))
    for _ in range(10):
        await text_of(await policy.send(call(stream=True)))
        stream = await stream_of(await policy.send(call(stream=True)))
        await stream.aclose()
    assert state_of(policy) == "closed"


@virtual
async def test_a_refusal_of_the_request_shows_that_the_upstream_is_well() -> None:
    policy, _ = await opened([RequestRejected("No.")])
    await asyncio.sleep(5.0)
    await error_of(policy)
    assert state_of(policy) == "closed"


@virtual
async def test_a_probe_that_was_not_sent_shows_nothing() -> None:
    policy, upstream = await opened([ConcurrencyExceeded("Full.")], WHOLE)
    await asyncio.sleep(5.0)
    await error_of(policy)
    assert state_of(policy) == "half_open"
    await policy.send(call())
    assert (state_of(policy), len(upstream.asked)) == ("closed", 4)


@virtual
async def test_a_probe_that_leaves_makes_room_for_another() -> None:
    policy, upstream = await opened([HANG], WHOLE)
    await asyncio.sleep(5.0)
    probe = asyncio.create_task(policy.send(call()))
    await asyncio.sleep(1.0)
    refused = await error_of(policy)
    assert (refused.code, refused.retry_after) == ("circuit_open", 1.0)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert (state_of(policy), upstream.open) == ("half_open", 0)
    await policy.send(call())
    assert state_of(policy) == "closed"


@virtual
async def test_a_probe_that_hangs_does_not_keep_an_upstream_away_that_is_back() -> None:
    policy, _ = await opened([HANG], WHOLE)
    await asyncio.sleep(5.0)
    probe = asyncio.create_task(policy.send(call()))
    await asyncio.sleep(4.9)
    assert (await error_of(policy)).code == "circuit_open"
    await asyncio.sleep(0.1)
    await policy.send(call())
    assert (state_of(policy), probe.done()) == ("closed", False)
    probe.cancel()
    await asyncio.wait([probe])
    assert state_of(policy) == "closed"


@virtual
async def test_after_half_a_minute_of_health_it_opens_by_twenty_time_outs() -> None:
    upstream = Upstream(*[WHOLE] * 1500, [HANG])
    policy = breaker(Timeout(upstream, first=2.0), thresholds=Thresholds())
    for _ in range(1500):
        await text_of(await policy.send(call(stream=True)))
        await asyncio.sleep(0.02)
    began, tasks = now(), []
    while state_of(policy) == "closed":
        tasks.append(asyncio.create_task(policy.send(call(stream=True))))
        await asyncio.sleep(0.02)
    took = now() - began
    await asyncio.gather(*tasks, return_exceptions=True)
    assert 2.3 < took < 2.5


# Cooldowns


@pytest.mark.parametrize(
    ("error", "cooldown_kind", "seconds", "status", "code", "retryable", "should_retry"),
    [
        (UpstreamRateLimited("Slow.", retry_after=7.0), "rate", 7.0, 429, "rate_limit_exceeded", True, None),
        (UpstreamRateLimited("Slow."), "rate", 1.0, 429, "rate_limit_exceeded", True, None),
        (UpstreamUnauthorized("Who?"), "credential", 60.0, 502, "upstream_auth_failed", False, False),
        (UpstreamQuotaExceeded("Broke."), "quota", 600.0, 429, "insufficient_quota", False, False),
    ],
    ids=lambda value: getattr(value, "code", None) or "",
)
def test_what_concerns_us_cools_and_opens_nothing(
    error: XRouterError,
    cooldown_kind: str,
    seconds: float,
    status: int,
    code: str,
    retryable: bool,
    should_retry: bool | None,
) -> None:
    @virtual
    async def scenario() -> None:
        upstream = Upstream([error], WHOLE)
        policy = breaker(upstream)
        one = call()
        told = events_of(one)
        assert await error_of(policy, one) is error
        assert [(type(event), vars_of(event)) for event in told] == [(CooldownStarted, ("up", cooldown_kind, seconds))]
        assert why(policy) == f"cooling ({cooldown_kind}) for {seconds:.1f} s"
        await asyncio.sleep(seconds - 0.5)
        refused = await error_of(policy)
        assert isinstance(refused, CircuitOpen)
        assert (refused.status, refused.code, refused.retryable, refused.trips) == (status, code, retryable, False)
        assert (refused.should_retry, refused.retry_after) == (should_retry, 0.5)
        await asyncio.sleep(0.5)
        await policy.send(call())
        assert (state_of(policy), why(policy), len(upstream.asked)) == ("closed", None, 2)

    scenario()


def vars_of(event: object) -> tuple[str, str, float]:
    assert isinstance(event, CooldownStarted)
    return event.provider, event.cooldown_kind, event.duration


@virtual
async def test_a_cooldown_of_unknown_length_doubles_each_time_until_an_answer_comes() -> None:
    limited: list[Step] = [UpstreamRateLimited("Slow.")]
    policy = breaker(Upstream(*[limited] * 8, WHOLE, limited))
    one = call()
    told = events_of(one)
    for _ in range(8):
        await error_of(policy, one)
        await asyncio.sleep(60.0)
    await policy.send(one)
    await error_of(policy, one)
    assert [vars_of(event)[2] for event in told] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 1.0]


@virtual
async def test_a_cooldown_is_made_longer_but_never_shorter() -> None:
    scenes: list[list[Step]] = [[0.1, UpstreamRateLimited("Slow.", retry_after=wait)] for wait in (5.0, 9.0, 3.0)]
    policy = breaker(Upstream(*scenes))
    await asyncio.gather(*(error_of(policy) for _ in range(3)))
    assert why(policy) == "cooling (rate) for 9.0 s"


@virtual
async def test_many_refusals_at_once_are_one() -> None:
    policy = breaker(Upstream([0.1, UpstreamRateLimited("Slow.")]))
    await asyncio.gather(*(error_of(policy) for _ in range(10)))
    assert why(policy) == "cooling (rate) for 1.0 s"
    await asyncio.sleep(1.0)
    await error_of(policy)
    assert why(policy) == "cooling (rate) for 2.0 s"


@virtual
async def test_a_refusal_to_a_callers_own_account_cools_nobody_elses() -> None:
    policy = breaker(Upstream([UpstreamRateLimited("Slow.", retry_after=5.0, falls_back=False)]))
    await error_of(policy)
    assert policy.unready() is None


# Who may open


@virtual
async def test_the_last_healthy_of_a_group_stays_closed() -> None:
    group = CircuitGroup()
    one, other = (breaker(Upstream([down()]), group=group) for _ in range(2))
    for policy in (one, other):
        for _ in range(5):
            await error_of(policy)
    assert (state_of(one), state_of(other)) == ("open", "closed")


@virtual
async def test_one_that_cools_is_no_help() -> None:
    group = CircuitGroup()
    limited = breaker(Upstream([UpstreamRateLimited("Slow.", retry_after=50.0)]), group=group)
    failing = breaker(Upstream([down()]), group=group)
    await error_of(limited)
    for _ in range(5):
        await error_of(failing)
    assert state_of(failing) == "closed"
    await asyncio.sleep(50.0)
    for _ in range(2):
        await error_of(failing)
    assert state_of(failing) == "open"


@given(script=st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.sampled_from([0.0, 1.0, 6.0])), max_size=60))
@settings(deadline=None, max_examples=60)
def test_whatever_fails_one_of_a_group_is_closed(script: list[tuple[int, bool, float]]) -> None:
    @virtual
    async def scenario() -> None:
        group = CircuitGroup()
        policies = []
        for number in range(3):
            scenes = [[down()] if fails else WHOLE for which, fails, _ in script if which == number]
            policies.append(breaker(Upstream(*scenes), group=group))
        for which, _, pause in script:
            await asyncio.gather(policies[which].send(call()), return_exceptions=True)
            assert any(state_of(policy) == "closed" for policy in policies)
            await asyncio.sleep(pause)

    scenario()


# For who chooses


@virtual
async def test_it_tells_why_it_would_refuse_and_until_when() -> None:
    policy, _ = await opened([HANG])
    assert policy.unready() == Unready("circuit_open", 5.0, "circuit open for 5.0 s")
    await asyncio.sleep(2.0)
    assert policy.unready() == Unready("circuit_open", 5.0, "circuit open for 3.0 s")
    await asyncio.sleep(3.0)
    assert policy.unready() is None
    probe = asyncio.create_task(policy.send(call()))
    await asyncio.sleep(0.5)
    assert policy.unready() == Unready("circuit_open", 6.5, "circuit half-open for 1.0 s")
    probe.cancel()
    await asyncio.wait([probe])
    assert policy.unready() is None


@virtual
async def test_a_cooldown_says_until_when_it_lasts() -> None:
    policy = breaker(Upstream([1.0, UpstreamRateLimited("Slow.", retry_after=7.0)]))
    await error_of(policy)
    await asyncio.sleep(2.0)
    assert policy.unready() == Unready("cooling", 8.0, "cooling (rate) for 5.0 s")


@virtual
async def test_it_is_as_ready_as_its_upstream_unless_it_stands_in_the_way() -> None:
    policy, upstream = await opened()
    upstream.unready = Unready("queue_full", None, "over its limit")
    assert policy.ready(call()) == policy.unready() == Unready("circuit_open", 5.0, "circuit open for 5.0 s")
    await asyncio.sleep(5.0)
    assert policy.ready(call()) is upstream.unready
    assert policy.unready() is None


@virtual
async def test_asking_whether_it_is_ready_changes_nothing() -> None:
    policy, _ = await opened()
    await asyncio.sleep(5.0)
    assert policy.ready(call()) is None
    assert state_of(policy) == "open"


@virtual
async def test_a_cooldown_that_is_over_is_forgotten_by_the_next_call() -> None:
    shared = UpstreamState()
    policy = CircuitBreaker(Upstream([UpstreamUnauthorized("Who?")], WHOLE), upstream=shared)
    await error_of(policy)
    await asyncio.sleep(60.0)
    await policy.send(call())
    assert (policy.unready(), shared.cooldown) == (None, None)


class TestUpstreamState:
    """What cools down for all models of a provider, and what does not."""

    @pytest.mark.parametrize(
        ("error", "text", "code"),
        [
            (UpstreamUnauthorized("Who?"), "cooling (credential) for 60.0 s", "upstream_auth_failed"),
            (UpstreamQuotaExceeded("Broke."), "cooling (quota) for 600.0 s", "insufficient_quota"),
        ],
        ids=["credential", "quota"],
    )
    def test_what_the_account_lacks_one_model_learns_for_all(self, error: XRouterError, text: str, code: str) -> None:
        @virtual
        async def scenario() -> None:
            shared, other = UpstreamState(), Upstream()
            first, second = breaker(Upstream([error]), upstream=shared), breaker(other, upstream=shared)
            await error_of(first)
            assert (why(first), why(second)) == (text, text)
            refused = await error_of(second)
            assert (type(refused), refused.code, other.asked) == (CircuitOpen, code, [])

        scenario()

    @virtual
    async def test_a_rate_is_that_of_one_model(self) -> None:
        shared, limited = UpstreamState(), Upstream([UpstreamRateLimited("Slow.")])
        first, second = breaker(limited, upstream=shared), breaker(Upstream(), upstream=shared)
        await error_of(first)
        assert (why(first), why(second)) == ("cooling (rate) for 1.0 s", None)

    @virtual
    async def test_of_two_cooldowns_the_longer_is_kept_to(self) -> None:
        shared = UpstreamState()
        quota = breaker(Upstream([UpstreamQuotaExceeded("Broke.", retry_after=5.0)]), upstream=shared)
        slow = breaker(Upstream([0.0, UpstreamRateLimited("Slow.", retry_after=3.0)]), upstream=shared)
        slower = breaker(Upstream([0.0, UpstreamRateLimited("Slow.", retry_after=9.0)]), upstream=shared)
        await asyncio.gather(*(error_of(each) for each in (slow, slower, quota)))
        assert [why(each) for each in (slow, slower)] == [
            "cooling (quota) for 5.0 s",
            "cooling (rate) for 9.0 s",
        ]

    @virtual
    async def test_without_one_to_share_each_has_its_own(self) -> None:
        first, second = breaker(Upstream([UpstreamUnauthorized("Who?")])), breaker(Upstream())
        await error_of(first)
        assert second.unready() is None


@virtual
async def test_events_say_which_model_it_is_about() -> None:
    policy = breaker(Upstream([down()], [down()], [UpstreamRateLimited("Slow.")], WHOLE), target="up/small")
    one = call()
    told = events_of(one)
    for _ in range(3):
        await error_of(policy, one)
        await asyncio.sleep(5.0)
    await policy.send(one)
    assert told == [
        CircuitOpened(one.context, "up", 5.0, "up/small"),
        CircuitHalfOpened(one.context, "up", "up/small"),
        CooldownStarted(one.context, "up", "rate", 1.0, "up/small"),
        CircuitClosed(one.context, "up", "up/small"),
    ]
