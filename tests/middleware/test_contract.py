"""What options of one name mean, which is the same in every middleware that has them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import xrouter_asgi
from tests.asgi_client import Answer, Exchange, http_scope
from xrouter_asgi import (
    AdmissionMiddleware,
    APIKeyMiddleware,
    MemoryLimits,
    RateLimitMiddleware,
    RequestContext,
    RequestEventsMiddleware,
    StaticKeys,
    XRouterError,
)
from xrouter_asgi.admission import MemoryGate
from xrouter_asgi.testing.clock import Clock

NO_KEYS = StaticKeys({})


def guarded(app: ASGIApp, **options: Any) -> ASGIApp:
    return APIKeyMiddleware(app, store=NO_KEYS, **options)


def limited(app: ASGIApp, **options: Any) -> ASGIApp:
    """Admits one request."""
    return RateLimitMiddleware(app, limit="1/minute", store=MemoryLimits(clock=Clock(0.0)), **options)


def watched(app: ASGIApp, **options: Any) -> ASGIApp:
    return RequestEventsMiddleware(app, observers=[], **options)


def full(app: ASGIApp, **options: Any) -> ASGIApp:
    """Has no memory left."""
    return AdmissionMiddleware(app, memory=MemoryGate(1), **options)


EXCLUDING = [guarded, limited, watched, full]
REFUSING = [guarded, limited, full]
Make = Callable[..., ASGIApp]


@pytest.mark.parametrize(("option", "cases"), [("exclude_paths", EXCLUDING), ("on_error", REFUSING)])
def test_every_middleware_with_the_option_is_in_this_contract(option: str, cases: list[Make]) -> None:
    every = [getattr(xrouter_asgi, name) for name in xrouter_asgi.__all__ if name.endswith("Middleware")]
    having = {each for each in every if option in inspect.signature(each).parameters}
    assert {type(make(hello)) for make in cases} == having


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("hello")(scope, receive, send)


# exclude_paths


async def is_left_alone(make: Make, scope: Scope, **options: Any) -> bool:
    """Whether the application gets the very scope and functions that the middleware got, and nothing was added."""
    inside: list[object] = []
    before = dict(scope)

    async def app(*given: Any) -> None:
        inside.extend(given)

    async def receive() -> Message:
        raise AssertionError("Nobody reads this request.")

    async def send(message: Message) -> None:
        """Takes refusals."""

    await make(app, **options)(scope, receive, send)
    return scope == before and [id(each) for each in inside] == [id(scope), id(receive), id(send)]


@pytest.mark.parametrize("make", EXCLUDING)
@pytest.mark.parametrize(
    ("path", "excluded"),
    [
        ("/health", True),
        ("/health/", True),
        ("/docs/a", True),
        ("/docs/a/b", True),
        ("/docs", False),
        ("/docs/", False),
        ("/docs/..", False),
        ("/docs/../secret", False),
        ("/docs/a\\..\\..\\secret", False),
        ("/docs//secret", False),
        ("/docsx", False),
        ("/Health", False),
        ("/healthy", False),
        ("/health/x", False),
        ("/health\x00", False),
        ("/x/health", False),
        ("//health", False),
        ("/", False),
    ],
)
async def test_excluded_paths_are_exact_or_below_a_path(make: Make, path: str, excluded: bool) -> None:
    scope = http_scope("GET", path)
    assert await is_left_alone(make, scope, exclude_paths=["/health", "/docs/*"]) is excluded


@pytest.mark.parametrize("make", EXCLUDING)
@pytest.mark.parametrize(
    ("path", "excluded"), [("/a/b/health", True), ("/health", True), ("/a/bhealth", False), ("/a/b/a/b/health", False)]
)
async def test_excluded_paths_are_those_below_the_mount(make: Make, path: str, excluded: bool) -> None:
    scope = http_scope("GET", path, root_path="/a/b")
    assert await is_left_alone(make, scope, exclude_paths=["/health"]) is excluded


@pytest.mark.parametrize("make", EXCLUDING)
async def test_one_text_is_one_excluded_path(make: Make) -> None:
    assert await is_left_alone(make, http_scope("GET", "/health"), exclude_paths="/health")
    assert not await is_left_alone(make, http_scope("GET", "/"), exclude_paths="/health")


@pytest.mark.parametrize("make", EXCLUDING)
async def test_no_path_is_excluded_unless_asked_for(make: Make) -> None:
    for path in ("/health", "/ready", "/openapi.json", "/"):
        assert not await is_left_alone(make, http_scope("GET", path)), path


@pytest.mark.parametrize("make", [guarded, watched, limited])
async def test_a_websocket_on_an_excluded_path_is_left_alone(make: Make) -> None:
    for path, excluded in (("/feed", True), ("/other", False)):
        scope = {**http_scope("GET", path), "type": "websocket"}
        assert await is_left_alone(make, scope, exclude_paths=["/feed"]) is excluded


@pytest.mark.parametrize("make", EXCLUDING)
@pytest.mark.parametrize("path", ["health", "", "*", "/*", "/a*", "/*/b", "/a/**", "/a/", "/a//*"])
def test_a_path_of_another_form_cannot_be_excluded(make: Make, path: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be excluded\. Write it as '/health' or '/docs/\*'"):
        make(hello, exclude_paths=[path])


# on_error

OWN_HEADER: dict[Make, tuple[str, str]] = {
    guarded: ("www-authenticate", 'Bearer realm="xrouter"'),
    limited: ("retry-after", "61"),
    full: ("retry-after", "5"),
}
STATUS: dict[Make, int] = {guarded: 401, limited: 429, full: 503}


async def refusal(make: Make, **options: Any) -> Answer:
    """The answer to a request without a key, or to one too many; the error is noted in its context, too."""
    app = make(hello, **options)
    await Exchange(app, http_scope("GET", "/page")).run()
    scope = http_scope("GET", "/page")
    context = RequestContext.of(scope)
    answer = await Exchange(app, scope).run()
    assert context.error is not None
    assert context.error.status == STATUS[make]
    assert answer.header("x-request-id") == context.request_id
    return answer


@pytest.mark.parametrize("make", REFUSING)
async def test_a_refusal_is_our_envelope_unless_the_host_has_its_own(make: Make) -> None:
    answer = await refusal(make)
    name, value = OWN_HEADER[make]
    assert (answer.status, answer.header(name)) == (STATUS[make], value)
    assert answer.error["message"]


@pytest.mark.parametrize("make", REFUSING)
async def test_the_host_renders_a_refusal_and_the_headers_of_the_error_go_with_it(make: Make) -> None:
    def on_error(scope: Scope, error: XRouterError) -> PlainTextResponse:
        return PlainTextResponse(f"{error.status} for {scope['path']}", 418)

    answer = await refusal(make, on_error=on_error)
    name, value = OWN_HEADER[make]
    assert (answer.status, answer.body) == (418, f"{STATUS[make]} for /page".encode())
    assert (answer.header("content-type"), answer.header(name)) == ("text/plain; charset=utf-8", value)


@pytest.mark.parametrize("make", REFUSING)
async def test_a_header_of_the_host_goes_before_one_of_the_error(make: Make) -> None:
    name, _ = OWN_HEADER[make]

    def on_error(scope: Scope, error: XRouterError) -> PlainTextResponse:
        return PlainTextResponse("no", headers={name.title(): "host"})

    assert (await refusal(make, on_error=on_error)).header(name) == "host"


@pytest.mark.parametrize("make", REFUSING)
async def test_the_host_may_send_a_head_without_headers(make: Make) -> None:
    async def bare(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 400})
        await send({"type": "http.response.body"})

    name, value = OWN_HEADER[make]
    assert (await refusal(make, on_error=lambda scope, error: bare)).header(name) == value
