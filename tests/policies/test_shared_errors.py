"""Errors are values: one that others may hold, such as all who waited for one token, is never changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.policies.upstream import Upstream, call, text_of
from xrouter_asgi.errors import (
    CircuitOpen,
    UpstreamError,
    UpstreamQuotaExceeded,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnauthorized,
    UpstreamUnavailable,
    XRouterError,
)
from xrouter_asgi.policies.breaker import CircuitBreaker
from xrouter_asgi.policies.candidates import Candidate
from xrouter_asgi.policies.fallback import Fallback
from xrouter_asgi.policies.prebuffer import Prebuffer
from xrouter_asgi.policies.retry import Retry
from xrouter_asgi.policies.stack import Patience, stack
from xrouter_asgi.providers.base import Call, Provider
from xrouter_asgi.providers.own_key import BringYourOwnKey
from xrouter_asgi.providers.target import as_target
from xrouter_asgi.testing.virtual import virtual

POLICIES: dict[str, Callable[[Provider], Provider]] = {
    "Retry": Retry,
    "CircuitBreaker": CircuitBreaker,
    "Prebuffer": lambda provider: Prebuffer(provider, seconds=5.0),
    "BringYourOwnKey": lambda provider: as_target(BringYourOwnKey(lambda key: provider)),
    "Fallback": lambda provider: Fallback([Candidate(provider, "a"), Candidate(provider, "b")]),
    "Retry of a Prebuffer": lambda provider: Retry(Prebuffer(provider, seconds=5.0)),
    "stack": lambda provider: stack(
        [Candidate(provider, "a"), Candidate(Upstream([UpstreamRateLimited("Slow.")], name="b"), "b")],
        patience=Patience(prebuffer=5.0),
    ),
}


def errors() -> list[XRouterError]:
    return [
        UpstreamUnavailable("Down.", code="connect_refused"),
        UpstreamUnavailable("Lost.", code="connection_lost"),
        UpstreamUnavailable("Busy.", code="upstream_overloaded"),
        UpstreamError("Broken.", code="stream_broken"),
        UpstreamTimeout("Late.", code="first_byte_timeout"),
        UpstreamRateLimited("Slow.", retry_after=1.0),
        UpstreamRateLimited("Slow.", retry_after=60.0),
        UpstreamUnauthorized("Who?"),
        UpstreamQuotaExceeded("Broke."),
        CircuitOpen("Cooling.", retry_after=1.0, retryable=True),
    ]


def facts(error: XRouterError) -> tuple[object, ...]:
    """What policies decide by, and what a client is told."""
    decided = (error.retryable, error.trips, error.falls_back, error.should_retry, error.retry_after)
    told = (error.message, error.status, error.type, error.code, error.param, error.headers())
    return (*decided, *told, error.detail, error.upstream_ids)


def with_key() -> Call:
    one = call(stream=True)
    return Call(one.request, headers=[(b"x-provider-key", b"secret")], context=one.context)


@pytest.mark.parametrize("begun", [False, True], ids=["before the head", "in the stream"])
@pytest.mark.parametrize("put_around", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("error", errors(), ids=lambda error: error.code)
def test_an_error_that_an_upstream_raised_is_never_changed(
    error: XRouterError, put_around: Callable[[Provider], Provider], begun: bool
) -> None:
    @virtual
    async def scenario() -> None:
        before = facts(error)
        own, attributes = error.args, {**vars(error)}
        upstream = Upstream(["a", error] if begun else [error])
        policy = put_around(upstream)
        for one in (with_key(), with_key()):
            with pytest.raises(XRouterError):
                await text_of(await policy.send(one))
        assert upstream.asked
        assert (facts(error), error.args, vars(error)) == (before, own, attributes)

    scenario()


@virtual
@pytest.mark.parametrize(
    ("put_around", "changed"),
    [
        (POLICIES["Retry"], {"should_retry": False}),
        (POLICIES["BringYourOwnKey"], {"falls_back": False}),
    ],
    ids=["Retry", "BringYourOwnKey"],
)
async def test_what_a_policy_adds_is_in_a_copy(
    put_around: Callable[[Provider], Provider], changed: dict[str, object]
) -> None:
    error = UpstreamUnavailable("Down.", code="connect_refused", detail="by peer")
    with pytest.raises(UpstreamUnavailable) as caught:
        await put_around(Upstream([error])).send(with_key())
    assert caught.value is not error
    assert vars(caught.value) == {**vars(error), **changed}
    assert str(caught.value) == str(error)


@virtual
async def test_what_prebuffer_makes_retryable_is_a_copy() -> None:
    with pytest.raises(UpstreamError) as caught:
        await Prebuffer(Upstream(["a", UpstreamUnavailable("Lost.", code="connection_lost")]), tokens=5).send(
            call(stream=True)
        )
    original = caught.value.__cause__
    assert isinstance(original, UpstreamError)
    assert (caught.value.code, original.code) == ("stream_broken", "stream_broken")
    assert (caught.value.retryable, original.retryable) == (True, False)


def test_a_copy_differs_in_what_is_said_and_in_nothing_else() -> None:
    error = UpstreamRateLimited("Slow.", retry_after=2.0, detail="d")
    error.upstream_ids = (("x-id", "1"),)
    error.__cause__ = OSError("below")
    copy = error.but(should_retry=False)
    assert type(copy) is UpstreamRateLimited
    assert (copy.should_retry, error.should_retry) == (False, None)
    assert facts(copy.but(should_retry=None)) == facts(error)
    assert (copy.args, copy.message, copy.__cause__) == (error.args, error.message, error.__cause__)
    assert copy.__traceback__ is None
    assert str(error.but(message="Other.")) == "Other."
