from __future__ import annotations

from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from tests.asgi_client import Exchange, http_scope
from xrouter_asgi import APIKeyMiddleware, LLMRouter, RateLimitMiddleware, StaticKeys
from xrouter_asgi.context import RequestContext
from xrouter_asgi.envelopes import anthropic, openai
from xrouter_asgi.errors import (
    CircuitOpen,
    InvalidAPIKey,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    RateLimitExceeded,
    UpstreamError,
    UpstreamQuotaExceeded,
    UpstreamTimeout,
    UpstreamUnavailable,
    XRouterError,
)


def test_the_envelope_of_openai_always_has_its_four_members() -> None:
    _, _, body = openai(XRouterError("Oh."), "req_1")
    assert body == {"error": {"message": "Oh.", "type": "server_error", "param": None, "code": None}}
    _, _, body = openai(InvalidRequest("No.", code="invalid_value", param="n"), "req_1")
    assert body == {"error": {"message": "No.", "type": "invalid_request_error", "param": "n", "code": "invalid_value"}}


def test_the_envelope_of_openai_has_the_status_and_the_headers_of_the_error() -> None:
    status, headers, _ = openai(RateLimitExceeded("Slow down.", retry_after=1.0), "req_1")
    assert status == 429
    assert headers == [(b"retry-after", b"1"), (b"retry-after-ms", b"1000")]


def odd(error: XRouterError, request_id: str) -> tuple[int, list[tuple[bytes, bytes]], dict[str, Any]]:
    return 418, [], {"code": error.code, "id": request_id}


@pytest.mark.parametrize(
    ("app", "code"),
    [
        (APIKeyMiddleware(PlainTextResponse("let in"), store=StaticKeys({})), None),
        (RateLimitMiddleware(PlainTextResponse("let in"), limit="1/day"), "rate_limit_exceeded"),
    ],
)
async def test_a_middleware_refuses_in_the_envelope_of_the_context(app: ASGIApp, code: str | None) -> None:
    for _ in range(2):  # the limit lets the first one in
        scope = http_scope("GET", "/")
        context = scope["xrouter"] = RequestContext(envelope=odd)
        answer = await Exchange(app, scope).run()
    assert (answer.status, answer.json) == (418, {"code": code, "id": context.request_id})


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InvalidRequest("No."), 400, "invalid_request_error"),
        (InvalidRequest("No.", status=422), 422, "invalid_request_error"),
        (InvalidAPIKey("Who?"), 401, "authentication_error"),
        (UpstreamQuotaExceeded("No money."), 402, "billing_error"),
        (PermissionDenied("Not you."), 403, "permission_error"),
        (NotFound("Where?"), 404, "not_found_error"),
        (PayloadTooLarge("Too large."), 413, "request_too_large"),
        (RateLimitExceeded("Slow down."), 429, "rate_limit_error"),
        (XRouterError("Oh."), 500, "api_error"),
        (UpstreamError("Oh."), 502, "api_error"),
        (CircuitOpen("Later."), 503, "overloaded_error"),
        (UpstreamUnavailable("Busy.", code="upstream_overloaded", status=503), 529, "overloaded_error"),
        (UpstreamTimeout("Late."), 504, "timeout_error"),
    ],
)
def test_anthropic_s_clients_are_told_the_status_and_the_type_that_they_know(
    error: XRouterError, status: int, kind: str
) -> None:
    assert anthropic(error, "req_1") == (
        status,
        [*error.headers()],
        {"type": "error", "error": {"type": kind, "message": error.message}, "request_id": "req_1"},
    )


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Must be positive.", "max_tokens: Must be positive."),
        ("Invalid value for 'max_tokens': no.", "Invalid value for 'max_tokens': no."),
    ],
)
def test_a_message_for_anthropic_s_clients_names_the_parameter(message: str, told: str) -> None:
    _, _, body = anthropic(InvalidRequest(message, param="max_tokens"), "req_1")
    assert body["error"]["message"] == told


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Shorten it.", "prompt is too long: Shorten it."),
        (
            "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (8000 in all).",
            "prompt is too long: 9000 tokens > 8192 maximum",
        ),
    ],
)
def test_claude_code_reads_that_a_conversation_is_too_long(message: str, told: str) -> None:
    error = InvalidRequest(message, code="context_length_exceeded", param="messages")
    assert anthropic(error, "req_1")[2]["error"]["message"] == told
    assert openai(error, "req_1")[2]["error"]["message"] == message


@pytest.mark.parametrize(
    "app",
    [
        APIKeyMiddleware(PlainTextResponse("let in"), store=StaticKeys({})),
        RateLimitMiddleware(PlainTextResponse("let in"), limit="1/day"),
        LLMRouter({}, commit_after=None),
    ],
)
async def test_whoever_sends_anthropic_version_is_told_errors_in_its_envelope(app: ASGIApp) -> None:
    for _ in range(2):  # the limit lets the first one in
        scope = http_scope("GET", "/nowhere", headers=[(b"anthropic-version", b"2023-06-01")])
        answer = await Exchange(app, scope).run()
    assert answer.json["type"] == "error"
    assert answer.json["request_id"] == answer.header("request-id") == answer.header("x-request-id")
