"""`router.chat`: a model asked by the program itself."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from xrouter_asgi import Call, EchoProvider, LLMRouter, Reply, Target, resilient
from xrouter_asgi.errors import InvalidRequest, ModelNotFound, UpstreamError, UpstreamUnavailable
from xrouter_asgi.testing.scripted import USAGE, ScriptedProvider, chunk, usage_chunk
from xrouter_asgi.wire import ChatChunk, ChatCompletion, ChatRequest

HI = [{"role": "user", "content": "hi there"}]


async def test_awaited_it_is_a_whole_answer_with_attributes() -> None:
    answer = await LLMRouter({"echo": EchoProvider()}).chat(HI, model="echo")
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("hi there", "stop")
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0


async def test_iterated_over_it_is_a_stream_of_chunks() -> None:
    provider = ScriptedProvider([chunk("hel"), chunk("lo")], [chunk(finish="stop")], [usage_chunk()])
    router = LLMRouter({"scripted": provider})
    chunks = [each async for each in router.chat(HI, model="scripted", temperature=0.5)]
    assert [each.choices[0].delta.content for each in chunks] == ["hel", "lo", None]
    assert chunks[-1].choices[0].finish_reason == "stop"
    counted = [each async for each in router.chat(HI, model="scripted", stream_options={"include_usage": True})]
    assert counted[-1].usage is not None
    assert counted[-1].usage.total_tokens == USAGE["total_tokens"]
    first, _ = provider.calls
    assert first.document.value == {"model": "scripted", "messages": HI, "temperature": 0.5, "stream": True}


async def test_one_chat_can_be_sent_twice() -> None:
    provider = ScriptedProvider()
    chat = LLMRouter({"scripted": provider}).chat(HI, model="scripted")
    assert provider.calls == []
    assert (await chat).id == (await chat).id
    assert len(provider.calls) == 2


async def test_names_patterns_and_policies_are_those_of_clients() -> None:
    provider = ScriptedProvider()
    failing = ScriptedProvider(UpstreamUnavailable("Down."))
    router = LLMRouter({"local-*": Target(provider, model="*"), "broken": resilient(Target(failing, model="x"))})
    await router.chat(HI, model="local-qwen")
    assert [call.model for call in provider.calls] == ["qwen"]
    with pytest.raises(UpstreamUnavailable):
        await router.chat(HI, model="broken")
    assert len(failing.calls) > 1


async def test_what_is_wrong_is_told_as_to_a_client_before_anybody_is_asked() -> None:
    provider = ScriptedProvider()
    router = LLMRouter({"scripted": provider})
    with pytest.raises(ModelNotFound, match="`unknown` does not exist"):
        await router.chat(HI, model="unknown")
    with pytest.raises(InvalidRequest, match="temperature"):
        await router.chat(HI, model="scripted", temperature=9)
    with pytest.raises(InvalidRequest, match="messages"):
        async for _ in router.chat([{"role": "nobody"}], model="scripted"):
            pass
    with pytest.raises(TypeError, match="Leave 'stream' out"):
        router.chat(HI, model="scripted", stream=True)
    assert provider.calls == []


async def test_a_model_that_the_upstream_does_not_know_is_not_the_caller_s_mistake() -> None:
    router = LLMRouter({"a": ScriptedProvider(ModelNotFound("a")), "b-*": ScriptedProvider(ModelNotFound("c"))})
    with pytest.raises(ModelNotFound, match="is listed here, but its upstream does not know it"):
        await router.chat(HI, model="a")
    with pytest.raises(ModelNotFound, match="`c` does not exist"):
        await router.chat(HI, model="b-c")


async def test_whoever_leaves_the_loop_closes_the_upstream() -> None:
    provider = ScriptedProvider([chunk("one")], asyncio.Event())
    router = LLMRouter({"scripted": provider})
    async with aclosing(aiter(router.chat(HI, model="scripted"))) as chunks:
        async for _ in chunks:
            break
    assert (provider.opened, provider.closed) == (1, 1)
    provider.settled.clear()
    async for _ in router.chat(HI, model="scripted"):
        break
    async with asyncio.timeout(10):
        await provider.settled.wait()


async def test_a_stream_that_breaks_raises_and_closes_the_upstream() -> None:
    provider = ScriptedProvider([chunk("one")], UpstreamError("It broke off.", code="stream_broken"))
    chunks = aiter(LLMRouter({"scripted": provider}).chat(HI, model="scripted"))
    assert (await anext(chunks)).choices[0].delta.content == "one"
    with pytest.raises(UpstreamError, match="It broke off"):
        await anext(chunks)
    assert (provider.opened, provider.closed) == (1, 1)


async def test_a_provider_may_leave_out_what_an_answer_says_of_itself() -> None:
    body = ChatCompletion(
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}]}
    )
    answer = await LLMRouter({"own": ScriptedProvider(body=body)}).chat(HI, model="own")
    assert (answer.id, answer.model, answer.choices[0].message.content) == ("", "upstream-model", "x")


@pytest.mark.parametrize("value", [{}, {"choices": [{"index": 0}]}, {"choices": None}])
async def test_an_answer_without_choices_is_an_error_of_the_upstream(value: dict[str, Any]) -> None:
    with pytest.raises(UpstreamError, match="not one of a chat") as failed:
        await LLMRouter({"own": ScriptedProvider(body=ChatCompletion(value))}).chat(HI, model="own")
    assert "choices" in (failed.value.detail or "")
    with pytest.raises(UpstreamError, match="not one of a chat"):
        async for _ in LLMRouter({"own": ScriptedProvider([ChatChunk({"choices": [{"index": "one"}]})])}).chat(
            HI, model="own"
        ):
            pass


class Confused(ScriptedProvider):
    """Answers whole what should stream, and the other way round."""

    async def send(self, call: Call, /) -> Reply:
        stream = isinstance(call.request, ChatRequest) and call.request.stream
        return await super().send(Call(ChatRequest.of({"model": "m", "messages": HI, "stream": not stream})))


async def test_a_provider_that_answers_with_another_kind_is_a_defect() -> None:
    provider = Confused()
    router = LLMRouter({"m": provider})
    with pytest.raises(TypeError, match="answered a chat with a ChatStream"):
        await router.chat(HI, model="m")
    assert provider.closed == provider.opened
    with pytest.raises(TypeError, match="answered a chat with a ChatCompletion"):
        async for _ in router.chat(HI, model="m"):
            pass
