"""What policies did about requests, in metrics."""

from __future__ import annotations

import pytest

from tests.asgi_client import post
from tests.policies.candidates import candidate
from tests.scripted import ScriptedProvider, chat
from tests.telemetry.measured import Measured, ended
from xrouter_asgi.context import RequestContext
from xrouter_asgi.decision import Unready, UnreadyKind
from xrouter_asgi.errors import UpstreamUnavailable
from xrouter_asgi.events import (
    AttemptRetried,
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
    CooldownStarted,
    ProviderReplaced,
)
from xrouter_asgi.policies.candidates import Candidate, Capabilities
from xrouter_asgi.policies.fallback import Fallback


def test_a_retry_is_counted_by_what_made_it_needed(kind: type[Measured]) -> None:
    measured = kind()
    error = UpstreamUnavailable("No.", code="connect_refused")
    for retry in (1, 2):
        measured.metrics(AttemptRetried(RequestContext(), "up", retry, 0.1, error, "up/m"))
    assert measured.numbers("xrouter.retries") == {("connect_refused", "up", "up/m"): 2}


def test_a_circuit_has_a_state_from_its_first_opening_on(kind: type[Measured]) -> None:
    measured = kind()
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


def test_two_models_have_two_circuits_at_one_target(kind: type[Measured]) -> None:
    measured = kind()
    measured.metrics(CircuitOpened(RequestContext(model="scripted"), "up", 5.0, "up/m"))
    measured.metrics(CircuitClosed(RequestContext(model="local-llama"), "up", "up/m"))
    assert measured.numbers("xrouter.circuit.state") == {("up", "scripted", "up/m"): 2, ("up", "local-*", "up/m"): 0}


def test_a_circuit_of_a_provider_that_was_replaced_has_no_state(kind: type[Measured]) -> None:
    measured = kind()
    for provider in ("up", "other"):
        measured.metrics(CircuitOpened(RequestContext(), provider, 5.0))
    measured.metrics(ProviderReplaced("up"))
    assert list(measured.numbers("xrouter.circuit.state")) == [("other", "none")]
    assert len(measured.numbers("xrouter.circuit.opened")) == 2


def test_a_rest_is_counted_by_what_has_to_rest(kind: type[Measured]) -> None:
    measured = kind()
    measured.metrics(CooldownStarted(RequestContext(), "up", "quota", 600.0, "up/m"))
    assert measured.numbers("xrouter.upstream.cooldowns") == {("up", "quota", "up/m"): 1}


def test_hedges_are_counted_once_for_each_request(kind: type[Measured]) -> None:
    measured = kind()
    context = RequestContext(model="scripted")
    context.decision.hedges = 2
    measured.metrics(ended(context))
    assert measured.numbers("xrouter.hedges") == {("scripted",): 2}
    assert measured.numbers("xrouter.exclusions") == {}


@pytest.mark.parametrize("reason", ["circuit_open", "cooling", "queue_full", "closed"])
async def test_who_was_passed_over_is_counted_by_the_kind_of_its_reason(
    kind: type[Measured], reason: UnreadyKind
) -> None:
    resting = ScriptedProvider()
    resting.unready = Unready(reason, None, "for 3 s")
    measured = kind(Fallback([Candidate(resting, "a/m"), candidate("b")]))
    await post(measured.app, "/v1/chat/completions", chat())
    assert measured.numbers("xrouter.exclusions") == {("scripted", reason, "a/m"): 1}


async def test_who_lacks_something_or_would_see_a_foreign_key_is_counted(kind: type[Measured]) -> None:
    blind = candidate("a", capabilities=Capabilities(tools=False))
    measured = kind(Fallback([candidate("b", own_key=True), blind]))
    tool = {"type": "function", "function": {"name": "tool"}}
    await post(measured.app, "/v1/chat/completions", chat(tools=[tool]))
    key = (b"x-provider-key", b"mine")
    await post(measured.app, "/v1/chat/completions", chat(), headers=[key])
    assert measured.numbers("xrouter.exclusions") == {
        ("scripted", "capability", "a/m"): 1,
        ("scripted", "own_key", "a/m"): 1,
    }
