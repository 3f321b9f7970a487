"""How a host says no, and what the log is told of a function that does not do what it should."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import fastapi
import litestar.exceptions
import pytest
import starlette.exceptions
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.asgi_client import get, post
from xrouter_asgi import (
    APIKey,
    APIKeyMiddleware,
    LLMRouter,
    Principal,
    RateLimitMiddleware,
    XRouterError,
)
from xrouter_asgi.asgi.hooks import host_refusal
from xrouter_asgi.keys import new_secret
from xrouter_asgi.testing.scripted import ScriptedProvider, chat

SECRET = new_secret()
BEARER = [(b"authorization", b"Bearer " + SECRET.encode())]
ANTHROPIC = [(b"anthropic-version", b"2023-06-01"), *BEARER]


async def inside(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("inside")(scope, receive, send)


def identified(hook: Callable[[], Any]) -> ASGIApp:
    return APIKeyMiddleware(inside, identify=lambda scope: hook())


def identified_later(hook: Callable[[], Any]) -> ASGIApp:
    async def identify(scope: Scope) -> Principal | None:
        principal: Principal | None = hook()
        return principal

    return APIKeyMiddleware(inside, identify=identify)


def found(hook: Callable[[], Any]) -> ASGIApp:
    async def find(digest: bytes) -> APIKey | None:
        key: APIKey | None = hook()
        return key

    return APIKeyMiddleware(inside, store=find)


def limited(hook: Callable[[], Any]) -> ASGIApp:
    return RateLimitMiddleware(inside, limit="9/minute", key=lambda scope: hook())


HOOKS = [identified, identified_later, found, limited]
Make = Callable[[Callable[[], Any]], ASGIApp]

REFUSALS: Mapping[str, Exception] = {
    "starlette": starlette.exceptions.HTTPException(402, "Pay first.", {"X-Plan": "free", "Content-Length": "3"}),
    "fastapi": fastapi.HTTPException(402, "Pay first.", {"X-Plan": "free"}),
    "litestar": litestar.exceptions.HTTPException(status_code=402, detail="Pay first.", headers={"X-Plan": "free"}),
}


def raising(error: Exception) -> Callable[[], Any]:
    def hook() -> None:
        raise error

    return hook


@pytest.mark.parametrize("host", REFUSALS)
@pytest.mark.parametrize("make", HOOKS)
async def test_a_refusal_of_the_host_keeps_its_status_and_headers_and_is_no_defect(
    make: Make, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await get(make(raising(REFUSALS[host])), "/", headers=BEARER)
    assert (answer.status, answer.header("x-plan")) == (402, "free")
    assert answer.error == {"message": "Pay first.", "type": "invalid_request_error", "param": None, "code": None}
    assert caplog.text == ""


@pytest.mark.parametrize("make", HOOKS)
async def test_a_client_is_told_it_in_its_own_dialect(make: Make) -> None:
    answer = await get(make(raising(REFUSALS["fastapi"])), "/", headers=ANTHROPIC)
    assert (answer.status, answer.json["error"]) == (402, {"type": "billing_error", "message": "Pay first."})


async def test_the_challenge_of_the_host_goes_before_ours() -> None:
    headers = {"WWW-Authenticate": 'Basic realm="site"'}
    refused = fastapi.HTTPException(401, "Who are you?", headers)

    def on_error(scope: Scope, error: XRouterError) -> ASGIApp:
        return PlainTextResponse(error.message, error.status)

    for options in ({}, {"on_error": on_error}):
        app = APIKeyMiddleware(inside, identify=lambda scope: raising(refused)(), **options)  # type: ignore[arg-type]
        answer = await get(app, "/")
        assert (answer.status, answer.header("www-authenticate")) == (401, 'Basic realm="site"')
    answer = await get(identified(raising(fastapi.HTTPException(401))), "/")
    assert answer.header("www-authenticate") == 'Bearer realm="xrouter"'
    assert answer.error["message"] == "Unauthorized"


@pytest.mark.parametrize(
    ("detail", "message"),
    [
        ({"reason": "тариф", "left": 0}, '{"reason": "тариф", "left": 0}'),
        (["a"], '["a"]'),
        ({"at": Exception}, '{"at": "<class \'Exception\'>"}'),
        (None, "Too Many Requests"),
        ("", "Too Many Requests"),
    ],
)
async def test_a_detail_that_is_no_text_is_told_as_json(detail: Any, message: str) -> None:
    answer = await get(identified(raising(fastapi.HTTPException(429, detail))), "/")
    assert (answer.error["message"], answer.error["type"]) == (message, "requests")


async def test_a_status_without_a_name_has_words_of_ours() -> None:
    answer = await get(identified(raising(fastapi.HTTPException(599, ""))), "/")
    assert (answer.status, answer.error["message"]) == (599, "The request was refused.")


@pytest.mark.parametrize("status", [200, 204, 304, 600])
async def test_a_status_that_refuses_nothing_lets_nobody_in(status: int, caplog: pytest.LogCaptureFixture) -> None:
    answer = await get(identified(raising(starlette.exceptions.HTTPException(status, "?"))), "/")
    assert answer.status == 500
    assert "The caller could not be identified" in caplog.text


def test_an_exception_of_another_kind_is_no_refusal() -> None:
    class Half(Exception):
        status_code = 401

    assert [host_refusal(error) for error in (Half(), KeyError("status_code"))] == [None, None]


async def test_a_find_function_that_says_no_is_no_store_that_is_away() -> None:
    answers: list[Any] = [fastapi.HTTPException(403, "Your team is closed."), APIKey("key_1")]

    def hook() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    app = found(hook)
    assert [(await get(app, "/", headers=BEARER)).status for _ in range(3)] == [403, 200, 200]


async def test_wrong_keys_that_the_host_refuses_are_slowed_down_too() -> None:
    app = found(raising(fastapi.HTTPException(401, "Unknown.")))
    statuses = []
    for _ in range(7):
        headers = [(b"authorization", b"Bearer " + b"guess" * 5 + new_secret()[-10:].encode())]
        statuses.append((await get(app, "/", headers=headers)).status)
    assert statuses[-1] == 429


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (identified, "TypeError: 'identify' must return a Principal or None, and returned a str."),
        (identified_later, "TypeError: 'identify' must return a Principal or None, and returned a str."),
        (limited, None),
    ],
)
async def test_a_wrong_type_is_told_in_one_line_where_it_is_made(
    make: Make, told: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await get(make(lambda: "sk-secret"), "/")
    assert answer.status == (200 if told is None else 500)
    assert [record.getMessage() for record in caplog.records] == ([] if told is None else [told])
    assert "Traceback" not in caplog.text
    assert "sk-secret" not in caplog.text


async def test_a_key_of_a_limit_must_be_a_text(caplog: pytest.LogCaptureFixture) -> None:
    answer = await get(limited(lambda: 7), "/")
    assert (answer.status, answer.error["type"]) == (500, "server_error")
    assert caplog.messages == ["TypeError: 'key' must return a text or None, and returned a int."]


async def test_a_key_that_cannot_be_found_out_lets_nobody_in_uncounted(caplog: pytest.LogCaptureFixture) -> None:
    assert (await get(limited(raising(KeyError("tenant"))), "/")).status == 500
    assert "The function 'key' of RateLimitMiddleware failed" in caplog.text
    assert (await get(limited(raising(XRouterError("No tenant.", status=403))), "/")).status == 403


async def test_a_function_that_should_not_be_async_is_told_so(caplog: pytest.LogCaptureFixture) -> None:
    async def key() -> str:
        return "tenant"

    assert (await get(limited(key), "/")).status == 500
    assert "write 'def', not 'async def'" in caplog.text


async def test_a_store_that_is_a_function_and_returns_no_key_admits_nobody(caplog: pytest.LogCaptureFixture) -> None:
    answer = await get(found(lambda: "key_1"), "/", headers=BEARER)
    assert (answer.status, answer.error["code"]) == (503, "store_unavailable")
    assert "must return an APIKey or None, and returned a str" in caplog.text


def _fails(scope: Scope, error: XRouterError) -> ASGIApp:
    raise KeyError("template")


def _returns_no_app(scope: Scope, error: XRouterError) -> Any:
    return {"error": error.message}


async def _is_async(scope: Scope, error: XRouterError) -> ASGIApp:
    return PlainTextResponse("no")


@pytest.mark.parametrize(
    ("on_error", "told"),
    [(_fails, "'on_error' failed"), (_returns_no_app, "returned a dict"), (_is_async, "not 'async def'")],
)
async def test_a_refusal_that_the_host_cannot_render_is_still_one(
    on_error: Any, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await get(APIKeyMiddleware(inside, identify=lambda scope: None, on_error=on_error), "/")
    assert (answer.status, answer.error["code"]) == (401, None)
    assert told in caplog.text


async def test_a_body_that_the_host_finds_too_large_is_a_413_in_the_envelope(caplog: pytest.LogCaptureFixture) -> None:
    """Its `receive` raises an HTTPException where the router reads."""
    provider = ScriptedProvider()
    router = LLMRouter({"scripted": provider})

    async def measured(scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_or_refuse() -> Any:
            raise starlette.exceptions.HTTPException(413, "Content Too Large")

        await router(scope, receive_or_refuse, send)

    async with router.lifespan():
        answer = await post(measured, "/v1/chat/completions", chat())
    assert (answer.status, answer.error["message"]) == (413, "Content Too Large")
    assert (provider.calls, caplog.text) == ([], "")
