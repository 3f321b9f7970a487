"""What happens around a chat: slots, streams, repairs, cancellation. The translation itself is tested apart."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest

from xrouter_asgi.errors import (
    ModelNotFound,
    RequestRejected,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamTimeout,
    XRouterError,
)
from xrouter_asgi.providers.base import Reply
from xrouter_asgi.providers.gigachat import GigaChatOptions
from xrouter_asgi.providers.http import Timeouts
from xrouter_asgi.testing.clock import LoopClock
from xrouter_asgi.testing.gigachat import FakeGigaChat
from xrouter_asgi.testing.gigachat.faults import HTML_502, Events, Reset, ScriptedAnswer, Stall, refusal
from xrouter_asgi.wire import ChatCompletion
from xrouter_asgi.wire.sse import MAX_EVENT
from xrouter_asgi.wire.stream import ChatStream

from .conftest import Ask, Connect

CHAT = "/chat/completions"


def stream(reply: Reply) -> ChatStream:
    assert isinstance(reply.body, ChatStream)
    return reply.body


async def chunks(reply: Reply, *, into: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """All chunks of a streamed reply; `into` has those before a fault."""
    body = stream(reply)
    got = into if into is not None else []
    try:
        async for batch in body:
            got += [chunk.value for chunk in batch]
    finally:
        await body.aclose()
    return got


def said(chunks: list[dict[str, Any]]) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


def text(reply: Reply) -> str:
    return str(message(reply)["content"])


def message(reply: Reply) -> dict[str, Any]:
    assert isinstance(reply.body, ChatCompletion)
    value = reply.body.value["choices"][0]["message"]
    assert isinstance(value, dict)
    return value


def event(content: str, finish: str | None = None, **members: Any) -> dict[str, Any]:
    finished = {"finish_reason": finish} if finish else {}
    return {"choices": [{"delta": {"content": content}, "index": 0, **finished}], "model": "GigaChat-2:1.0", **members}


# Streams.


async def test_a_stream_says_the_same_as_a_whole_answer(connect: Connect, ask: Ask) -> None:
    reply = await connect().send(ask("один два три", stream=True))
    got = await chunks(reply)
    assert said(got) == "You said: один два три"
    assert got[-1]["choices"] == [] or got[-1]["choices"][0]["finish_reason"] == "stop"
    assert dict(reply.headers)["x-gigachat-model"] == "GigaChat-2:2.0.28.2"
    assert "x-gigachat-billed-tokens" not in dict(reply.headers)


async def test_a_stream_is_asked_for_as_one(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    await chunks(await connect().send(ask(stream=True)))
    (request,) = fake.asked(CHAT)
    assert request.headers["accept"] == "text/event-stream"
    assert request.headers["cache-control"] == "no-store"
    assert fake.bodies()[0]["stream"] is True


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
async def test_characters_and_lines_may_come_in_pieces(
    connect: Connect, ask: Ask, fake: FakeGigaChat, size: int
) -> None:
    fake.event_size = size
    assert said(await chunks(await connect().send(ask("Привет, 🌍!", stream=True)))) == "You said: Привет, 🌍!"


@pytest.mark.parametrize("usage", ["last", "missing", "every"])
async def test_usage_comes_once_when_it_was_told_at_all(
    connect: Connect, ask: Ask, fake: FakeGigaChat, usage: str
) -> None:
    fake.usage = usage
    reply = await connect().send(ask(stream=True, stream_options={"include_usage": True}))
    told = [chunk["usage"] for chunk in await chunks(reply) if chunk.get("usage")]
    assert [each["total_tokens"] for each in told] == ([] if usage == "missing" else [22])


async def test_a_whole_answer_where_a_stream_was_asked_for_becomes_one(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    fake.streams = False
    reply = await connect().send(ask(stream=True))
    got = await chunks(reply)
    assert said(got) == "You said: Hello"
    assert dict(reply.headers)["x-gigachat-billed-tokens"] == "20"
    await fake.quiet()


async def test_a_call_is_streamed(connect: Connect, ask: Ask) -> None:
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}]
    got = await chunks(await connect().send(ask('call look_up {"city": "Москва"}', stream=True, tools=tools)))
    calls = [each for chunk in got for choice in chunk["choices"] for each in choice["delta"].get("tool_calls", ())]
    assert calls[0]["function"]["name"] == "look_up"
    assert json.loads("".join(call["function"]["arguments"] for call in calls)) == {"city": "Москва"}


async def test_events_under_another_content_type_are_still_events(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    fake.script(CHAT, Events([event("Hi", "stop")], headers={"Content-Type": "text/plain"}))
    assert said(await chunks(await connect().send(ask(stream=True)))) == "Hi"


async def test_a_stream_may_end_without_done_once_it_has_finished(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    fake.script(CHAT, Events([event("Hi"), event("", "stop")], done=False))
    assert said(await chunks(await connect().send(ask(stream=True)))) == "Hi"


async def test_a_stream_may_break_off_after_done_without_the_blank_line(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    body = b"data: " + json.dumps(event("Hi", "stop")).encode() + b"\r\n\r\ndata:[DONE]"
    fake.script(CHAT, ScriptedAnswer(200, body, {"Content-Type": "text/event-stream"}))
    assert said(await chunks(await connect().send(ask(stream=True)))) == "Hi"


async def test_what_follows_done_is_dropped_and_the_slot_is_free(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    provider = connect()
    fake.script(CHAT, Events([event("Hi", "stop"), "[DONE]", event("more")], stall=asyncio.Event()))
    assert said(await chunks(await provider.send(ask(stream=True)))) == "Hi"
    await fake.quiet()
    assert text(await provider.send(ask())) == "You said: Hello"


FAULTS = [
    (Events([event("Hi")], done=False), "stream_broken"),
    (Events([event("Hi")], done=False, cut=True), None),
    (Events([event("Hi"), "{not json"]), "bad_event"),
    (Events([event("Hi"), "[1, 2]"]), "bad_event"),
    (Events([event("Hi"), {"status_code": 500, "message": "Internal Server Error"}]), None),
    (Events([event("Hi"), {"status": 429, "message": "Too many requests"}]), None),
    (Events([event("Hi"), "x" * MAX_EVENT + "x"]), "too_large"),
]


@pytest.mark.parametrize("size", [None, 1 << 22], ids=["apart", "in one read"])
@pytest.mark.parametrize(("fault", "code"), FAULTS)
async def test_a_fault_in_mid_stream_comes_after_what_was_said_and_frees_the_slot(
    connect: Connect, ask: Ask, fake: FakeGigaChat, fault: Events, code: str | None, size: int | None
) -> None:
    provider = connect()
    fake.script(CHAT, Events(fault.events, done=fault.done, cut=fault.cut, size=size))
    got: list[dict[str, Any]] = []
    with pytest.raises(UpstreamError) as caught:
        await chunks(await provider.send(ask(stream=True)), into=got)
    assert said(got) == "Hi"
    assert code is None or caught.value.code == code
    await fake.quiet()
    assert text(await provider.send(ask())) == "You said: Hello"


async def test_a_stream_that_ends_before_it_began_is_an_error_before_the_commit_point(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    fake.script(
        CHAT,
        Events([]),
        Events([], done=False),
        HTML_502,
        ScriptedAnswer(200, b"<html></html>", {"Content-Type": "text/html"}),
    )
    provider = connect()
    for _ in range(4):
        with pytest.raises(UpstreamError):
            await provider.send(ask(stream=True))
    assert text(await provider.send(ask())) == "You said: Hello"


@pytest.mark.parametrize("error", [{"status": 500, "message": "No."}, {"status_code": 429, "message": "No."}])
async def test_an_error_in_the_first_event_is_an_error_before_the_commit_point(
    connect: Connect, ask: Ask, fake: FakeGigaChat, error: dict[str, Any]
) -> None:
    provider = connect()
    fake.script(CHAT, Events([error]))
    with pytest.raises(UpstreamError):
        await provider.send(ask(stream=True))
    assert text(await provider.send(ask())) == "You said: Hello"


async def test_a_first_event_that_does_not_come_is_a_time_out(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    provider = connect(timeouts=Timeouts(first=0.5))
    fake.script(CHAT, Events([], done=False, stall=asyncio.Event()))
    with pytest.raises(UpstreamTimeout) as caught:
        await provider.send(ask(stream=True))
    assert caught.value.code == "first_byte_timeout"
    await fake.quiet()
    assert text(await provider.send(ask())) == "You said: Hello"


async def test_comments_do_not_count_as_life(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    class Pings:
        async def play(self, exchange: Any) -> None:
            await exchange.start(200, {"Content-Type": "text/event-stream"})
            await exchange.write(b"data: " + json.dumps(event("Hi")).encode() + b"\n\n")
            while not exchange.gone.is_set():
                await exchange.write(b": still here\n\n")
                await asyncio.sleep(0.01)

    fake.script(CHAT, Pings())
    body = stream(await connect(timeouts=Timeouts(idle=0.1)).send(ask(stream=True)))
    with pytest.raises(UpstreamTimeout) as caught:
        async for _ in body:
            pass
    await body.aclose()
    assert caught.value.code == "idle_timeout"
    await fake.quiet()


@pytest.mark.parametrize("then", [b"", b": still here\n\n", b'data: {"choi'])
async def test_a_finished_answer_that_never_ends_is_whole(
    connect: Connect, ask: Ask, fake: FakeGigaChat, then: bytes
) -> None:
    class Endless:
        async def play(self, exchange: Any) -> None:
            await exchange.start(200, {"Content-Type": "text/event-stream"})
            usage = {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}
            await exchange.write(b"data: " + json.dumps(event("Hi", "stop", usage=usage)).encode() + b"\n\n")
            while not exchange.gone.is_set():
                await exchange.write(then) if then else None
                await asyncio.sleep(0.01)

    fake.script(CHAT, Endless())
    provider = connect(timeouts=Timeouts(idle=0.1))
    got = await chunks(await provider.send(ask(stream=True, stream_options={"include_usage": True})))
    assert said(got) == "Hi"
    assert got[-1]["usage"]["total_tokens"] == 11
    await fake.quiet()


async def test_a_stop_sequence_closes_the_upstream(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    provider = connect()
    fake.script(CHAT, Events([event("one STOP two")], done=False, stall=asyncio.Event()))
    got = await chunks(await provider.send(ask(stream=True, stop="STOP")))
    assert said(got) == "one "
    await fake.quiet()


async def test_a_stop_sequence_is_read_past_when_usage_was_asked_for(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}
    fake.script(CHAT, Events([event("one STOP two"), event(" three", "stop", usage=usage)]))
    got = await chunks(await connect().send(ask(stream=True, stop="STOP", stream_options={"include_usage": True})))
    assert said(got) == "one "
    assert got[-1]["usage"]["total_tokens"] == 11


async def test_the_usage_of_a_stopped_answer_is_not_waited_for_any_longer_than_it_is_worth(
    connect: Connect, ask: Ask, fake: FakeGigaChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xrouter_asgi.providers.gigachat.response.stream._LONGEST_DRAIN", 0.05)
    fake.script(CHAT, Events([event("one STOP two"), event(" three", "stop")], stall=asyncio.Event()))
    got = await chunks(await connect().send(ask(stream=True, stop="STOP", stream_options={"include_usage": True})))
    assert said(got) == "one "
    assert got[-1]["choices"][0]["finish_reason"] == "stop"


# Slots.


async def test_an_individuals_key_never_has_two_chats_under_way(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    provider = connect()
    fake.gate.clear()
    calls = [asyncio.ensure_future(provider.send(ask(str(number), stream=number % 2 == 0))) for number in range(6)]
    await fake.arrived(CHAT)
    fake.gate.set()
    for call in calls:
        reply = await call
        if isinstance(reply.body, ChatStream):
            await chunks(reply)
    assert fake.peak == 1
    assert [body["messages"][0]["content"] for body in fake.bodies()] == ["0", "1", "2", "3", "4", "5"]


async def test_a_companys_key_has_ten_chats_under_way(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    fake.scope, fake.parallel = "GIGACHAT_API_CORP", 10
    provider = connect()
    fake.gate.clear()
    calls = [asyncio.ensure_future(provider.send(ask(str(number)))) for number in range(15)]
    await fake.arrived(CHAT, 10)
    assert fake.chats == 10
    fake.gate.set()
    await asyncio.gather(*calls)
    assert fake.peak == 10


async def test_a_stream_holds_its_slot_until_it_is_closed(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    provider = connect(queue_timeout=0.05)
    body = stream(await provider.send(ask(stream=True)))
    with pytest.raises(UpstreamRateLimited) as caught:
        await provider.send(ask())
    assert caught.value.code == "concurrency_limit"
    await body.aclose()
    await body.aclose()
    assert text(await provider.send(ask())) == "You said: Hello"
    assert fake.peak == 1


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_cancelled_chat_closes_the_upstream_and_frees_its_slot(
    connect: Connect, ask: Ask, fake: FakeGigaChat, streamed: bool
) -> None:
    provider = connect()
    fake.script(CHAT, Stall())
    call = asyncio.ensure_future(provider.send(ask(stream=streamed)))
    await fake.arrived(CHAT)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await fake.quiet()
    assert text(await provider.send(ask())) == "You said: Hello"


async def test_a_chat_cancelled_before_its_first_event_closes_the_upstream(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    provider = connect()
    fake.script(CHAT, Events([{"choices": []}], done=False, stall=asyncio.Event()))
    call = asyncio.ensure_future(provider.send(ask(stream=True)))
    await fake.arrived(CHAT)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await fake.quiet()
    assert text(await provider.send(ask())) == "You said: Hello"


async def test_a_reader_cancelled_in_mid_stream_closes_the_upstream(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    provider = connect()
    fake.script(CHAT, Events([event("Hi")], done=False, stall=asyncio.Event()))
    body = stream(await provider.send(ask(stream=True)))

    async def read() -> None:
        async for _ in body:
            pass

    reader = asyncio.ensure_future(read())
    await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    await body.aclose()
    await fake.quiet()
    assert text(await provider.send(ask())) == "You said: Hello"


async def test_a_chat_cancelled_at_any_moment_leaves_nothing_behind(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    provider = connect()
    for ticks in range(60):
        call = asyncio.ensure_future(provider.send(ask(stream=ticks % 2 == 0)))
        for _ in range(ticks // 2):
            await asyncio.sleep(0)
        call.cancel()
        outcome = (await asyncio.gather(call, return_exceptions=True))[0]
        if isinstance(outcome, Reply) and isinstance(outcome.body, ChatStream):
            await outcome.body.aclose()
        await fake.quiet()
    assert text(await provider.send(ask())) == "You said: Hello"
    assert fake.peak == 1


async def test_a_storm_of_cancellations_costs_no_slot(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    chance = random.Random(7)
    fake.parallel = 3
    provider = connect(max_parallel=3)

    async def use(streamed: bool) -> None:
        reply = await provider.send(ask("some words to stream", stream=streamed))
        if isinstance(reply.body, ChatStream):
            await chunks(reply)

    calls = []
    for _ in range(200):
        calls.append(asyncio.ensure_future(use(chance.random() < 0.5)))
        for _ in range(chance.randrange(8)):
            await asyncio.sleep(0)
        if chance.random() < 0.8:
            chance.choice(calls).cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    # The fake may meet a new chat before it has seen that a cancelled one is gone, as the real one may.
    allowed = (asyncio.CancelledError, UpstreamRateLimited)
    assert all(outcome is None or isinstance(outcome, allowed) for outcome in outcomes)
    await fake.quiet()
    fake.gate.clear()
    before = len(fake.asked(CHAT))
    fresh = [asyncio.ensure_future(provider.send(ask())) for _ in range(3)]
    await fake.arrived(CHAT, before + 3)
    assert fake.chats == 3
    fake.gate.set()
    assert [text(reply) for reply in await asyncio.gather(*fresh)] == ["You said: Hello"] * 3


# Repairs.

SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "answer",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"n": {"type": "integer"}, "ok": {"type": "boolean"}},
            "required": ["n", "ok"],
            "additionalProperties": False,
        },
    },
}
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}]


async def test_a_schema_is_asked_for_natively_where_that_is_known(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    reply = await connect().send(ask(response_format=SCHEMA))
    assert json.loads(text(reply)) == {"n": 1, "ok": True}
    assert fake.bodies()[0]["response_format"]["type"] == "json_schema"


async def test_a_schema_becomes_a_forced_function_where_native_is_not_known_and_that_is_remembered(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    fake.native_schema = False
    provider = connect()
    for _ in range(2):
        reply = await provider.send(ask(response_format=SCHEMA))
        assert json.loads(text(reply)) == {"n": 1, "ok": True}
    native, function, remembered = fake.bodies()
    assert "response_format" in native
    for body in (function, remembered):
        assert "response_format" not in body
        assert isinstance(body["function_call"], dict)


async def test_a_schema_beside_tools_goes_into_the_prompt_where_native_is_not_known(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    fake.native_schema = False
    provider = connect()
    for _ in range(2):
        await provider.send(ask(response_format=SCHEMA, tools=TOOLS))
    _, prompt, remembered = fake.bodies()
    for body in (prompt, remembered):
        assert "response_format" not in body
        assert [function["name"] for function in body["functions"]] == ["look_up"]
        assert body["messages"][0]["role"] == "system"


async def test_a_schema_beside_tools_goes_into_the_prompt_where_the_two_are_refused_together(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    fake.script(CHAT, refusal(400, "Your request contains invalid JSON syntax."))
    await connect().send(ask(response_format=SCHEMA, tools=TOOLS))
    together, apart = fake.bodies()
    assert "response_format" in together
    assert "response_format" not in apart
    assert apart["functions"] == together["functions"]
    assert "JSON" in apart["messages"][0]["content"]


async def test_a_schema_beside_tools_goes_into_the_prompt_whatever_the_refusal_says(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    fake.script(CHAT, refusal(400, "Your request contains invalid JSON syntax."))
    await connect().send(ask(response_format=SCHEMA, tools=TOOLS))
    assert ["response_format" in body for body in fake.bodies()] == [True, False]


async def test_a_schema_that_was_refused_says_nothing_about_the_model(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    provider = connect()
    fake.script(CHAT, refusal(400, "Empty schema with json format type is not supported"))
    await provider.send(ask(response_format=SCHEMA))
    await provider.send(ask(response_format=SCHEMA))
    assert ["response_format" in body for body in fake.bodies()] == [True, False, True]


async def test_a_way_that_the_operator_chose_is_not_changed(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    fake.native_schema = False
    with pytest.raises(RequestRejected, match="Unknown type"):
        await connect(options=GigaChatOptions(structured_output="native")).send(ask(response_format=SCHEMA))
    assert len(fake.bodies()) == 1


async def dialogue(ask: Ask, connect: Connect, **members: Any) -> list[dict[str, Any]]:
    """A first turn that calls a function, and the history it makes."""
    question = {"role": "user", "content": 'call look_up {"a": 1}'}
    reply = await connect().send(ask(messages=[question], tools=TOOLS))
    called = message(reply)
    result = {"role": "tool", "tool_call_id": called["tool_calls"][0]["id"], "content": '{"b": 2}'}
    return [question, called, result, {"role": "user", "content": "And now?"}]


async def test_state_ids_are_sent_back_and_left_out_where_they_are_refused(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    history = await dialogue(ask, connect)
    fake.state_ids = False
    assert text(await connect().send(ask(messages=history, tools=TOOLS))) == "You said: And now?"
    _, with_state, without = fake.bodies()
    assert "functions_state_id" in json.dumps(with_state)
    assert "functions_state_id" not in json.dumps(without)


async def test_calls_in_the_history_become_text_where_they_are_refused_without_functions(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    history = await dialogue(ask, connect)
    assert text(await connect().send(ask(messages=history))) == "You said: And now?"
    assert "function_call" not in json.dumps(fake.bodies()[-1])


async def test_each_repair_is_tried_once(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    history = await dialogue(ask, connect)
    fake.script(CHAT, *[refusal(422, "Invalid params: response_format")] * 10)
    with pytest.raises(RequestRejected):
        await connect().send(ask(messages=history, response_format=SCHEMA))
    assert 2 <= len(fake.asked(CHAT)) - 1 <= 4


async def test_a_plain_refusal_is_not_tried_again(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    fake.script(CHAT, refusal(422, "Invalid params: something"))
    with pytest.raises(RequestRejected, match="GigaChat: Invalid params: something"):
        await connect().send(ask())
    assert len(fake.asked(CHAT)) == 1


async def test_a_model_of_the_first_generation_is_answered_by_its_successor(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    provider = connect()
    for _ in range(2):
        reply = await provider.send(ask(model="GigaChat"))
        assert reply.model == "GigaChat-2"
        assert isinstance(reply.body, ChatCompletion)
        assert reply.body.value["model"] == "GigaChat"
    assert [body["model"] for body in fake.bodies()] == ["GigaChat", "GigaChat-2", "GigaChat-2"]


async def test_an_unknown_model_is_not_found(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    with pytest.raises(ModelNotFound) as caught:
        await connect().send(ask(model="gpt-5"))
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")
    assert len(fake.asked(CHAT)) == 1


# One family of errors.


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"status":0,"message":"No."}', b"<html><title>No</title></html>", b"\xff\x00"]
)
async def test_every_status_becomes_a_member_of_the_family(
    connect: Connect, ask: Ask, fake: FakeGigaChat, clock: LoopClock, body: bytes, streamed: bool
) -> None:
    provider = connect()
    for status in range(400, 600):
        fake.script(CHAT, *[ScriptedAnswer(status, body)] * 3)
        with pytest.raises(XRouterError) as caught:
            await provider.send(ask(stream=streamed))
        error = caught.value
        assert 400 <= error.status < 600
        assert error.status != 401
        assert "<" not in error.message
        assert "127.0.0.1" not in error.message
        fake.unscript(CHAT)
        clock.advance(31)  # a 401 is remembered for half a minute
    assert text(await provider.send(ask())) == "You said: Hello"


BROKEN = [
    b"", b"{", b"null", b"[]", b'"text"', b"{}", b"[" * 100_000, b"\xff\xfe",
    b'{"choices":[]}', b'{"choices":{}}', b'{"choices":[1]}', b'{"choices":[{}]}', b'{"choices":[{"message":null}]}',
    b'{"choices":[{"finish_reason":"error"}]}',
    b'{"choices":[{"message":{"function_call":7},"finish_reason":"function_call"}]}',
    b'{"choices":[{"index":0,"message":{"content":NaN}}]}',
    b'{"status":500,"message":"Internal Server Error"}', b'{"error":{"message":"x"}}',
]  # fmt: skip


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("body", BROKEN)
async def test_a_broken_body_is_the_upstreams_fault(
    connect: Connect, ask: Ask, fake: FakeGigaChat, body: bytes, streamed: bool
) -> None:
    provider = connect()
    fake.script(CHAT, ScriptedAnswer(200, body))
    with pytest.raises(UpstreamError):
        await provider.send(ask(stream=streamed))
    assert text(await provider.send(ask())) == "You said: Hello"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_reset_and_a_silence_are_errors_of_the_family(
    connect: Connect, ask: Ask, fake: FakeGigaChat, streamed: bool
) -> None:
    provider = connect(timeouts=Timeouts(first=0.5))
    fake.script(CHAT, Reset())
    with pytest.raises(UpstreamError) as caught:
        await provider.send(ask(stream=streamed))
    assert caught.value.code == "connection_lost"
    fake.script(CHAT, Stall())
    with pytest.raises(UpstreamTimeout):
        await provider.send(ask(stream=streamed))
    await fake.quiet()
    assert text(await provider.send(ask())) == "You said: Hello"


async def test_a_guessed_end_is_told_beside_what_was_ignored(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    fake.script(CHAT, ScriptedAnswer(200, {"choices": [{"message": {"content": "Hi"}, "finish_reason": "surprise"}]}))
    reply = await connect().send(ask(seed=1))
    assert reply.warnings == ("seed_ignored", "finish_reason_unknown")
