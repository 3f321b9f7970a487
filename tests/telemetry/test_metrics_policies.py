"""What policies did about requests, in metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.asgi_client import post
from tests.policies.candidates import call, candidate
from tests.scripted import ScriptedProvider, chat
from tests.telemetry.measured import Measured, ended
from xrouter_asgi.context import RequestContext
from xrouter_asgi.errors import UpstreamUnauthorized, UpstreamUnavailable
from xrouter_asgi.events import (
    AttemptRetried,
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
    CooldownStarted,
    ProviderReplaced,
)
from xrouter_asgi.policies.breaker import CircuitBreaker
from xrouter_asgi.policies.candidates import Capabilities
from xrouter_asgi.policies.fallback import Fallback
from xrouter_asgi.queueing.slots import Slots


def test_a_retry_is_counted_by_what_made_it_needed() -> None:
    measured = Measured()
    error = UpstreamUnavailable("No.", code="connect_refused")
    for retry in (1, 2):
        measured.metrics(AttemptRetried(RequestContext(), "up", retry, 0.1, error, "up/m"))
    assert measured.numbers("xrouter.retries") == {("connect_refused", "up", "up/m"): 2}


def test_a_circuit_has_a_state_from_its_first_opening_on() -> None:
    measured = Measured()
    context = RequestContext(model="local-llama")
    assert measured.numbers("xrouter.circuit.state") == {}
    for event, state in (
        (CircuitOpened(context, "up", 5.0, "up/m"), 2),
        (CircuitHalfOpened(context, "up", "up/m"), 1),
        (CircuitOpened(context, "up", 5.0, "up/m"), 2),
        (CircuitClosed(context, "up", "up/m"), 0),
    ):
        measured.metrics(event)
        assert measured.numbers("xrouter.circuit.state") == {("up", "local-*", "up/m"): state}
    assert measured.numbers("xrouter.circuit.opened") == {("up", "local-*", "up/m"): 2}


def test_two_models_have_two_circuits_at_one_target() -> None:
    measured = Measured()
    measured.metrics(CircuitOpened(RequestContext(model="scripted"), "up", 5.0, "up/m"))
    measured.metrics(CircuitClosed(RequestContext(model="local-llama"), "up", "up/m"))
    assert measured.numbers("xrouter.circuit.state") == {("up", "scripted", "up/m"): 2, ("up", "local-*", "up/m"): 0}


def test_a_circuit_of_a_provider_that_was_replaced_has_no_state() -> None:
    measured = Measured()
    for provider in ("up", "other"):
        measured.metrics(CircuitOpened(RequestContext(), provider, 5.0))
    measured.metrics(ProviderReplaced("up"))
    assert list(measured.numbers("xrouter.circuit.state")) == [("other", "none")]
    assert len(measured.numbers("xrouter.circuit.opened")) == 2


def test_a_rest_is_counted_by_what_has_to_rest() -> None:
    measured = Measured()
    measured.metrics(CooldownStarted(RequestContext(), "up", "quota", 600.0, "up/m"))
    assert measured.numbers("xrouter.upstream.cooldowns") == {("up", "quota", "up/m"): 1}


def test_hedges_are_counted_once_for_each_request() -> None:
    measured = Measured()
    context = RequestContext(model="scripted")
    context.decision.hedges = 2
    measured.metrics(ended(context))
    assert measured.numbers("xrouter.hedges") == {("scripted",): 2}
    assert measured.numbers("xrouter.exclusions") == {}


async def over_its_limit() -> str:
    slots = Slots(1)
    await slots.acquire(call())
    return slots.available() or ""


async def cooling() -> str:
    breaker = CircuitBreaker(ScriptedProvider(UpstreamUnauthorized("No.")))
    with pytest.raises(UpstreamUnauthorized):
        await breaker.send(call())
    return breaker.available() or ""


async def circuit_open() -> str:
    breaker = CircuitBreaker(ScriptedProvider(UpstreamUnavailable("No.")), minimum=1)
    with pytest.raises(UpstreamUnavailable):
        await breaker.send(call())
    return breaker.available() or ""


async def of_a_hosts_own() -> str:
    return "it is 10 pm"


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        (circuit_open, "circuit_open"),
        (cooling, "cooling"),
        (over_its_limit, "over_limit"),
        (of_a_hosts_own, "other"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_who_was_passed_over_is_counted_by_a_word_for_the_reason(
    reason: Callable[[], Awaitable[str]], word: str
) -> None:
    why = await reason()
    assert why
    measured = Measured(Fallback([candidate("a", available=lambda: why), candidate("b")]))
    await post(measured.app, "/v1/chat/completions", chat())
    assert measured.numbers("xrouter.exclusions") == {("scripted", word, "a/m"): 1}


async def test_who_lacks_something_or_would_see_a_foreign_key_is_counted() -> None:
    blind = candidate("a", capabilities=Capabilities(tools=False))
    measured = Measured(Fallback([candidate("b"), blind]))
    tool = {"type": "function", "function": {"name": "tool"}}
    await post(measured.app, "/v1/chat/completions", chat(tools=[tool]))
    key = (b"x-provider-key", b"mine")
    await post(measured.app, "/v1/chat/completions", chat(), headers=[key])
    assert measured.numbers("xrouter.exclusions") == {
        ("scripted", "lacks", "a/m"): 1,
        ("scripted", "own_key", "a/m"): 1,
    }
