"""What Anthropic says when it refuses or fails, and what clients are told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from xrouter_asgi.errors import (
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
from xrouter_asgi.providers import ErrorRule
from xrouter_asgi.providers.anthropic.errors import refusal
from xrouter_asgi.providers.http import ErrorReader, Redaction
from xrouter_asgi.testing.anthropic.faults import error


def refused(status: int | None, body: Any, *rules: ErrorRule, **headers: str) -> XRouterError:
    errors = ErrorReader(Redaction(["sk-ant-secret-key"]), rules)
    said = errors.read(body if isinstance(body, bytes) else json.dumps(body).encode())
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return refusal(status, said, model="claude-x", errors=errors, headers=fields)


@pytest.mark.parametrize(
    ("status", "kind", "text", "wanted", "told"),
    [
        (400, "invalid_request_error", "messages: bad", RequestRejected, 400),
        (400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", RequestRejected, 400),
        (400, "invalid_request_error", "Your credit balance is too low to access", UpstreamQuotaExceeded, 429),
        (401, "authentication_error", "invalid x-api-key", UpstreamUnauthorized, 502),
        (402, "billing_error", "Your account has no credits.", UpstreamQuotaExceeded, 429),
        (403, "permission_error", "Not for you.", UpstreamForbidden, 502),
        (404, "not_found_error", "model: claude-x", ModelNotFound, 404),
        (404, "not_found_error", "model: claude-old", ModelNotFound, 404),
        (404, "not_found_error", "Not Found", UpstreamError, 502),
        (408, "timeout_error", "Slow.", UpstreamUnavailable, 502),
        (409, "conflict_error", "Again.", UpstreamUnavailable, 502),
        (413, "request_too_large", "Request exceeds the maximum size", RequestRejected, 413),
        (418, "teapot", "I am one.", UpstreamUnavailable, 502),
        (429, "rate_limit_error", "Too fast.", UpstreamRateLimited, 429),
        (500, "api_error", "Internal server error", UpstreamUnavailable, 502),
        (503, "api_error", "Down.", UpstreamUnavailable, 503),
        (504, "timeout_error", "Slow.", UpstreamTimeout, 504),
        (529, "overloaded_error", "Overloaded", UpstreamOverloaded, 503),
    ],
)
def test_every_status_is_an_error_of_ours_and_so_is_its_event(
    status: int, kind: str, text: str, wanted: type[XRouterError], told: int
) -> None:
    found = refused(status, error(kind, text))
    assert (type(found), found.status) == (wanted, told)
    if kind != "teapot" and status not in (408, 503) and "credit balance" not in text:
        event = refused(None, error(kind, text))
        assert (type(event), event.status) == (wanted, told)


def test_an_overloaded_upstream_may_be_asked_again_and_trips() -> None:
    found = refused(529, error("overloaded_error", "Overloaded"), retry_after="7")
    assert (found.retryable, found.trips, found.retry_after, found.message) == (True, True, 7, "Overloaded")


def test_a_prompt_that_is_too_long_has_the_code_that_clients_know() -> None:
    found = refused(400, error("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"))
    assert (found.code, found.param) == ("context_length_exceeded", "messages")


def test_the_id_of_the_request_is_told_and_logged() -> None:
    found = refused(500, error("api_error", "Oh."), request_id="req_1")
    assert list(found.upstream_ids) == [("x-anthropic-request-id", "req_1")]
    assert found.detail == "status 500: api_error: Oh. Its id: req_1."
    assert list(refused(500, error("api_error", "Oh."), request_id="no good").upstream_ids) == []


@pytest.mark.parametrize(("said", "wanted"), [("true", True), ("false", False), ("maybe", None)])
def test_whether_to_retry_is_passed_on(said: str, wanted: bool | None) -> None:
    assert refused(500, error("api_error", "Oh."), x_should_retry=said).should_retry is wanted
    assert refused(401, error("authentication_error", "Oh."), x_should_retry="true").should_retry is False


def test_a_model_that_is_gone_is_named() -> None:
    assert refused(404, error("not_found_error", "model: old")).message == (
        "The upstream says about the model `claude-x`: model: old"
    )


@pytest.mark.parametrize(
    ("status", "wanted", "retryable"), [(404, UpstreamError, False), (502, UpstreamUnavailable, True)]
)
def test_a_web_page_is_no_answer_of_the_api(status: int, wanted: type[XRouterError], retryable: bool) -> None:
    found = refused(status, b"<html><title>No</title></html>")
    assert (type(found), found.code, found.retryable) == (wanted, "bad_body", retryable)


def test_what_says_nothing_is_told_in_our_words() -> None:
    for status in (400, 402, 403, 404, 413, 429, 500, 529):
        assert refused(status, b"").message
    found = refused(400, error("invalid_request_error", "The key sk-ant-secret-key is bad."))
    assert "secret" not in found.message


def test_a_rule_of_the_operators_comes_first() -> None:
    rule = ErrorRule("caller", status=404)
    found = refused(404, error("not_found_error", "Nothing."), rule)
    assert (type(found), found.status) == (RequestRejected, 400)
