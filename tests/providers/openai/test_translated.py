"""What other dialects than chat ask for, as an OpenAI-compatible upstream is sent it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest

from tests.serving import uvicorn_here
from xrouter_asgi.policies.candidates import Candidate
from xrouter_asgi.policies.stack import stack
from xrouter_asgi.providers.base import Call
from xrouter_asgi.providers.echo import EchoProvider
from xrouter_asgi.providers.openai import OpenAIOptions, OpenAIProvider
from xrouter_asgi.providers.openai.spelling import spelled
from xrouter_asgi.providers.target import Target
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.testing.openai import FakeOpenAI, refuse, whole
from xrouter_asgi.testing.openai_answers import completion
from xrouter_asgi.testing.scripted import chat
from xrouter_asgi.wire import ChatRequest, Document, Original


def call(**members: Any) -> Call:
    """A chat request that a dialect made of something else."""
    value = chat(**members)
    document, written = Document(value), Document({"model": value["model"]})
    original = Original("notes", written, document, written)
    return Call(ChatRequest.of(value), document=document, original=original)


@pytest.mark.parametrize("ask_usage", [True, False])
async def test_usage_is_asked_for_where_the_upstream_knows_the_member(ask_usage: bool) -> None:
    async with FakeOpenAI() as fake:
        provider = OpenAIProvider(fake.base_url, ask_usage=ask_usage)
        reply = await provider.send(call(stream=True, stream_options={"include_usage": True}))
        await reply.aclose()
        await provider.aclose()
    assert ("stream_options" in fake.last) is ask_usage


def sent(options: OpenAIOptions = OpenAIOptions(), **members: Any) -> dict[str, Any]:  # noqa: B008 -- frozen
    document, _ = spelled(Document(chat(**members)), options, model="m")
    return document.value


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize(
    ("options", "host", "wanted"),
    [
        (OpenAIOptions(), "up.test", "max_tokens"),
        (OpenAIOptions(), "api.openai.com", "max_completion_tokens"),
        (OpenAIOptions(), "me.openai.azure.com", "max_completion_tokens"),
        (OpenAIOptions(output_limit="max_tokens"), "api.openai.com", "max_tokens"),
        (OpenAIOptions(output_limit="max_completion_tokens"), "up.test", "max_completion_tokens"),
    ],
)
async def test_the_bound_of_the_output_has_the_name_that_the_upstream_knows(
    name: str, options: OpenAIOptions, host: str, wanted: str
) -> None:
    bodies = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return httpx.Response(200, json=completion({"model": "m", "messages": []}))

    provider = OpenAIProvider(f"https://{host}/v1", options=options, transport=httpx.MockTransport(answer))
    await provider.send(call(**{name: 7}))
    await provider.aclose()
    assert {each: bodies[0].get(each) for each in ("max_tokens", "max_completion_tokens")} == {
        "max_tokens": None,
        "max_completion_tokens": None,
        wanted: 7,
    }


async def test_effort_goes_only_to_models_that_reason(fake: FakeOpenAI) -> None:
    provider = OpenAIProvider(fake.base_url, options=OpenAIOptions(reasoning_models=("thinker*",)))
    for model, warnings in (("thinker-1", []), ("talker", ["reasoning_effort_ignored"])):
        reply = await provider.send(call(model=model, reasoning_effort="high"))
        assert list(reply.warnings) == warnings
        assert ("reasoning_effort" in fake.last) == (not warnings)
    await provider.aclose()


async def test_what_a_client_of_chat_wrote_goes_up_as_it_is(fake: FakeOpenAI) -> None:
    members: dict[str, Any] = {"max_completion_tokens": 5, "reasoning_effort": "low", "prompt_cache_key": "k"}
    provider = OpenAIProvider(fake.base_url)
    reply = await provider.send(Call(ChatRequest.of(chat(**members))))
    await provider.aclose()
    assert fake.last == chat(**members)
    assert list(reply.warnings) == []


@pytest.mark.parametrize("send", [False, True])
def test_the_key_of_a_cache_goes_only_to_upstreams_that_take_it(send: bool) -> None:
    assert ("prompt_cache_key" in sent(OpenAIOptions(prompt_cache_key=send), prompt_cache_key="k")) == send


def test_late_system_messages_stay_or_become_words_of_the_user() -> None:
    early, user = {"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}
    late, parts = {"role": "developer", "content": "Be short."}, [{"type": "text", "text": "Be calm."}]
    messages = [early, early, user, late, {"role": "system", "content": parts}]
    assert sent(messages=messages)["messages"] == messages
    assert sent(OpenAIOptions(late_system="user"), messages=messages)["messages"] == [
        early,
        early,
        user,
        {"role": "user", "content": "[system] Be short."},
        {"role": "user", "content": [{"type": "text", "text": "[system] "}, *parts]},
    ]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("reasoning_content", {"reasoning_content": "hm"}), ("reasoning", {"reasoning": "hm"}), ("off", {})],
)
def test_earlier_reasoning_goes_back_under_the_name_that_the_upstream_knows(name: Any, wanted: dict[str, str]) -> None:
    turn = {"role": "assistant", "content": "Yes."}
    (message,) = sent(OpenAIOptions(reasoning=name), messages=[{**turn, "reasoning_content": "hm"}])["messages"]
    assert message == {**turn, **wanted}


def test_a_pattern_with_two_stars_is_no_name_of_models() -> None:
    with pytest.raises(ValueError, match=r"reasoning_models holds '\*a\*'"):
        OpenAIOptions(reasoning_models=("*a*",))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_legacy_completion_goes_up_as_it_is(fake: FakeOpenAI, stream: bool) -> None:
    router = LLMRouter({"m": Target(OpenAIProvider(fake.base_url), model="real")})
    async with uvicorn_here(router) as url, openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k") as client:
        prompts = ["Once upon a", "time"]
        if stream:
            texts = ["", "", "", ""]
            async for event in await client.completions.create(model="m", prompt=prompts, n=2, stream=True):
                for choice in event.choices:
                    texts[choice.index] += choice.text
        else:
            answer = await client.completions.create(model="m", prompt=prompts, n=2)
            texts = [choice.text for choice in answer.choices]
            assert answer.usage is not None
            assert answer.usage.completion_tokens == 8
    assert texts == ["Once upon a", "Once upon a", "time", "time"]
    assert fake.requests[-1].path == "/v1/completions"
    assert fake.last.items() >= {"model": "real", "prompt": prompts, "n": 2}.items()


async def test_probabilities_of_a_legacy_completion_come_back_as_they_were(fake: FakeOpenAI) -> None:
    logprobs = {"tokens": ["a"], "token_logprobs": [-0.5], "top_logprobs": None, "text_offset": [0]}
    choice = {"text": "a", "index": 0, "logprobs": logprobs, "finish_reason": "length"}
    value = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}
    fake.next(whole(value))
    router = LLMRouter({"m": OpenAIProvider(fake.base_url)})
    async with uvicorn_here(router) as url, openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k") as client:
        answer = await client.completions.create(model="m", prompt="x", logprobs=1, suffix="end")
    assert answer.to_dict() == value


async def test_an_upstream_without_legacy_completions_gets_a_chat(fake: FakeOpenAI) -> None:
    router = LLMRouter({"m": OpenAIProvider(fake.base_url, options=OpenAIOptions(completions=False))})
    async with uvicorn_here(router) as url, openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k") as client:
        answer = await client.completions.create(model="m", prompt="Hello there", max_tokens=5)
        assert answer.choices[0].text == "Hello there"
        with pytest.raises(openai.BadRequestError) as caught:
            await client.completions.create(model="m", prompt="x", suffix="end")
    assert fake.requests[-1].path == "/v1/chat/completions"
    assert (caught.value.param, caught.value.code) == ("suffix", "unsupported_parameter")


async def test_what_one_upstream_cannot_translate_goes_to_one_that_need_not(fake: FakeOpenAI) -> None:
    speaking = Target(OpenAIProvider(fake.base_url), model="code")
    router = LLMRouter({"m": stack([Candidate(Target(EchoProvider()), "echo"), Candidate(speaking, "code")])})
    async with uvicorn_here(router) as url, openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k") as client:
        answer = await client.completions.create(model="m", prompt="def f(", suffix="return 1")
    assert answer.choices[0].text == "def f("
    assert fake.last["suffix"] == "return 1"


async def test_a_refusal_of_a_legacy_completion_keeps_its_words(fake: FakeOpenAI) -> None:
    fake.next(refuse(400, "Too much.", param="best_of", code="invalid_value"))
    router = LLMRouter({"m": OpenAIProvider(fake.base_url)})
    async with uvicorn_here(router) as url, openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k") as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.completions.create(model="m", prompt="x", best_of=3)
    assert (caught.value.param, caught.value.body["message"]) == ("best_of", "Too much.")  # type: ignore[index]
