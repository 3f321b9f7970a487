from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from starlette.types import Message

from tests.asgi_client import Exchange, body_messages, get, http_scope, post, request
from xrouter_asgi.context import Principal, RequestContext, Usage
from xrouter_asgi.dialects.chat import CHAT
from xrouter_asgi.dialects.messages import MESSAGES
from xrouter_asgi.envelopes import openai
from xrouter_asgi.errors import RequestRejected, UpstreamRateLimited, UpstreamUnauthorized, XRouterError
from xrouter_asgi.providers.base import Call, Provider, Reply
from xrouter_asgi.providers.echo import EchoProvider
from xrouter_asgi.providers.target import Target
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.testing.scripted import ANSWER, ScriptedProvider, chat, chunk, completion, embeddings, usage_chunk
from xrouter_asgi.wire.stream import ChatStream

WARNING = (
    "LLMRouter is mounted without its lifespan: clients will not be closed at shutdown. "
    "Pass lifespan=router.lifespan to the host app."
)


def routed(provider: Provider, **options: Any) -> LLMRouter:
    return LLMRouter({"scripted": provider}, **options)


def echo() -> LLMRouter:
    return LLMRouter({"echo": EchoProvider(models=["echo", "org/echo"]), "org/echo": EchoProvider(models=["org/echo"])})


# Paths and methods


@pytest.mark.parametrize("prefix", ["", "/v1"])
@pytest.mark.parametrize("suffix", ["", "/"])
async def test_every_endpoint_answers_with_and_without_v1_and_a_trailing_slash(prefix: str, suffix: str) -> None:
    router = echo()
    completed = await post(router, f"{prefix}/chat/completions{suffix}", chat("echo"))
    assert completed.json["choices"][0]["message"]["content"] == "hi"
    streamed = await post(router, f"{prefix}/chat/completions{suffix}", chat("echo", stream=True))
    assert streamed.events[-1] == "[DONE]"
    embedded = await post(router, f"{prefix}/embeddings{suffix}", {"model": "echo", "input": "text"})
    assert len(embedded.json["data"][0]["embedding"]) == 8
    listed = await get(router, f"{prefix}/models{suffix}")
    assert [model["id"] for model in listed.json["data"]] == ["echo", "org/echo"]
    assert (await get(router, f"{prefix}/models/echo{suffix}")).json["id"] == "echo"
    assert (await get(router, f"{prefix}/models/org/echo{suffix}")).json["id"] == "org/echo"


async def test_a_model_that_is_not_served_is_not_found_by_either_way() -> None:
    got = await get(echo(), "/v1/models/gpt-5")
    posted = await post(echo(), "/v1/chat/completions", chat("gpt-5"))
    for answer in (got, posted):
        assert answer.status == 404
        assert answer.error["code"] == "model_not_found"
        assert answer.error["param"] == "model"
        assert answer.error["message"].startswith("The model `gpt-5` does not exist or you do not have access to it.")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "//v1/models",
        "/v1//models",
        "/v1/../v1/models",
        "/./v1/models",
        "/v1/models/../../health",
        "/V1/models",
        "/v1/Models",
        "/v1/models;x=1",
        "/v1/models?",
        "/v1/models%2f",
        "/v1/modelsx",
        "/v1models/echo",
        "/v1/v1/models",
        "/v1/v1/models/echo",
        "/v1/chat/completions/x",
        "/v1/health",
        "/health/x",
        "http://other/v1/models",
        "*",
        "",
    ],
)
async def test_no_other_spelling_of_a_path_is_served(path: str) -> None:
    answer = await get(echo(), path)
    assert answer.status == 404
    assert answer.error["type"] == "invalid_request_error"


async def test_an_unknown_path_is_told_and_cut_short() -> None:
    answer = await get(echo(), "/v1/" + "x" * 10_000)
    assert answer.error["code"] is None
    assert "GET /v1/xxx" in answer.error["message"]
    assert len(answer.error["message"]) < 400


@pytest.mark.parametrize("path", ["/health", "/ready", "/openapi.json"])
async def test_head_is_get_without_a_body(path: str) -> None:
    head, whole = await request(echo(), "HEAD", path), await get(echo(), path)
    assert (head.status, head.body, head.finished) == (200, b"", True)
    assert head.header("content-length") == str(len(whole.body))
    assert head.header("content-type") == whole.header("content-type")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/nowhere"])
async def test_an_error_has_no_body_for_head_either(path: str) -> None:
    answer = await request(echo(), "HEAD", path)
    assert (answer.status, answer.body) == (404 if path == "/nowhere" else 405, b"")


async def test_head_of_ready_tells_that_the_process_drains() -> None:
    router = echo()
    router.drain()
    answer = await request(router, "HEAD", "/ready")
    assert (answer.status, answer.body) == (503, b"")


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT", "PUT", "PATCH", "DELETE", "get", "X" * 99])
@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/v1/chat/completions", "POST"),
        ("/embeddings", "POST"),
        ("/v1/models", "GET"),
        ("/v1/models/echo", "GET"),
        ("/health", "GET, HEAD"),
        ("/ready", "GET, HEAD"),
        ("/openapi.json", "GET, HEAD"),
    ],
)
async def test_a_method_that_is_not_served_is_told_which_is(method: str, path: str, allow: str) -> None:
    answer = await request(echo(), method, path)
    assert answer.status == 405
    assert answer.header("allow") == allow
    assert answer.error["code"] == "method_not_supported"
    assert len(answer.error["message"]) < 100


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/chat/completions"), ("POST", "/v1/models")])
async def test_get_and_post_are_not_the_same(method: str, path: str) -> None:
    assert (await request(echo(), method, path)).status == 405


@pytest.mark.parametrize("host", [b"evil/v1/models", b"evil?", b"[::1", b"a b", b"\xff", b""])
async def test_the_host_header_moves_no_path(host: bytes) -> None:
    headers = [(b"host", host), (b"x-forwarded-prefix", b"/llm"), (b"x-original-url", b"/v1/models")]
    assert (await get(echo(), "/v1/models", headers=headers)).status == 200
    assert (await get(echo(), "/v1/secret", headers=headers)).status == 404


# Dialects


async def test_a_dialect_is_served_as_its_row_says() -> None:
    def odd(error: XRouterError, request_id: str) -> tuple[int, list[tuple[bytes, bytes]], dict[str, Any]]:
        return 418, [], {"odd": error.message, "id": request_id}

    row = replace(CHAT, name="talk", path="/talk", scope="talking", envelope=odd)
    router = LLMRouter({"scripted": ScriptedProvider()}, dialects=[row])
    assert (await post(router, "/v1/talk", chat())).json == completion().value
    assert (await post(router, "/v1/chat/completions", chat())).status == 404
    scope = http_scope("POST", "/talk")
    scope["xrouter"] = context = RequestContext("r1", principal=Principal("key_1", scopes=frozenset({"chat"})))
    answer = await Exchange(router, scope, script=body_messages(json.dumps(chat()).encode())).run()
    assert (answer.status, answer.json) == (418, {"odd": "This key lacks the scope 'talking'.", "id": "r1"})
    assert context.endpoint == "talk"


# Request ids


async def test_a_well_formed_request_id_of_the_client_is_kept() -> None:
    for path in ("/v1/models", "/nowhere"):
        answer = await get(echo(), path, headers=[(b"x-request-id", b"My.id_1-2")])
        assert answer.header("x-request-id") == "My.id_1-2"


@pytest.mark.parametrize("wanted", [b"", b"a b", b"a" * 65, b"a\r\nx: y", b"\xff", b"<script>", b"a\n"])
async def test_another_request_id_is_replaced(wanted: bytes) -> None:
    answer = await get(echo(), "/v1/models", headers=[(b"x-request-id", wanted)])
    request_id = answer.header("x-request-id")
    assert request_id is not None
    assert request_id.startswith("req_")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/chat/completions", json.dumps(chat("echo")).encode(), 200),
        ("POST", "/v1/chat/completions", json.dumps(chat("echo", stream=True)).encode(), 200),
        ("POST", "/v1/embeddings", b'{"model": "echo", "input": "x"}', 200),
        ("GET", "/v1/models", b"", 200),
        ("GET", "/v1/models/echo", b"", 200),
        ("GET", "/health", b"", 200),
        ("GET", "/ready", b"", 200),
        ("GET", "/openapi.json", b"", 200),
        ("GET", "/nowhere", b"", 404),
        ("PUT", "/health", b"", 405),
        ("POST", "/v1/chat/completions", b"{", 400),
    ],
)
async def test_every_answer_has_one_request_id(method: str, path: str, body: bytes, status: int) -> None:
    answer = await request(echo(), method, path, body=body)
    assert answer.status == status
    assert answer.header("x-request-id")


async def test_a_context_made_outside_is_the_one_that_is_filled() -> None:
    provider = ScriptedProvider()
    scope = http_scope("POST", "/v1/chat/completions")
    context = RequestContext(request_id="outer")
    scope["xrouter"] = context
    body = json.dumps(chat(stream=True)).encode()
    answer = await Exchange(routed(provider), scope, script=body_messages(body)).run()
    assert answer.header("x-request-id") == "outer"
    assert context.model == "scripted"
    assert context.provider == "scripted"
    assert context.upstream_model == "upstream-model"
    assert context.usage == Usage(prompt_tokens=3, completion_tokens=2)


# Bodies


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        pytest.param([(b"content-length", b"65")], b"", 413, "payload_too_large", id="announced"),
        pytest.param([], b" " * 65, 413, "payload_too_large", id="counted"),
        pytest.param([(b"content-encoding", b"gzip")], b"", 415, "unsupported_media_type", id="compressed"),
        pytest.param([(b"content-type", b"multipart/form-data")], b"", 415, "unsupported_media_type", id="form"),
        pytest.param([(b"content-length", b"2"), (b"transfer-encoding", b"chunked")], b"{}", 400, None, id="CL and TE"),
    ],
)
async def test_a_body_that_is_not_read_ends_the_connection(
    headers: list[tuple[bytes, bytes]], body: bytes, status: int, code: str | None
) -> None:
    provider = ScriptedProvider()
    answer = await request(routed(provider, max_body=64), "POST", "/v1/chat/completions", body=body, headers=headers)
    assert answer.status == status
    assert answer.error["code"] == code
    assert answer.header("connection") == "close"
    assert provider.calls == []


async def test_a_body_at_the_limit_is_read() -> None:
    body = json.dumps(chat()).encode()
    provider = ScriptedProvider()
    answer = await request(routed(provider, max_body=len(body)), "POST", "/v1/chat/completions", body=body)
    assert answer.status == 200
    assert answer.header("connection") is None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"[]", id="an array"),
        pytest.param(b"1", id="a number"),
        pytest.param(b"null", id="null"),
        pytest.param(b"model=scripted", id="a form"),
        pytest.param(b'{"a": NaN}', id="NaN"),
        pytest.param(b'{"a": 1e999}', id="beyond a double"),
        pytest.param(b'{"a": 1' + b"0" * 5000 + b"}", id="digits"),
        pytest.param(b'{"a": 1, "a": 2}', id="a key twice"),
        pytest.param(b'{"a": "\xff"}', id="not UTF-8"),
        pytest.param('{"a": 1}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"a": "\\ud800"}', id="half a pair"),
        pytest.param(b'{"a":' * 65 + b"1" + b"}" * 65, id="deep"),
        pytest.param(b"[" * 100_000, id="very deep"),
        pytest.param(b'{"a": [' + b"0," * 250_000 + b"0]}", id="many values"),
        pytest.param(b"\x00", id="NUL"),
        pytest.param(b"{}", id="no model"),
        pytest.param(b'{"model": "scripted"}', id="no messages"),
        pytest.param(b'{"model": "scripted", "messages": []}', id="no message"),
        pytest.param(b'{"model": 1, "messages": [{"role": "user", "content": "x"}]}', id="a model of another type"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings"])
async def test_an_invalid_body_is_a_400_and_asks_nobody(path: str, body: bytes) -> None:
    provider = ScriptedProvider()
    answer = await request(routed(provider), "POST", path, body=body)
    assert answer.status == 400
    assert answer.error["type"] == "invalid_request_error"
    assert answer.header("connection") is None
    assert provider.calls == []


async def test_a_client_that_leaves_in_the_middle_of_its_body_gets_no_answer() -> None:
    provider = ScriptedProvider()
    script: list[Message | Exception] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    answer = await Exchange(routed(provider), http_scope("POST", "/v1/chat/completions"), script=script).run()
    assert not answer.started
    assert provider.calls == []


async def test_the_provider_sees_the_client_s_bytes_headers_and_stem() -> None:
    provider = ScriptedProvider()
    body = b'{ "messages":[{"role":"user","content":"hi"}], "model":"up/m1" }'
    headers = [(b"x-session-id", b"s1")]
    await request(LLMRouter({"up/*": provider}), "POST", "/v1/chat/completions", body=body, headers=headers)
    (call,) = provider.calls
    assert call.document.data == body
    assert (call.model, call.stem, call.header(b"x-session-id")) == ("up/m1", "m1", "s1")


# Answers


async def test_an_answer_says_who_gave_it() -> None:
    class Talkative(ScriptedProvider):
        async def send(self, call: Call, /) -> Reply:
            reply = await super().send(call)
            reply.warnings = ("seed_ignored", "user_ignored")
            reply.headers = (("x-gigachat-request-id", "abc\r\nx: y"),)
            return reply

    for stream in (False, True):
        answer = await post(routed(Talkative()), "/v1/chat/completions", chat(stream=stream))
        assert answer.header("x-xrouter-provider") == "scripted"
        assert answer.header("x-xrouter-model") == "upstream-model"
        assert answer.header("x-xrouter-warnings") == "seed_ignored, user_ignored"
        assert answer.header("x-gigachat-request-id") == "abc  x: y"


async def test_what_is_not_known_about_an_answer_is_not_in_its_headers() -> None:
    class Quiet(ScriptedProvider):
        async def send(self, call: Call, /) -> Reply:
            return Reply(completion(), provider="quiet")

    answer = await post(routed(Quiet()), "/v1/chat/completions", chat())
    assert answer.header("x-xrouter-model") is None
    assert answer.header("x-xrouter-warnings") is None


async def test_a_plain_answer_is_passed_on_to_the_byte() -> None:
    answer = await post(routed(ScriptedProvider(body=completion("ответ"))), "/v1/chat/completions", chat())
    assert answer.body == completion("ответ").data


@pytest.mark.parametrize(("wanted", "vector"), [({}, [0.5, -0.5]), ({"encoding_format": "base64"}, "AAAAPwAAAL8=")])
async def test_vectors_come_in_the_format_that_was_asked_for(wanted: dict[str, str], vector: object) -> None:
    answer = await post(routed(ScriptedProvider()), "/v1/embeddings", {"model": "scripted", "input": "x", **wanted})
    assert answer.json["data"][0]["embedding"] == vector


async def test_the_usage_chunk_is_there_only_when_it_was_asked_for() -> None:
    provider = ScriptedProvider()
    without = await post(routed(provider), "/v1/chat/completions", chat(stream=True))
    assert without.events == [*(piece.value for piece in _pieces()), "[DONE]"]
    asked = chat(stream=True, stream_options={"include_usage": True})
    answer = await post(routed(provider), "/v1/chat/completions", asked)
    assert answer.events == [*(piece.value for piece in _pieces()), usage_chunk().value, "[DONE]"]
    assert provider.opened == provider.closed == 2


def _pieces() -> list[Any]:
    return [piece for batch in ANSWER[:-1] for piece in batch]  # type: ignore[union-attr]  # batches only


# Errors


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        UpstreamRateLimited("Slow down.", retry_after=2),
        UpstreamUnauthorized("The upstream refused the gateway's credentials.", detail="key sk-1 is bad"),
        RequestRejected("The prompt is too long.", status=422, code="context_length_exceeded", param="messages"),
    ],
)
async def test_an_error_before_the_first_byte_keeps_its_status(stream: bool, error: XRouterError) -> None:
    provider = ScriptedProvider(error)
    answer = await post(routed(provider), "/v1/chat/completions", chat(stream=stream))
    assert answer.status == error.status
    assert answer.error == openai(error, "")[2]["error"]
    assert answer.header("retry-after") == ("2" if error.retry_after else None)
    assert provider.opened == provider.closed == 1


async def test_what_only_an_operator_may_see_is_logged_under_the_request_id(caplog: pytest.LogCaptureFixture) -> None:
    provider = ScriptedProvider(UpstreamUnauthorized("Refused.", detail="10.0.0.7 said no"))
    router = routed(Target(provider, model="m"))
    answer = await post(router, "/v1/chat/completions", chat(), headers=[(b"x-request-id", b"r1")])
    assert b"10.0.0.7" not in answer.body
    (record,) = [record for record in caplog.records if "lifespan" not in record.getMessage()]
    assert record.getMessage() == "502 upstream_auth_failed: 10.0.0.7 said no"
    facts = vars(record)
    assert (facts["request_id"], facts["provider"], facts["attempt"]) == ("r1", "scripted", 1)


@pytest.mark.parametrize("error", [UpstreamUnauthorized("Refused."), ZeroDivisionError("Odd.")])
async def test_a_stream_that_broke_is_logged_under_the_request_id(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    provider = ScriptedProvider([chunk("a")], error)
    router = routed(Target(provider, model="m"))
    await post(router, "/v1/chat/completions", chat(stream=True), headers=[(b"x-request-id", b"r1")])
    (record,) = [record for record in caplog.records if "lifespan" not in record.getMessage()]
    assert record.getMessage().startswith("A stream broke")
    facts = vars(record)
    assert (facts["request_id"], facts["provider"], facts["attempt"]) == ("r1", "scripted", 1)


async def test_the_caller_s_own_mistakes_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    router = echo()
    async with router.lifespan():
        await get(router, "/nowhere")
        await post(router, "/v1/chat/completions", {})
    assert caplog.messages == []


@pytest.mark.parametrize("stream", [False, True])
async def test_a_defect_before_the_first_byte_is_an_envelope_that_says_nothing_of_it(
    stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    provider = ScriptedProvider(ZeroDivisionError("secret"))
    answer = await post(routed(provider), "/v1/chat/completions", chat(stream=stream))
    assert answer.status == 500
    assert answer.error["type"] == "server_error"
    assert answer.error["message"].endswith(f"Tell the operator the id {answer.header('x-request-id')}.")
    assert b"secret" not in answer.body
    assert "secret" in caplog.text
    assert provider.opened == provider.closed == 1


@pytest.mark.parametrize("error", [UpstreamRateLimited("Slow down."), ZeroDivisionError("secret")])
async def test_an_error_after_the_first_byte_is_one_event_without_done(error: Exception) -> None:
    provider = ScriptedProvider([chunk("a")], error)
    answer = await post(routed(provider), "/v1/chat/completions", chat(stream=True))
    assert answer.status == 200
    assert answer.events[0] == chunk("a").value
    assert answer.events[1].keys() == {"error"}
    assert len(answer.events) == 2
    assert b"secret" not in answer.body
    assert provider.opened == provider.closed == 1


async def test_a_call_cancelled_from_inside_is_a_defect_and_still_answered() -> None:
    provider = ScriptedProvider(asyncio.CancelledError())
    answer = await post(routed(provider), "/v1/chat/completions", chat())
    assert answer.status == 500
    assert answer.error["type"] == "server_error"


@pytest.mark.parametrize(
    ("path", "value", "given"),
    [
        ("/v1/chat/completions", chat(), embeddings()),
        ("/v1/chat/completions", chat(stream=True), completion()),
        ("/v1/embeddings", {"model": "scripted", "input": "x"}, completion()),
        ("/v1/chat/completions", chat(), None),
    ],
)
async def test_an_answer_of_the_wrong_kind_is_a_defect(
    path: str, value: dict[str, Any], given: Any, caplog: pytest.LogCaptureFixture
) -> None:
    provider = ScriptedProvider(body=given) if given else ScriptedProvider(body="not a body")
    answer = await post(routed(provider), path, value)
    assert answer.status == 500
    assert answer.error["code"] is None
    assert "answered a" in caplog.text


@pytest.mark.parametrize("name", ["x-ok", "x-кириллица"])
async def test_a_stream_is_closed_although_it_cannot_be_sent(name: str) -> None:
    """It was not asked for, or a header beside it has a name that is none."""

    class Odd(ScriptedProvider):
        async def send(self, call: Call, /) -> Reply:
            stream = await ChatStream.start(self._stream())
            return Reply(stream, provider="odd", headers=[(name, "value")])

    provider = Odd()
    answer = await post(routed(provider), "/v1/chat/completions", chat(stream=name != "x-ok"))
    assert answer.status == 500
    assert provider.opened == provider.closed == 1


# Clients that leave


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_before_the_first_byte_ends_the_call(stream: bool) -> None:
    provider = ScriptedProvider(asyncio.Event())
    body = json.dumps(chat(stream=stream)).encode()
    exchange = Exchange(routed(provider), http_scope("POST", "/v1/chat/completions"), script=body_messages(body))
    running = asyncio.create_task(exchange.run())
    await provider.reached.wait()
    exchange.leave()
    answer = await running
    assert not answer.started
    assert provider.opened == provider.closed == 1


@pytest.mark.parametrize("error", [None, OSError("the client is gone")])
async def test_a_client_that_leaves_in_mid_stream_ends_the_call(error: Exception | None) -> None:
    """Whether or not the host's `send` says so."""
    provider = ScriptedProvider([chunk("a")], asyncio.Event())
    body = json.dumps(chat(stream=True)).encode()
    exchange = Exchange(
        routed(provider),
        http_scope("POST", "/v1/chat/completions"),
        script=body_messages(body),
        leave_after=2,
        send_error=error,
    )
    answer = await exchange.run()
    assert not answer.finished
    assert provider.opened == provider.closed == 1


def untold(router: LLMRouter, *, leave_after: int, send_error: Exception) -> Exchange:
    """A stream under a host whose `send` alone tells that something is wrong."""
    script: list[Message | Exception] = [
        *body_messages(json.dumps(chat(stream=True)).encode()),
        RuntimeError("this host cannot tell"),
    ]
    scope = http_scope("POST", "/v1/chat/completions")
    return Exchange(router, scope, script=script, leave_after=leave_after, send_error=send_error)


async def test_a_send_that_fails_is_a_client_that_left_and_no_defect(caplog: pytest.LogCaptureFixture) -> None:
    provider = ScriptedProvider()
    router = routed(provider)
    async with router.lifespan():
        answer = await untold(router, leave_after=1, send_error=OSError("the client is gone")).run()
    assert not answer.finished
    assert provider.opened == provider.closed == 1
    assert caplog.messages == []


@pytest.mark.parametrize("error", [RuntimeError("a bug of the host"), XRouterError("a bug of the host")])
async def test_a_send_that_fails_for_another_reason_is_the_host_s_to_report(error: Exception) -> None:
    provider = ScriptedProvider()
    with pytest.raises(type(error), match="a bug of the host"):
        await untold(routed(provider), leave_after=1, send_error=error).run()
    assert provider.opened == provider.closed == 1


@pytest.mark.parametrize("error", [RuntimeError("will not close"), UpstreamRateLimited("will not close")])
async def test_a_stream_that_will_not_close_is_reported_but_not_answered_twice(error: Exception) -> None:
    class Stuck(ScriptedProvider):
        async def send(self, call: Call, /) -> Reply:
            return Reply(await ChatStream.start(self._stream(), close=self._fail), provider="stuck")

        async def _fail(self) -> None:
            raise error

    body = json.dumps(chat(stream=True)).encode()
    scope = http_scope("POST", "/v1/chat/completions")
    exchange = Exchange(routed(Stuck()), scope, script=body_messages(body))
    with pytest.raises(type(error), match="will not close"):
        await exchange.run()
    assert exchange.answer.events[-1] == "[DONE]"


# Health and readiness


async def test_a_draining_router_is_alive_but_not_ready_and_still_answers() -> None:
    router = echo()
    assert (await get(router, "/ready")).json == {"status": "ready"}
    router.drain()
    answer = await get(router, "/ready")
    assert answer.status == 503
    assert answer.error["code"] == "not_ready"
    assert (await get(router, "/health")).json == {"status": "ok"}
    assert (await post(router, "/v1/chat/completions", chat("echo"))).status == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_is_in_flight_until_its_answer_is_whole(stream: bool) -> None:
    hold = asyncio.Event()
    provider = ScriptedProvider([chunk("a")], hold)
    router = routed(provider)
    running = asyncio.create_task(post(router, "/v1/chat/completions", chat(stream=stream)))
    await provider.reached.wait()
    assert router.in_flight == 1
    hold.set()
    await running
    assert router.in_flight == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_that_is_stopped_before_the_first_byte_is_a_503(stream: bool) -> None:
    provider = ScriptedProvider(asyncio.Event())
    router = routed(provider)
    running = asyncio.create_task(post(router, "/v1/chat/completions", chat(stream=stream)))
    await provider.reached.wait()
    router.stop()
    answer = await running
    assert (answer.status, answer.error["code"]) == (503, "not_ready")
    assert provider.opened == provider.closed == 1


async def test_a_stream_that_is_stopped_ends_with_an_error_event() -> None:
    provider = ScriptedProvider([chunk("a")], asyncio.Event())
    router = routed(provider)
    exchange = Exchange(
        router, http_scope("POST", "/v1/chat/completions"), script=body_messages(json.dumps(chat(stream=True)).encode())
    )
    running = asyncio.create_task(exchange.run())
    await exchange.sent(2)
    router.stop()
    answer = await running
    assert answer.finished
    assert [event["error"]["code"] for event in answer.events[1:]] == ["not_ready"]
    assert provider.opened == provider.closed == 1


async def test_a_stream_that_is_stopped_after_its_end_is_not_ended_twice() -> None:
    hold = asyncio.Event()

    class Lingering(ScriptedProvider):
        async def send(self, call: Call, /) -> Reply:
            return Reply(await ChatStream.start(self._stream(), close=self._linger), provider="lingering")

        async def _linger(self) -> None:
            hold.set()
            await asyncio.Event().wait()

    router = routed(Lingering())
    running = asyncio.create_task(post(router, "/v1/chat/completions", chat(stream=True)))
    await hold.wait()
    router.stop()
    assert (await running).events[-1] == "[DONE]"


@pytest.mark.parametrize("stream", [False, True])
async def test_nothing_follows_a_message_that_was_under_way_when_the_call_was_stopped(stream: bool) -> None:
    router = routed(ScriptedProvider())
    sent: list[Message] = []
    script = [*body_messages(json.dumps(chat(stream=stream)).encode())]

    async def receive() -> Message:
        if not script:
            await asyncio.Event().wait()
        return script.pop()

    async def send(message: Message) -> None:
        sent.append(message)
        router.stop()
        await asyncio.Event().wait()  # a client that reads nothing

    await router(http_scope("POST", "/v1/chat/completions"), receive, send)
    assert [message["type"] for message in sent] == ["http.response.start"]


async def test_to_stop_without_calls_does_nothing_to_the_next_one() -> None:
    router = echo()
    assert (await post(router, "/v1/chat/completions", chat("echo"))).status == 200
    router.stop()
    assert (await post(router, "/v1/chat/completions", chat("echo"))).status == 200


# Other scopes


async def test_a_websocket_is_closed() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    await echo()({"type": "websocket", "path": "/v1/chat/completions"}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "There is no WebSocket here."}]


async def test_a_scope_of_an_unknown_type_is_refused() -> None:
    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError

    with pytest.raises(ValueError, match="'mqtt'"):
        await echo()({"type": "mqtt"}, receive, send)


# Lifespan


async def test_a_router_without_its_lifespan_warns_once_and_works(caplog: pytest.LogCaptureFixture) -> None:
    router = echo()
    for _ in range(3):
        assert (await get(router, "/v1/models")).status == 200
    assert caplog.messages == [WARNING]


async def test_a_router_inside_its_lifespan_does_not_warn(caplog: pytest.LogCaptureFixture) -> None:
    router = echo()
    async with router.lifespan(object()):
        assert (await get(router, "/v1/models")).status == 200
    assert caplog.messages == []


async def test_the_last_host_to_leave_closes() -> None:
    provider = ScriptedProvider()
    router = routed(provider)
    async with router.lifespan():
        async with router.lifespan():
            pass
        assert provider.closings == 0
    assert provider.closings == 1


async def test_a_lifespan_may_be_entered_again() -> None:
    provider = ScriptedProvider()
    router = routed(provider)
    for times in (1, 2):
        async with router.lifespan():
            assert (await post(router, "/v1/chat/completions", chat())).status == 200
        assert provider.closings == times


async def test_an_error_inside_the_lifespan_still_closes() -> None:
    provider = ScriptedProvider()
    with pytest.raises(ValueError, match="of the host"):
        async with routed(provider).lifespan():
            raise ValueError("of the host")
    assert provider.closings == 1


async def test_a_provider_under_two_names_is_closed_once() -> None:
    provider, other = ScriptedProvider(), ScriptedProvider()
    await LLMRouter({"a": provider, "b": other, "c*": provider}).aclose()
    assert provider.closings == other.closings == 1


async def test_a_provider_that_cannot_be_closed_keeps_no_other_open(caplog: pytest.LogCaptureFixture) -> None:
    class Stuck(ScriptedProvider):
        async def aclose(self) -> None:
            raise OSError("stuck")

    provider = ScriptedProvider()
    await LLMRouter({"a": Stuck(name="stuck"), "b": provider}).aclose()
    assert provider.closings == 1
    assert caplog.messages == ["The provider 'stuck' could not be closed"]


async def test_the_lifespan_protocol_is_answered() -> None:
    provider = ScriptedProvider()
    sent: list[str] = []
    received = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> Message:
        if sent:
            assert provider.closings == 0
        return {"type": next(received)}

    async def send(message: Message) -> None:
        sent.append(message["type"])

    await routed(provider)({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert provider.closings == 1


async def test_an_error_that_nobody_is_there_to_take_ends_in_silence() -> None:
    """Since version 2.4 of the ASGI specification a server may say so by an OSError from `send`."""

    async def receive() -> Message:
        return {"type": "http.request", "body": b"{"}

    async def send(message: Message) -> None:
        raise OSError("The client has left.")

    await LLMRouter({})(http_scope("POST", "/v1/chat/completions"), receive, send)


# A model that the table lists and the upstream does not know


async def test_a_listed_model_that_its_upstream_does_not_know_is_told_as_such(caplog: pytest.LogCaptureFixture) -> None:
    router = LLMRouter({"assistant": EchoProvider(models=["other"])}, explain=True)
    headers = [(b"x-request-id", b"r1"), (b"x-xrouter-explain", b"1")]
    answer = await post(router, "/v1/chat/completions", chat("assistant"), headers=headers)
    assert (answer.status, answer.json["error"]["code"]) == (404, "model_not_found")
    assert answer.json["error"]["message"] == (
        "The model 'assistant' is listed here, but its upstream does not know it. Tell the operator the id r1."
    )
    hint = (
        "the provider 'echo' has no model 'assistant'; map it with Target(provider, model=...) "
        "or 'targets' in the settings"
    )
    assert json.loads(answer.header("x-xrouter-explain") or "")["attempts"][0]["hint"] == hint
    assert any(message.startswith(hint) for message in caplog.messages)


async def test_a_model_of_a_pattern_that_the_upstream_does_not_know_does_not_exist() -> None:
    answer = await post(LLMRouter({"*": EchoProvider(models=["other"])}), "/v1/chat/completions", chat("mine"))
    assert (answer.status, answer.json["error"]["code"]) == (404, "model_not_found")
    assert "`mine` does not exist" in answer.json["error"]["message"]


async def test_only_the_dialects_that_were_chosen_are_served_and_described() -> None:
    router = LLMRouter({"echo": EchoProvider()}, dialects=[CHAT, MESSAGES])
    ask = {"model": "echo", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
    for path, status in (
        ("/v1/chat/completions", 200),
        ("/v1/messages", 200),
        ("/v1/messages/count_tokens", 200),
        ("/v1/responses", 404),
        ("/v1/embeddings", 404),
    ):
        assert (await post(router, path, ask)).status == status
    assert (await get(router, "/v1/responses/resp_1")).status == 404
    paths = json.loads((await get(router, "/openapi.json")).body)["paths"]
    assert {path for path in paths if "post" in paths[path]} == {
        "/v1/chat/completions",
        "/v1/messages",
        "/v1/messages/count_tokens",
    }
    assert "/v1/responses/{id}" not in paths
