from __future__ import annotations

from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from tests.asgi_client import Exchange, http_scope
from xrouter_asgi import APIKeyMiddleware, RateLimitMiddleware, StaticKeys
from xrouter_asgi.context import RequestContext
from xrouter_asgi.envelopes import openai
from xrouter_asgi.errors import InvalidRequest, RateLimitExceeded, XRouterError


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
