"""A client of an app in the same process: for OpenAI's and Anthropic's SDKs, and by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from tests.asgi_client import Exchange, get, http_scope
from tests.mounting.test_servers import SERVERS
from xrouter_asgi import (
    APIKey,
    APIKeyMiddleware,
    EchoProvider,
    LLMRouter,
    Principal,
    RateLimitMiddleware,
    RequestEventsMiddleware,
    StaticKeys,
    in_process,
)
from xrouter_asgi.events import RequestEnded
from xrouter_asgi.hosting import client as hosting_client
from xrouter_asgi.hosting import exchange as hosting_exchange
from xrouter_asgi.keys import new_secret
from xrouter_asgi.testing.scripted import ScriptedProvider, chat, chunk

CHAT = "/v1/chat/completions"
ANN = Principal("ann", limits=("2/minute",))
SECRET = new_secret()
HI: Any = [{"role": "user", "content": "hi there"}]


def gateway(router: LLMRouter, heard: list[RequestEnded] | None = None) -> RequestEventsMiddleware:
    """Limits, keys and log around a router, as a service has them."""

    def hear(event: object) -> None:
        if isinstance(event, RequestEnded) and heard is not None:
            heard.append(event)

    keys = StaticKeys({SECRET: APIKey("key_1")})
    limited = RateLimitMiddleware(router, limit="100/minute")
    return RequestEventsMiddleware(APIKeyMiddleware(limited, store=keys), observers=[hear])


# With the SDKs


async def test_openai_s_client_goes_through_all_that_stands_around_the_router() -> None:
    heard: list[RequestEnded] = []
    app = gateway(LLMRouter({"echo": EchoProvider()}), heard)
    for http_client in (in_process(app, principal=ANN), in_process(app, principal=ANN, client=httpx2.AsyncClient)):
        accepted: Any = http_client  # OpenAI's client is typed with httpx2, and takes both
        async with openai.AsyncOpenAI(api_key="none", http_client=accepted, max_retries=0) as client:
            if len(heard) < 2:
                answer = await client.chat.completions.create(model="echo", messages=HI)
                assert answer.choices[0].message.content == "hi there"
                stream = await client.chat.completions.create(model="echo", messages=HI, stream=True)
                text = [chunk.choices[0].delta.content or "" async for chunk in stream]
                assert len(text) > 2
                assert "".join(text) == "hi there"
            with pytest.raises(openai.RateLimitError, match="Limit of 2 per 1 minute reached"):
                await client.chat.completions.create(model="echo", messages=HI)
    assert [event.status for event in heard] == [200, 200, 429, 429]
    assert {event.context.caller for event in heard} == {"ann"}
    assert all(event.complete for event in heard)


async def test_anthropic_s_client_takes_one_of_httpx2() -> None:
    http_client = in_process(gateway(LLMRouter({"echo": EchoProvider()})), principal=ANN, client=httpx2.AsyncClient)
    async with anthropic.AsyncAnthropic(api_key="none", http_client=http_client, max_retries=0) as client:
        answer = await client.messages.create(model="echo", max_tokens=9, messages=HI)
        assert [block.text for block in answer.content if block.type == "text"] == ["hi there"]
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.create(model="unknown", max_tokens=9, messages=HI)


async def test_openai_s_client_that_leaves_a_stream_closes_the_upstream() -> None:
    provider = ScriptedProvider([chunk("one")], asyncio.Event())
    http_client: Any = in_process(LLMRouter({"scripted": provider}))
    async with openai.AsyncOpenAI(api_key="none", http_client=http_client) as client:
        stream = await client.chat.completions.create(model="scripted", messages=HI, stream=True)
        async for first in stream:
            assert first.choices[0].delta.content == "one"
            break
        await stream.close()
        assert (provider.opened, provider.closed) == (1, 1)


# Who is calling


async def test_without_a_principal_a_key_is_needed_and_a_key_is_enough() -> None:
    async with in_process(gateway(LLMRouter({"echo": EchoProvider()}))) as client:
        assert (await client.post(CHAT, json=chat("echo"))).status_code == 401
        headers = {"authorization": f"Bearer {SECRET}"}
        assert (await client.post(CHAT, json=chat("echo"), headers=headers)).status_code == 200


async def test_a_principal_needs_the_scopes_that_the_app_asks_for() -> None:
    app = APIKeyMiddleware(LLMRouter({"echo": EchoProvider()}), store=StaticKeys({}), scopes=["reports"])
    for scopes, status in ((frozenset(), 403), (frozenset({"reports", "models"}), 200)):
        async with in_process(app, principal=Principal("ann", scopes=scopes)) as client:
            assert (await client.get("/v1/models")).status_code == status


async def test_a_principal_reaches_a_router_without_any_keys() -> None:
    provider = ScriptedProvider()
    async with in_process(LLMRouter({"a-*": provider}), principal=Principal("ann", models=("a-1",))) as client:
        statuses = [(await client.post(CHAT, json=chat(model))).status_code for model in ("a-1", "a-2")]
    assert statuses == [200, 403]
    assert [call.context.caller for call in provider.calls] == ["ann"]


NETWORK = [
    {"x-principal": "ann"},
    {"principal": "ann", "xrouter": "ann"},
    {"x-xrouter-principal": '{"id": "ann"}', "x-forwarded-user": "ann", "x-remote-user": "ann"},
    {"authorization": "Bearer none"},
]


@pytest.mark.parametrize("server", SERVERS)
async def test_nothing_from_the_network_can_say_that_the_host_has_vouched_for_it(server: str) -> None:
    """What `in_process` puts into the scope is no message, header or path that a server writes there."""
    seen: list[Scope] = []
    guarded = gateway(LLMRouter({"echo": EchoProvider()}))

    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await guarded(scope, receive, send)

    async with SERVERS[server](noted) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        for headers in NETWORK:
            for path in ("/v1/models", "/v1/models?xrouter=1&vouched=true&principal=ann", "/xrouter/../v1/models"):
                assert (await client.get(path, headers=headers)).status_code == 401
    assert [scope for scope in seen if scope["type"] == "http" and "xrouter" in scope] == []


@pytest.mark.parametrize("value", ["ann", True, {"principal": "ann", "vouched": True}, ANN])
async def test_only_a_context_of_ours_vouches(value: object) -> None:
    """A middleware of others may put what it likes into the scope."""
    scope = http_scope("GET", "/v1/models", xrouter=value, vouched=value, principal=value, state={"principal": ANN})
    answer = await Exchange(gateway(LLMRouter({})), scope).run()
    assert answer.status == 401


async def test_a_principal_that_an_outer_key_gave_is_not_enough_for_an_inner_one() -> None:
    inner = APIKeyMiddleware(LLMRouter({}), store=StaticKeys({}))
    outer = APIKeyMiddleware(inner, identify=lambda scope: ANN)
    assert (await get(outer, "/v1/models")).status == 401


def test_what_cannot_be_used_is_told_where_it_is_made() -> None:
    wrong: Any = "ann"
    with pytest.raises(TypeError, match="'principal' is a str"):
        in_process(LLMRouter({}), principal=wrong)
    for client in (httpx.Client, httpx2.Client, dict, wrong):
        with pytest.raises(TypeError, match=r"Take httpx\.AsyncClient, httpx2\.AsyncClient"):
            in_process(LLMRouter({}), client=client)


# What a server would do


class Told:
    """An app that notes its scope and what it hears, and then does what it is told."""

    def __init__(self, *messages: Any, then: Exception | None = None, wait: bool = False) -> None:
        self.scope: Scope = {}
        self.heard: list[Any] = []
        self.ended = asyncio.Event()
        self.cancelled = False
        self._messages = messages
        self._then = then
        self._wait = wait

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        try:
            self.heard.append(await receive())
            while self.heard[-1].get("more_body"):
                self.heard.append(await receive())
            for message in self._messages:
                await send(message)
            if self._wait:
                await asyncio.Event().wait()
            if self._then is not None:
                raise self._then
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            self.ended.set()


START = {"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]}
PART = {"type": "http.response.body", "body": b"part", "more_body": True}
END = {"type": "http.response.body", "body": b"end"}


async def test_the_app_is_told_what_a_server_would_tell() -> None:
    app = Told(START, END)
    async with in_process(app) as client:
        answer = await client.put("/a%2Fb?q=1", content=b"body", headers={"X-Mine": "Yes"})
    assert (answer.status_code, answer.content, answer.headers["x-own"]) == (200, b"end", "1")
    scope = app.scope
    told = (scope["method"], scope["path"], scope["raw_path"], scope["query_string"], scope["root_path"])
    assert told == ("PUT", "/a/b", b"/a%2Fb", b"q=1", "")
    assert (b"x-mine", b"Yes") in scope["headers"]
    assert [name for name, _ in scope["headers"] if name != name.lower()] == []
    assert (scope["client"], scope["server"], scope["scheme"]) == (None, ("in-process", None), "http")
    assert b"".join(message["body"] for message in app.heard) == b"body"


async def test_a_body_that_comes_in_parts_is_handed_on_in_parts() -> None:
    app = Told(START, END)

    async def parts() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async with in_process(app) as client:
        await client.post("/", content=parts())
    assert [message["body"] for message in app.heard] == [b"one", b"two", b""]


async def test_the_head_is_here_before_the_body_and_parts_come_one_by_one() -> None:
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(PART)
        await go_on.wait()
        await send(END)

    async with in_process(app) as client, client.stream("GET", "/") as answer:
        parts = answer.aiter_raw()
        assert await anext(parts) == b"part"
        go_on.set()
        assert [part async for part in parts] == [b"end"]


async def test_an_app_is_not_far_ahead_of_a_client_that_reads_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosting_exchange, "AHEAD", 8)
    sent = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        for number in range(10):
            await send(PART)
            sent.append(number)
        await send(END)

    async with in_process(app) as client, client.stream("GET", "/") as answer:
        await asyncio.sleep(0)
        assert len(sent) == 2
        assert await answer.aread() == b"part" * 10 + b"end"


async def test_an_app_that_fails_is_answered_for_with_500(caplog: pytest.LogCaptureFixture) -> None:
    for app in (Told(then=LookupError("a defect")), Told()):
        async with in_process(app) as client:
            answer = await client.get("/")
        assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    assert caplog.text.count("a defect") == 1


async def test_an_answer_that_breaks_off_is_an_error_of_the_protocol(caplog: pytest.LogCaptureFixture) -> None:
    kinds: list[tuple[type[Any], type[Exception]]] = [
        (httpx.AsyncClient, httpx.RemoteProtocolError),
        (httpx2.AsyncClient, httpx2.RemoteProtocolError),
    ]
    for client_type, error in kinds:
        async with in_process(Told(START, PART, then=LookupError("a defect")), client=client_type) as client:
            with pytest.raises(error, match="ended before its answer was whole"):
                await client.get("/")
    assert caplog.text.count("a defect") == 2


async def test_an_app_that_fails_after_its_answer_has_answered(caplog: pytest.LogCaptureFixture) -> None:
    """Starlette sends its 500 and raises what led to it."""
    async with in_process(Told(START, END, then=LookupError("a defect"))) as client:
        assert (await client.get("/")).text == "end"
    assert "a defect" in caplog.text


async def test_a_time_out_of_the_request_counts_and_there_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosting_exchange, "PATIENCE", 0.01)
    for messages in ((), (START, PART)):
        app = Told(*messages, wait=True)
        async with in_process(app) as client:
            assert client.timeout == httpx.Timeout(None)
            with pytest.raises(httpx.ReadTimeout):
                await client.get("/", timeout=0.01)
            await app.ended.wait()
            assert app.cancelled


# Who leaves


async def test_a_caller_that_is_cancelled_before_the_answer_closes_the_upstream() -> None:
    never = asyncio.Event()
    provider = ScriptedProvider(never)
    async with in_process(LLMRouter({"scripted": provider})) as client:
        asking = asyncio.create_task(client.post(CHAT, json=chat()))
        await provider.reached.wait()
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        assert (provider.opened, provider.closed) == (1, 1)


async def test_a_caller_that_is_cancelled_in_a_stream_closes_the_upstream() -> None:
    provider = ScriptedProvider([chunk("one")], asyncio.Event())
    got = asyncio.Event()

    async def ask(client: httpx.AsyncClient) -> None:
        async with client.stream("POST", CHAT, json=chat(stream=True)) as answer:
            async for _ in answer.aiter_raw():
                got.set()

    async with in_process(LLMRouter({"scripted": provider})) as client:
        asking = asyncio.create_task(ask(client))
        await got.wait()
        await provider.reached.wait()
        asking.cancel()
        await asyncio.wait([asking])
        assert (provider.opened, provider.closed) == (1, 1)


async def test_a_client_that_leaves_is_in_the_log_as_from_outside() -> None:
    heard: list[RequestEnded] = []
    provider = ScriptedProvider([chunk("one")], asyncio.Event())
    app = gateway(LLMRouter({"scripted": provider}), heard)
    client = in_process(app, principal=ANN)
    async with client, client.stream("POST", CHAT, json=chat(stream=True)) as answer:
        assert b"one" in await anext(answer.aiter_raw())
    (event,) = heard
    assert (event.status, event.complete, event.context.caller) == (200, False, "ann")


async def test_an_app_that_does_not_care_who_leaves_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosting_exchange, "PATIENCE", 0.01)
    app = Told(START, PART, wait=True)
    async with in_process(app) as client:
        async with client.stream("GET", "/") as answer:
            assert await anext(answer.aiter_raw()) == b"part"
        async with asyncio.timeout(10):
            await app.ended.wait()
        assert app.cancelled


async def test_an_app_that_sends_to_a_client_that_has_left_is_told_so() -> None:
    """As the ASGI specification has it since version 2.4."""
    errors = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(PART)
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        try:
            await send(PART)
        except OSError as error:
            errors.append(error)
            raise

    async with in_process(app) as client, client.stream("GET", "/") as answer:
        assert await anext(answer.aiter_raw()) == b"part"
    assert len(errors) == 1


async def test_what_an_app_does_after_its_answer_is_not_waited_for_until_the_client_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on = asyncio.Event()
    done = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("hello")(scope, receive, send)
        await go_on.wait()
        done.append(scope["path"])

    async with in_process(app) as client:
        assert (await client.get("/a")).text == "hello"
        assert done == []
        go_on.set()
    assert done == ["/a"]
    go_on.clear()
    monkeypatch.setattr(hosting_client, "PATIENCE", 0.01)
    async with in_process(app) as client:
        assert (await client.get("/b")).text == "hello"
    assert done == ["/a"]
