"""Odd answers beside the known ones: whole and streamed, alone and with another upstream to ask."""

from __future__ import annotations

from typing import Any

import pytest

from xrouter_asgi.errors import XRouterError
from xrouter_asgi.policies import Candidate, Fallback
from xrouter_asgi.providers.openai import OpenAIProvider
from xrouter_asgi.testing.openai import DONE, FakeOpenAI, event, stream, whole
from xrouter_asgi.testing.openai_answers import chunk, chunk_choice, completion
from xrouter_asgi.wire import ChatCompletion

from .calls import chat, read, stream_of, text_of

HI = chunk({"role": "assistant", "content": "Hi"})
WHOLE = completion({"model": "m", "messages": [{"role": "user", "content": "Hi"}]})
DIED = {"code": 502, "message": "The provider died."}

FAILURES: list[tuple[dict[str, Any], str, str]] = [
    ({"detail": {"error": "No."}}, "upstream_error", "No."),
    ({"detail": {"message": "No.", "code": "insufficient_quota"}}, "insufficient_quota", "quota"),
    ({"error_code": 336003, "error_msg": "No."}, "upstream_error", "No."),
    ({"error": {"message": "x", "error": {"message": "No."}}}, "upstream_error", "No."),
    ({"base_resp": {"status_code": 1008, "status_msg": "No."}, "choices": None}, "insufficient_quota", "quota"),
    ({"base_resp": {"status_code": 1002, "status_msg": "No."}}, "rate_limit_exceeded", "No."),
    ({"base_resp": {"status_code": 1027, "status_msg": "No."}}, "", "No."),
    ({"code": 1113, "msg": "No."}, "insufficient_quota", "quota"),
    ({"type": "error", "error": {"type": "overloaded_error", "message": "No."}}, "upstream_overloaded", "No."),
    ({**HI, "choices": [{**chunk_choice(0, {"content": ""}, "error"), "error": DIED}]}, "upstream_error", "died"),
    ({**HI, "choices": [{**chunk_choice(0, {"content": ""}), "error": {**DIED, "code": 429}}]}, "rate_limit", "died"),
]


@pytest.mark.parametrize(("body", "code", "said"), FAILURES)
async def test_a_failure_under_status_200_is_one(
    fake: FakeOpenAI, provider: OpenAIProvider, body: dict[str, Any], code: str, said: str
) -> None:
    if body.get("choices"):
        whole_body = {**WHOLE, "choices": [{**WHOLE["choices"][0], "error": body["choices"][0]["error"]}]}
    else:
        whole_body = body
    fake.next(whole(whole_body), whole(body), stream(body), stream(HI, body))
    for streamed in (False, True, True):
        with pytest.raises(XRouterError, match=said) as caught:
            await provider.send(chat(stream=streamed))
        assert code in (caught.value.code or "")
    answer = await stream_of(provider)
    with pytest.raises(XRouterError, match=said) as caught:
        await read(answer)
    assert code in (caught.value.code or "")


@pytest.mark.parametrize(("body", "code", "said"), [each for each in FAILURES if each[1]])
async def test_another_upstream_answers_in_its_place(
    fake: FakeOpenAI, body: dict[str, Any], code: str, said: str
) -> None:
    async with FakeOpenAI() as other:
        providers = [OpenAIProvider(each.base_url) for each in (fake, other)]
        fallback = Fallback([Candidate(each, each.name) for each in providers])
        fake.next(stream(body))
        reply = await fallback.send(chat("Hello", stream=True))
        assert reply.stream is not None
        assert text_of(await read(reply.stream)) == "Hello"
        assert (len(fake.requests), len(other.requests)) == (1, 1)
        await fallback.aclose()


@pytest.mark.parametrize("nothing", [None, {}, "", False, []])
async def test_an_empty_error_beside_an_answer_is_none(
    fake: FakeOpenAI, provider: OpenAIProvider, nothing: object
) -> None:
    fake.next(stream({**HI, "error": nothing}, chunk({}, "stop")), whole({**WHOLE, "error": nothing}))
    assert text_of(await read(await stream_of(provider))) == "Hi"
    assert isinstance((await provider.send(chat())).body, ChatCompletion)


@pytest.mark.parametrize("nothing", [False, 0, "", None, [], {}])
async def test_an_empty_finish_reason_is_none(fake: FakeOpenAI, provider: OpenAIProvider, nothing: object) -> None:
    value = chunk({"role": "assistant", "content": "Hi"})
    value["choices"][0]["finish_reason"] = nothing
    fake.next(stream(value))
    passed = await read(await stream_of(provider))
    assert [each.value["choices"][0]["finish_reason"] for each in passed] == [None, "stop"]


@pytest.mark.parametrize(
    "usage",
    [
        [],
        "many",
        5,
        {"prompt_tokens": -1, "completion_tokens": -5},
        {"prompt_tokens": True, "completion_tokens": 2},
        {"prompt_tokens": 10**30, "completion_tokens": 2},
        {"prompt_tokens": {}, "completion_tokens": None},
    ],
)
async def test_usage_that_cannot_be_read_is_not_shown(
    fake: FakeOpenAI, provider: OpenAIProvider, usage: object
) -> None:
    fake.next(stream(HI, {**chunk({}, "stop"), "usage": usage}), whole({**WHOLE, "usage": usage}))
    fake.next(whole(event(HI) + event({**chunk({}, "stop"), "usage": usage}) + DONE))
    answer = await stream_of(provider)
    assert not any(each.value.get("usage") for each in await read(answer))
    assert answer.usage is None
    for _ in range(2):
        reply = await provider.send(chat())
        assert isinstance(reply.body, ChatCompletion)
        assert not reply.body.value.get("usage")


async def test_usage_that_tells_only_a_price_is_passed_on(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    fake.next(whole({**WHOLE, "usage": {"cost": 0.5}}))
    reply = await provider.send(chat())
    assert isinstance(reply.body, ChatCompletion)
    assert reply.body.value["usage"] == {"cost": 0.5}
