from __future__ import annotations

from typing import Any

import pytest

from xrouter_asgi.envelopes import openai
from xrouter_asgi.errors import (
    InvalidRequest,
    ModelNotFound,
    RequestRejected,
    UpstreamError,
    UpstreamForbidden,
    UpstreamOverloaded,
    UpstreamQuotaExceeded,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnauthorized,
    UpstreamUnavailable,
    XRouterError,
)
from xrouter_asgi.providers.http import ErrorReader, Redaction, UpstreamErrorBody
from xrouter_asgi.providers.openai import OpenAIProvider
from xrouter_asgi.providers.openai.errors import implied_status, refusal
from xrouter_asgi.testing.openai import FakeOpenAI, refuse, whole
from xrouter_asgi.testing.openai import stream as events
from xrouter_asgi.testing.openai_answers import chunk

from .calls import chat, read, stream_of

HTML = b"<html><head><title>502 Bad Gateway</title></head></html>"
FULL = "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens."


async def error_of(fake: FakeOpenAI, provider: OpenAIProvider, script: Any, *, stream: bool = False) -> XRouterError:
    fake.next(script)
    with pytest.raises(XRouterError) as caught:
        await provider.send(chat(stream=stream))
    return caught.value


@pytest.mark.parametrize(
    ("upstream", "members", "kind", "status", "code"),
    [
        (400, {}, RequestRejected, 400, None),
        (400, {"code": "invalid_value"}, RequestRejected, 400, "invalid_value"),
        (400, {"code": "context_length_exceeded"}, RequestRejected, 400, "context_length_exceeded"),
        (400, {"code": "invalid_api_key"}, UpstreamUnauthorized, 502, "upstream_auth_failed"),
        (400, {"code": "model_not_found"}, ModelNotFound, 404, "model_not_found"),
        (401, {}, UpstreamUnauthorized, 502, "upstream_auth_failed"),
        (402, {}, UpstreamQuotaExceeded, 429, "insufficient_quota"),
        (403, {}, UpstreamForbidden, 502, "upstream_forbidden"),
        (403, {"code": "content_policy_violation"}, RequestRejected, 403, "content_policy_violation"),
        (403, {"message": "Your input was flagged."}, RequestRejected, 403, None),
        (403, {"type": "authentication_error"}, UpstreamUnauthorized, 502, "upstream_auth_failed"),
        (404, {}, UpstreamError, 502, "upstream_not_found"),
        (404, {"code": "model_not_found"}, ModelNotFound, 404, "model_not_found"),
        (404, {"message": "The Model `x` does not exist."}, ModelNotFound, 404, "model_not_found"),
        (405, {}, RequestRejected, 405, None),
        (408, {}, UpstreamUnavailable, 502, "upstream_error"),
        (409, {}, UpstreamUnavailable, 502, "upstream_error"),
        (413, {}, RequestRejected, 413, None),
        (413, {"message": FULL}, RequestRejected, 400, "context_length_exceeded"),
        (422, {}, RequestRejected, 422, None),
        (429, {}, UpstreamRateLimited, 429, "rate_limit_exceeded"),
        (429, {"type": "rate_limit_error", "code": "slow_down"}, UpstreamRateLimited, 429, "slow_down"),
        (429, {"code": "insufficient_quota"}, UpstreamQuotaExceeded, 429, "insufficient_quota"),
        (429, {"type": "insufficient_quota"}, UpstreamQuotaExceeded, 429, "insufficient_quota"),
        (429, {"code": "credit_balance_exhausted"}, UpstreamQuotaExceeded, 429, "insufficient_quota"),
        (418, {}, UpstreamUnavailable, 502, "upstream_error"),
        (451, {}, UpstreamUnavailable, 502, "upstream_error"),
        (500, {}, UpstreamUnavailable, 502, "upstream_error"),
        (500, {"code": "invalid_api_key"}, UpstreamUnavailable, 502, "upstream_error"),
        (502, {}, UpstreamUnavailable, 502, "upstream_error"),
        (503, {}, UpstreamUnavailable, 503, "upstream_unavailable"),
        (504, {}, UpstreamTimeout, 504, "upstream_timeout"),
        (529, {}, UpstreamOverloaded, 503, "upstream_overloaded"),
        (599, {}, UpstreamUnavailable, 502, "upstream_error"),
    ],
)
async def test_each_refusal_has_its_error(
    fake: FakeOpenAI,
    provider: OpenAIProvider,
    upstream: int,
    members: dict[str, Any],
    kind: type[XRouterError],
    status: int,
    code: str | None,
) -> None:
    for stream in (False, True):
        error = await error_of(fake, provider, refuse(upstream, **members), stream=stream)
        assert type(error) is kind
        assert (error.status, error.code) == (status, code)
        assert error.detail is not None
        assert error.detail.startswith(f"status {upstream}: ")


@pytest.mark.parametrize("upstream", [401, 402, 403, 404])
async def test_what_will_not_change_by_itself_is_not_to_be_retried(
    fake: FakeOpenAI, provider: OpenAIProvider, upstream: int
) -> None:
    """Else the client's SDK asks twice more, since the status says 502 or 429."""
    error = await error_of(fake, provider, refuse(upstream))
    assert error.should_retry is False


@pytest.mark.parametrize(
    ("upstream", "kind", "code"),
    [
        (200, UpstreamError, "bad_body"),
        (400, UpstreamError, "bad_body"),
        (401, UpstreamUnauthorized, "upstream_auth_failed"),
        (403, UpstreamError, "bad_body"),
        (404, UpstreamError, "bad_body"),
        (413, UpstreamError, "bad_body"),
        (429, UpstreamRateLimited, "rate_limit_exceeded"),
        (500, UpstreamUnavailable, "bad_body"),
        (502, UpstreamUnavailable, "bad_body"),
        (503, UpstreamUnavailable, "bad_body"),
        (504, UpstreamTimeout, "upstream_timeout"),
    ],
)
async def test_a_web_page_is_never_shown(
    fake: FakeOpenAI, provider: OpenAIProvider, upstream: int, kind: type[XRouterError], code: str
) -> None:
    for headers in ({"content-type": "text/html"}, {"content-type": "application/json"}):
        for stream in (False, True):
            error = await error_of(fake, provider, whole(HTML, status=upstream, headers=headers), stream=stream)
            assert (type(error), error.code) == (kind, code)
            assert "Gateway" not in error.message


async def test_every_status_and_body_gives_a_member_of_the_family(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    bodies: list[object] = [
        {"error": {}},
        {"error": {"message": 5, "code": [], "type": {}}},
        [],
        None,
        b"",
        b"\xff",
        b"{",
    ]
    for status in range(400, 600):
        error = await error_of(fake, provider, whole(bodies[status % len(bodies)], status=status))
        assert isinstance(error, UpstreamError | InvalidRequest)
        assert 400 <= error.status < 600
        assert error.status != 401
        assert error.message


async def test_the_callers_fault_is_told_in_the_upstreams_words(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    members: dict[str, Any] = {
        "type": "invalid_request_error",
        "code": "unsupported_value",
        "param": "temperature",
    }
    error = await error_of(fake, provider, refuse(400, "Only 1 is allowed.", **members))
    assert openai(error, "")[2] == {"error": {"message": "Only 1 is allowed.", **members}}


@pytest.mark.parametrize("status", [400, 405, 413, 415, 422])
async def test_a_type_that_openai_does_not_know_becomes_the_one_of_its_4xx(
    fake: FakeOpenAI, provider: OpenAIProvider, status: int
) -> None:
    error = await error_of(fake, provider, refuse(status, "No.", type="some_error", code="odd"))
    assert (error.status, error.type, error.code) == (status, "invalid_request_error", "odd")


async def test_the_phrases_that_clients_match_are_kept(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    full = await error_of(fake, provider, refuse(400, FULL))
    assert (full.message, full.code, full.param) == (FULL, "context_length_exceeded", "messages")
    slow = await error_of(fake, provider, refuse(429, "Please try again in 9.816s.", type="tokens"))
    assert (slow.message, slow.type) == ("Please try again in 9.816s.", "tokens")
    gone = await error_of(fake, provider, refuse(404, "The model `x` does not exist", code="model_not_found"))
    assert (gone.message, gone.type, gone.param) == ("The model `x` does not exist", "invalid_request_error", "model")


@pytest.mark.parametrize("status", [401, 402])
async def test_trouble_with_our_account_is_told_in_our_words(
    fake: FakeOpenAI, provider: OpenAIProvider, status: int
) -> None:
    error = await error_of(fake, provider, refuse(status, "Traceback of our billing."))
    assert "billing" not in str(openai(error, ""))
    assert "Traceback of our billing." in (error.detail or "")


@pytest.mark.parametrize("status", [403, 404, 408, 418, 429, 500, 502, 503, 504, 529])
async def test_what_is_not_the_callers_fault_is_told_in_the_upstreams_words(
    fake: FakeOpenAI, provider: OpenAIProvider, status: int
) -> None:
    error = await error_of(fake, provider, refuse(status, "Node gw.internal.example:9443 is in maintenance."))
    assert error.message == "Node [redacted] is in maintenance."


async def test_a_context_that_is_full_is_told_without_words(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    error = await error_of(fake, provider, whole({"error": {"code": "context_length_exceeded"}}, status=400))
    assert error.message == "The request is longer than this model's context."


async def test_a_missing_model_is_named_when_the_upstream_does_not(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    error = await error_of(fake, provider, whole({"error": {"code": "model_not_found"}}, status=404))
    assert "The model `alias` does not exist" in error.message


@pytest.mark.parametrize("status", [429, 408, 500, 503, 529])
async def test_how_long_to_wait_is_handed_on(fake: FakeOpenAI, provider: OpenAIProvider, status: int) -> None:
    error = await error_of(fake, provider, refuse(status, headers={"Retry-After": "7"}))
    assert error.retry_after == 7.0


@pytest.mark.parametrize("status", [429, 408, 500, 503, 504, 529])
@pytest.mark.parametrize(("said", "heard"), [("true", True), ("false", False), ("maybe", None)])
async def test_whether_to_retry_is_handed_on(
    fake: FakeOpenAI, provider: OpenAIProvider, status: int, said: str, heard: bool | None
) -> None:
    error = await error_of(fake, provider, refuse(status, headers={"X-Should-Retry": said}))
    assert error.should_retry is heard


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (UpstreamErrorBody(code="rate_limit_exceeded", type="server_error"), 429),
        (UpstreamErrorBody(code="unheard_of", type="overloaded_error"), 529),
        (UpstreamErrorBody(code="slow_down", type="service_unavailable_error"), 503),
        (UpstreamErrorBody(type="invalid_request_error"), 400),
        (UpstreamErrorBody(type="authentication_error"), 401),
        (UpstreamErrorBody(code="insufficient_quota"), 402),
        (UpstreamErrorBody(type="invalid_request_error", status=413), 413),
        (UpstreamErrorBody(message="m"), 500),
    ],
)
def test_an_error_without_a_status_has_the_one_its_words_imply(said: UpstreamErrorBody, status: int) -> None:
    assert implied_status(said) == status


def test_a_refusal_without_words_still_says_something() -> None:
    assert (
        refusal(422, UpstreamErrorBody(), model="m", errors=ErrorReader(Redaction())).message
        == "The upstream refused the request with status 422 and did not say why."
    )
    assert (
        refusal(429, UpstreamErrorBody(), model="m", errors=ErrorReader(Redaction())).message
        == "The upstream's rate limit is reached. Try again later."
    )


async def test_an_error_in_the_middle_of_a_stream_is_told_in_its_own_words(
    fake: FakeOpenAI, provider: OpenAIProvider
) -> None:
    said = {"error": {"message": "Node gpu.internal ran out of memory.", "type": "server_error", "code": 500}}
    fake.next(events(chunk({"role": "assistant", "content": "Hel"}), said))
    reply = await stream_of(provider, chat(stream=True))
    with pytest.raises(UpstreamUnavailable, match=r"Node \[redacted\] ran out of memory\.") as caught:
        await read(reply)
    assert "gpu.internal" in (caught.value.detail or "")
