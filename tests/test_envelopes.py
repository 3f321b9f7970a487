from __future__ import annotations

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
