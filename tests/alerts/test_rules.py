from __future__ import annotations

from functools import partial

import pytest

from tests.alerts.happenings import Watched, attempted, ended, times
from xrouter_asgi.alerts import (
    CircuitsOpen,
    CredentialRefused,
    ErrorShare,
    LimitsDegraded,
    ModelGone,
    QuotaUsedUp,
    SlowShare,
)
from xrouter_asgi.context import RequestContext
from xrouter_asgi.errors import (
    InvalidAPIKey,
    InvalidRequest,
    KeyStoreUnavailable,
    ModelNotFound,
    NotReady,
    UpstreamError,
    UpstreamQuotaExceeded,
    UpstreamRateLimited,
    UpstreamUnauthorized,
)
from xrouter_asgi.events import (
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
    LimiterDegraded,
    LimiterRestored,
    ProviderReplaced,
)
from xrouter_asgi.testing.virtual import virtual

CONTEXT = RequestContext()
FAILED = partial(ended, 502, error=UpstreamError("no"))


class TestErrorShare:
    @virtual
    async def test_half_of_the_requests_failing_is_told(self) -> None:
        watched = Watched(ErrorShare(share=0.5, minimum=4))
        assert await watched.see(ended(), ended(), FAILED()) == []
        assert await watched.see(FAILED()) == ["2 of 4 requests of the last 60 s failed."]

    @virtual
    async def test_fewer_requests_than_the_minimum_prove_nothing(self) -> None:
        watched = Watched(ErrorShare(minimum=4))
        assert await watched.see(*times(3, FAILED)) == []

    @virtual
    async def test_what_left_the_window_does_not_count(self) -> None:
        watched = Watched(ErrorShare(minimum=4, window=60))
        assert await watched.see(*times(3, FAILED)) == []
        assert await watched.see_later(61, FAILED()) == []

    @virtual
    async def test_fewer_failures_are_told_as_a_recovery(self) -> None:
        watched = Watched(ErrorShare(share=0.5, minimum=4))
        await watched.see(*times(4, FAILED))
        assert await watched.see(*times(4, ended)) == []
        assert await watched.see(ended()) == ["ok: Fewer than 50% of the requests of the last 60 s failed."]

    @virtual
    async def test_any_request_after_the_window_shows_that_nothing_fails(self) -> None:
        watched = Watched(ErrorShare(minimum=4))
        await watched.see(*times(4, FAILED))
        assert await watched.see(ended(endpoint="health")) == []
        assert len(await watched.see_later(66, ended(endpoint="health"))) == 1

    @pytest.mark.parametrize(
        "event",
        [
            ended(502),
            ended(200, error=UpstreamError("broken", code="stream_broken")),
            ended(429, error=UpstreamQuotaExceeded("empty")),
            ended(503, endpoint=None, error=KeyStoreUnavailable("away")),
            ended(200, error=UpstreamError("broken", code="stream_broken"), own_keys=["up"]),
        ],
        ids=["5xx", "broken stream", "upstream's 429", "key store", "broken stream with an own key"],
    )
    @virtual
    async def test_it_is_a_failure(self, event: object) -> None:
        assert len(await Watched(ErrorShare(minimum=1)).see(event)) == 1

    @pytest.mark.parametrize(
        "event",
        [
            ended(200),
            ended(400, error=InvalidRequest("yours")),
            ended(404, endpoint=None),
            ended(None),
            ended(503, endpoint="ready", error=NotReady("draining")),
            attempted(UpstreamError("retried")),
            ended(401, error=InvalidAPIKey("yours"), own_keys=["up"]),
            ended(429, error=UpstreamQuotaExceeded("yours"), own_keys=["up"]),
            ended(200, error=UpstreamQuotaExceeded("yours"), own_keys=["up"]),
            ended(429, error=UpstreamRateLimited("yours"), own_keys=["up"]),
        ],
        ids=[
            "good",
            "client's mistake",
            "unknown path",
            "client left",
            "draining",
            "attempt",
            "own key refused",
            "own quota",
            "own quota in a stream",
            "own rate",
        ],
    )
    @virtual
    async def test_it_is_no_failure(self, event: object) -> None:
        assert await Watched(ErrorShare(minimum=1)).see(event) == []

    @virtual
    async def test_checks_of_health_do_not_thin_failures_out(self) -> None:
        watched = Watched(ErrorShare(share=1.0, minimum=2))
        assert len(await watched.see(FAILED(), ended(endpoint="health"), FAILED())) == 1

    @pytest.mark.parametrize("wrong", [{"share": 0.0}, {"share": 1.5}, {"window": 0.0}, {"minimum": 0}])
    def test_options_out_of_range_are_refused(self, wrong: dict[str, float]) -> None:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ErrorShare(**wrong)  # type: ignore[arg-type]  # one of several options


class TestSlowShare:
    @virtual
    async def test_answers_that_begin_late_are_told(self) -> None:
        watched = Watched(SlowShare(slow=5, minimum=2))
        told = await watched.see(ended(first_byte=5.0), ended(first_byte=4.9))
        assert told == ["1 of 2 requests of the last 60 s took 5 s or more to be answered."]

    @virtual
    async def test_what_was_never_answered_and_what_asks_no_model_do_not_count(self) -> None:
        watched = Watched(SlowShare(slow=5, minimum=1))
        assert await watched.see(ended(None, first_byte=None), ended(endpoint="health", first_byte=9.0)) == []


class TestCircuitsOpen:
    @virtual
    async def test_an_open_circuit_and_its_end_are_told(self) -> None:
        watched = Watched(CircuitsOpen())
        told = await watched.see(CircuitOpened(CONTEXT, "up", 5.0))
        assert told == ["The provider 'up' keeps failing and is left alone for 5 s."]
        assert await watched.see(CircuitHalfOpened(CONTEXT, "up")) == []
        assert await watched.see(CircuitClosed(CONTEXT, "up")) == ["ok: The provider 'up' answers again."]

    @virtual
    async def test_a_provider_answers_again_when_all_its_models_do(self) -> None:
        watched = Watched(CircuitsOpen())
        await watched.see(*(CircuitOpened(CONTEXT, "up", 5.0, target) for target in ("up/a", "up/b")))
        assert await watched.see(CircuitClosed(CONTEXT, "up", "up/a")) == []
        assert await watched.see(CircuitClosed(CONTEXT, "up", "up/b")) == ["ok: The provider 'up' answers again."]

    @virtual
    async def test_the_targets_that_are_left_alone_are_named(self) -> None:
        watched = Watched(CircuitsOpen(), cooldown=60.0)
        told = await watched.see(CircuitOpened(CONTEXT, "up", 5.0, "up/b"))
        assert told == ["The provider 'up' keeps failing and is left alone for 5 s: up/b."]
        assert await watched.see(CircuitOpened(CONTEXT, "up", 5.0, "up/a")) == []
        assert await watched.see_later(60.0, ended()) == [
            "The provider 'up' keeps failing and is left alone for 5 s: up/a, up/b."
        ]

    @virtual
    async def test_of_many_targets_a_few_are_named(self) -> None:
        watched = Watched(CircuitsOpen(), cooldown=60.0)
        await watched.see(*(CircuitOpened(CONTEXT, "up", 5.0, f"up/{number}") for number in range(8)))
        (told,) = await watched.see_later(60.0, ended())
        assert told.endswith(": up/0, up/1, up/2, up/3, up/4 and 3 more.")

    @virtual
    async def test_each_provider_is_told_of(self) -> None:
        watched = Watched(CircuitsOpen())
        assert len(await watched.see(CircuitOpened(CONTEXT, "a", 5.0), CircuitOpened(CONTEXT, "b", 5.0))) == 2

    @virtual
    async def test_a_provider_that_was_replaced_is_wrong_no_more(self) -> None:
        watched = Watched(CircuitsOpen())
        await watched.see(CircuitOpened(CONTEXT, "up", 5.0))
        assert await watched.see(ProviderReplaced("other"), ProviderReplaced("up")) == [
            "ok: The provider 'up' was replaced by new settings."
        ]


class TestRefusals:
    @virtual
    async def test_a_refused_credential_is_told_until_the_provider_answers(self) -> None:
        watched = Watched(CredentialRefused())
        told = await watched.see(attempted(UpstreamUnauthorized("no"), started=0.0))
        assert told == ["The provider 'up' refuses the credential of this gateway. Check that it has not expired."]
        assert await watched.see(attempted(UpstreamError("other"), started=2.0)) == []
        assert await watched.see(attempted(provider="another", started=2.0)) == []
        assert await watched.see(attempted(started=2.0)) == ["ok: The provider 'up' answers again."]

    @virtual
    async def test_a_provider_that_was_replaced_refuses_no_more(self) -> None:
        watched = Watched(CredentialRefused())
        await watched.see(attempted(UpstreamUnauthorized("no"), started=0.0))
        replaced = ["ok: The provider 'up' was replaced by new settings."]
        assert await watched.see(ProviderReplaced("up")) == replaced
        assert await watched.see(attempted(started=2.0)) == []

    @virtual
    async def test_an_answer_to_what_was_asked_before_the_refusal_proves_nothing(self) -> None:
        watched = Watched(CredentialRefused())
        await watched.see(attempted(UpstreamUnauthorized("no"), started=5.0, after=1.0))
        assert await watched.see(attempted(started=0.0, after=60.0)) == []

    @pytest.mark.parametrize("error", [UpstreamUnauthorized("no"), UpstreamQuotaExceeded("no")], ids=lambda e: e.code)
    @virtual
    async def test_what_is_refused_to_a_callers_own_credential_is_the_callers_affair(
        self, error: UpstreamError
    ) -> None:
        watched = Watched(CredentialRefused(), QuotaUsedUp())
        assert await watched.see(attempted(error, own_keys=["up"])) == []
        assert len(await watched.see(attempted(error, own_keys=["another"]))) == 1

    @virtual
    async def test_an_answer_to_a_callers_own_credential_does_not_mend_ours(self) -> None:
        watched = Watched(CredentialRefused())
        await watched.see(attempted(UpstreamUnauthorized("no"), started=0.0))
        assert await watched.see(attempted(started=2.0, own_keys=["up"])) == []
        assert await watched.see(attempted(started=3.0)) == ["ok: The provider 'up' answers again."]

    @virtual
    async def test_a_quota_is_told_as_a_quota(self) -> None:
        watched = Watched(CredentialRefused(), QuotaUsedUp())
        told = await watched.see(attempted(UpstreamQuotaExceeded("no")))
        assert told == ["The provider 'up' says that the quota of this gateway's account is used up."]


class TestModelGone:
    GONE = ModelNotFound("m")
    TOLD = "The provider 'up' has these models no longer: up/m."

    @virtual
    async def test_a_model_that_answered_and_is_gone_is_told_until_it_answers_again(self) -> None:
        watched = Watched(ModelGone())
        assert await watched.see(attempted(), attempted(self.GONE)) == [self.TOLD]
        assert await watched.see(attempted()) == ["ok: The provider 'up' has all its models again."]

    @virtual
    async def test_a_model_that_never_answered_may_be_a_clients_mistake(self) -> None:
        assert await Watched(ModelGone()).see(attempted(self.GONE), attempted(self.GONE, provider="other")) == []

    @virtual
    async def test_other_failures_and_a_callers_own_credential_say_nothing_of_the_model(self) -> None:
        watched = Watched(ModelGone())
        assert await watched.see(attempted(), attempted(UpstreamError("no"))) == []
        assert await watched.see(attempted(self.GONE, own_keys=["up"])) == []

    @virtual
    async def test_a_provider_that_was_replaced_has_nothing_missing(self) -> None:
        watched = Watched(ModelGone())
        await watched.see(attempted(), attempted(self.GONE))
        told = await watched.see(ProviderReplaced("up"), attempted(self.GONE))
        assert told == ["ok: The provider 'up' was replaced by new settings."]


@virtual
async def test_a_limiter_without_its_storage_is_told_until_it_is_back() -> None:
    watched = Watched(LimitsDegraded())
    assert await watched.see(LimiterDegraded(CONTEXT)) == ["The storage of limits is away: each process decides alone."]
    assert await watched.see(ended(), LimiterRestored(CONTEXT)) == ["ok: The storage of limits is back."]
