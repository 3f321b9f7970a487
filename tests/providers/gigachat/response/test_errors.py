"""Every refusal and failure of GigaChat's that is known, and what any other becomes."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from xrouter_asgi.errors import (
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
from xrouter_asgi.providers.gigachat.response.errors import ModelUnavailable, event_error, upstream_error
from xrouter_asgi.providers.http import ErrorReader, Redaction

BAD_GATEWAY = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    b"<hr><center>SynGX</center>\r\n</body>\r\n</html>\r\n"
)
STOP_EVENT = "The model is temporarily unavailable due to technical reasons"


def error_of(status: int, body: bytes | str, **headers: str) -> XRouterError:
    """The error for a body, or for GigaChat's envelope with these words."""
    if isinstance(body, str):
        body = json.dumps({"status": status, "message": body}).encode() + b"\n"
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return upstream_error(status, httpx.Headers(fields), body, model="gpt-4o", errors=ErrorReader(Redaction()))


ROWS: list[tuple[int, bytes | str, type[XRouterError], int, str, str | None, str | None]] = [
    # status, body, class, our status, type, code, param
    (400, "Your request contains invalid JSON syntax.", RequestRejected, 400, "invalid_request_error", None, None),
    (
        400,
        'Unknown type "json_object" in response_format',
        RequestRejected,
        400,
        "invalid_request_error",
        None,
        "response_format",
    ),
    (
        400,
        "Empty schema with json format type is not supported",
        RequestRejected,
        400,
        "invalid_request_error",
        None,
        "response_format",
    ),
    (401, "Unauthorized", UpstreamUnauthorized, 502, "server_error", "upstream_auth_failed", None),
    (401, "Token has expired", UpstreamUnauthorized, 502, "server_error", "upstream_auth_failed", None),
    (402, "Payment Required", UpstreamQuotaExceeded, 429, "insufficient_quota", "insufficient_quota", None),
    (403, "Permission denied", UpstreamForbidden, 403, "invalid_request_error", "permission_denied", None),
    (
        403,
        "Access to file '0123' is denied",
        UpstreamForbidden,
        403,
        "invalid_request_error",
        "permission_denied",
        None,
    ),
    (403, BAD_GATEWAY, UpstreamForbidden, 502, "server_error", "upstream_forbidden", None),
    (403, STOP_EVENT, ModelUnavailable, 503, "service_unavailable_error", "model_unavailable", None),
    (423, STOP_EVENT, ModelUnavailable, 503, "service_unavailable_error", "model_unavailable", None),
    (423, b"", ModelUnavailable, 503, "service_unavailable_error", "model_unavailable", None),
    (404, "No such model", ModelNotFound, 404, "invalid_request_error", "model_not_found", "model"),
    (404, "Unknown tool X", RequestRejected, 404, "invalid_request_error", None, None),
    (404, BAD_GATEWAY, UpstreamError, 502, "server_error", "upstream_not_found", None),
    (404, b"", UpstreamError, 502, "server_error", "upstream_not_found", None),
    (408, b"", UpstreamTimeout, 504, "server_error", "upstream_timeout", None),
    (
        413,
        "Payload too large",
        RequestRejected,
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "messages",
    ),
    (
        422,
        "Invalid params: prompt is too long",
        RequestRejected,
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "messages",
    ),
    (418, "I'm a teapot", UpstreamUnavailable, 502, "server_error", "upstream_error", None),
    (429, "Too many requests", UpstreamRateLimited, 429, "requests", "rate_limit_exceeded", None),
    (500, "Internal Server Error", UpstreamUnavailable, 502, "server_error", "upstream_error", None),
    (502, BAD_GATEWAY, UpstreamUnavailable, 502, "server_error", "upstream_error", None),
    (503, b"", UpstreamUnavailable, 503, "service_unavailable_error", "upstream_unavailable", None),
    (504, BAD_GATEWAY, UpstreamTimeout, 504, "server_error", "upstream_timeout", None),
    (302, b"", UpstreamError, 502, "server_error", "upstream_error", None),
]


@pytest.mark.parametrize(("status", "body", "kind", "ours", "type_", "code", "param"), ROWS)
def test_each_status_has_its_error(
    status: int, body: bytes | str, kind: type[XRouterError], ours: int, type_: str, code: str | None, param: str | None
) -> None:
    error = error_of(status, body)
    assert type(error) is kind
    assert (error.status, error.type, error.code, error.param) == (ours, type_, code, param)


@pytest.mark.parametrize(
    ("words", "param"),
    [
        ("Invalid params: system message must be the first message", "messages"),
        ("Invalid params: every assistant function call must have a result in history", "messages"),
        (
            "Invalid params: every assistant function result must have an assistant function call in history",
            "messages",
        ),
        (
            "Invalid params: invalid function result json string `x`, error: JSON parse error at line 1 column 1",
            "messages",
        ),
        ("Invalid params: Invalid function names. Only Latin letters are allowed.: [X]", "tools"),
        ("Field 'properties.data.properties' is missing", "tools"),
        ("Requested model does not support functions", "tools"),
        ("Tool code_interpreter is unavailable", "tools"),
        ("Invalid params: repetition_penalty must be in range (0, +inf)", "repetition_penalty"),
        ("Invalid params: reasoning_effort is not supported", "reasoning_effort"),
        ("Invalid params: temperature must be above 0", "temperature"),
        ("Invalid params: top_p must be in range [0, 1]", "top_p"),
        ("Invalid params: max_tokens is too large", "max_tokens"),
        ("Invalid response_format", "response_format"),
        ("Unprocessable Entity", None),
    ],
)
def test_a_refused_request_keeps_the_words_and_names_the_parameter(words: str, param: str | None) -> None:
    error = error_of(422, words)
    assert isinstance(error, RequestRejected)
    assert (error.status, error.code, error.param) == (400, "upstream_validation_failed", param)
    assert error.message.startswith(f"GigaChat: {words.rstrip('.')}")


def test_an_unknown_model_is_told_with_its_name_and_where_models_are_served() -> None:
    message = error_of(404, "No such model").message
    assert message.startswith("GigaChat: No such model. The model `gpt-4o` does not exist")
    assert "api.giga.chat" in message
    assert "gigachat.devices.sberbank.ru" in message
    assert "://" not in message


def test_the_gateways_credentials_are_no_business_of_the_client() -> None:
    error = error_of(401, "Token has expired")
    assert "Token" not in error.message
    assert "Token has expired" in (error.detail or "")


@pytest.mark.parametrize(("status", "body"), [(401, "x"), (402, "x"), (403, "x"), (403, BAD_GATEWAY)])
def test_what_another_try_cannot_change_says_so(status: int, body: bytes | str) -> None:
    error = error_of(status, body)
    assert error.should_retry is False
    assert not error.retryable


@pytest.mark.parametrize(
    ("status", "body", "retryable", "trips", "falls_back"),
    [
        (400, "x", False, False, False),
        (402, "x", False, False, True),
        (403, "x", False, False, True),
        (423, "x", False, True, True),
        (429, "x", True, False, True),
        (500, "x", True, True, True),
        (503, "x", True, True, True),
        (504, "x", True, True, True),
    ],
)
def test_each_error_says_what_may_follow(
    status: int, body: str, retryable: bool, trips: bool, falls_back: bool
) -> None:
    error = error_of(status, body)
    assert (error.retryable, error.trips, error.falls_back) == (retryable, trips, falls_back)


@pytest.mark.parametrize(
    ("value", "wait"), [("7", 7.0), ("0", 1.0), ("-5", 1.0), ("9999", 60.0), ("9999999", 1.0), ("soon", 1.0)]
)
def test_a_rate_limit_says_when_to_come_back(value: str, wait: float) -> None:
    error = error_of(429, "Too many requests", retry_after=value)
    assert error.retry_after == wait
    assert error.message == f"GigaChat: Too many requests. Please try again in {wait:g}s."


def test_an_overloaded_gigachat_says_when_to_come_back_if_it_knows() -> None:
    assert error_of(503, b"", retry_after="5").retry_after == 5
    assert error_of(503, b"").retry_after is None


def test_a_page_is_never_shown_but_its_title_is_logged() -> None:
    error = error_of(502, BAD_GATEWAY)
    assert error.message == "GigaChat: it failed with status 502."
    assert error.detail == "GigaChat answered 502 with a page titled '502 Bad Gateway'."


def test_a_failure_is_told_with_the_ids_that_gigachats_support_asks_for() -> None:
    error = error_of(500, "Internal Server Error", x_request_id="r-1", x_session_id="s-1")
    assert error.upstream_ids == [("x-gigachat-request-id", "r-1"), ("x-gigachat-session-id", "s-1")]
    assert error.detail == "GigaChat answered 500 with 'Internal Server Error'. Its ids: r-1, s-1."


def test_an_id_that_no_header_may_hold_is_left_out() -> None:
    error = error_of(500, "Internal Server Error", x_request_id="<r 1>")
    assert (error.upstream_ids, error.detail) == ([], "GigaChat answered 500 with 'Internal Server Error'.")


@pytest.mark.parametrize("body", [b"", b"[1]", b"\xff\xfe", BAD_GATEWAY, b'{"status":1,"message":{"a":1}}'])
def test_any_answer_becomes_an_error_of_the_family(body: bytes) -> None:
    for status in range(300, 600):
        error = error_of(status, body)
        assert isinstance(error, XRouterError)
        assert error.status >= 400
        assert error.status != 401
        assert error.message.startswith("GigaChat: ")
        assert len(error.message.encode()) <= 1024


@pytest.mark.parametrize("status", [400, 402, 404, 413, 422, 429, 500])
def test_no_message_is_longer_than_a_kibibyte(status: int) -> None:
    assert len(error_of(status, "No such model " + "ы" * 5000).message.encode()) <= 1024


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"status": 429, "message": "Too many requests"}, 429),
        ({"status_code": 500, "message": "x"}, 502),
        ({"code": 404, "message": "No such model"}, 404),
        ({"error": {"code": 402, "message": "x"}}, 429),
        ({"error": "x"}, 502),
        ({"message": "x", "code": 7}, 502),
        ({"message": "x", "status": "429"}, 429),
    ],
)
def test_an_event_without_choices_is_an_error_by_its_number(event: dict[str, Any], status: int) -> None:
    error = event_error(event, model="m", errors=ErrorReader(Redaction()))
    assert error is not None
    assert error.status == status


@pytest.mark.parametrize("event", [{}, {"usage": {}}, {"choices": [{}], "message": "x"}, {"choices": [], "model": "m"}])
def test_other_events_are_no_errors(event: dict[str, Any]) -> None:
    assert event_error(event, model="m", errors=ErrorReader(Redaction())) is None


def test_a_message_is_prefixed_and_ended() -> None:
    assert error_of(422, "No such thing").message == "GigaChat: No such thing."
    assert error_of(422, "Really?").message == "GigaChat: Really?"
    assert error_of(500, b"").message == "GigaChat: it failed with status 500."


def test_the_detail_tells_words_pages_and_nothing_apart() -> None:
    assert error_of(422, "x").detail == "GigaChat answered 422 with 'x'."
    assert error_of(502, BAD_GATEWAY).detail == "GigaChat answered 502 with a page titled '502 Bad Gateway'."
    assert error_of(503, b"").detail == "GigaChat answered 503 with no words."
