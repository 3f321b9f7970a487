from __future__ import annotations

import asyncio
import json
import traceback
from typing import Any

import httpx
import pytest

from xrouter_asgi.envelopes import openai
from xrouter_asgi.errors import InvalidRequest, UpstreamError, UpstreamUnauthorized, XRouterError
from xrouter_asgi.policies.candidates import Candidate
from xrouter_asgi.policies.fallback import Fallback
from xrouter_asgi.providers.base import Call
from xrouter_asgi.providers.http import TLS, Timeouts
from xrouter_asgi.providers.openai import OpenAIProvider
from xrouter_asgi.testing.clock import LoopClock
from xrouter_asgi.testing.openai import FakeOpenAI, held, identity, raw, refuse, whole
from xrouter_asgi.testing.openai_answers import MODELS, completion
from xrouter_asgi.wire import ChatCompletion, EmbeddingList, ModelList

from .calls import TOOL, chat, embed, read, stream_of


async def test_a_completion_comes_down_as_the_bytes_it_was(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    data = json.dumps(completion({"model": "m", "messages": []}), indent=2).encode()
    fake.next(whole(data))
    reply = await provider.send(chat())
    assert isinstance(reply.body, ChatCompletion)
    assert reply.body.data == data
    assert (reply.provider, reply.model, reply.headers, reply.warnings) == ("openai", "alias", (), ())


async def test_the_clients_bytes_go_up_but_for_the_model(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    body = b'{"model" : "alias", "top_k": 5, "messages": [{"role":"user","content":"\\u00e9 \xc3\xa9"}] }'
    await provider.send(chat(body=body, model="real"))
    assert fake.requests[0].body == body.replace(b"alias", b"real")
    await provider.send(chat(body=body))
    assert fake.requests[1].body == body


async def test_the_headers_are_built_from_nothing(fake: FakeOpenAI) -> None:
    provider = OpenAIProvider(fake.base_url, api_key="sk-1", headers={"api-version": "2"})
    client = [(b"authorization", b"Bearer theirs"), (b"x-stainless-os", b"Linux"), (b"cookie", b"a=b")]
    call = chat()
    await provider.send(Call(call.request, document=call.document, headers=client))
    await provider.aclose()
    headers = dict(fake.requests[0].headers)
    assert headers.pop("user-agent").startswith("xrouter-asgi/")
    assert headers.pop("content-length") == str(len(call.document.data))
    assert headers.pop("host") == fake.base_url.removeprefix("http://").removesuffix("/v1")
    assert headers == {
        "authorization": "Bearer sk-1",
        "api-version": "2",
        "content-type": "application/json",
        "accept": "application/json",
        "accept-encoding": "identity",
    }


async def test_without_a_key_no_authorization_is_sent(fake: FakeOpenAI) -> None:
    provider = OpenAIProvider(fake.base_url)
    await provider.models()
    await provider.aclose()
    assert "authorization" not in fake.requests[0].headers
    assert "content-type" not in fake.requests[0].headers


async def test_tool_calls_come_through(provider: OpenAIProvider) -> None:
    reply = await provider.send(chat('call sum {"a": 1}', tools=[TOOL]))
    assert isinstance(reply.body, ChatCompletion)
    (choice,) = reply.body.value["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "sum", "arguments": '{"a": 1}'}


async def test_usage_is_read_from_a_completion(provider: OpenAIProvider) -> None:
    reply = await provider.send(chat("Three words here"))
    assert isinstance(reply.body, ChatCompletion)
    assert reply.body.usage is not None
    assert (reply.body.usage.prompt_tokens, reply.body.usage.completion_tokens) == (3, 3)


async def test_embeddings_come_through(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    reply = await provider.send(embed())
    assert isinstance(reply.body, EmbeddingList)
    assert [row["embedding"][0] for row in reply.body.value["data"]] == [3.0, 5.0]
    assert fake.requests[0].path == "/v1/embeddings"
    packed = await provider.send(embed(encoding_format="base64"))
    assert isinstance(packed.body, EmbeddingList)
    assert isinstance(packed.body.value["data"][0]["embedding"], str)


async def test_embeddings_need_no_usage(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    fake.next(whole({"data": [{"embedding": [1.0]}, {"embedding": [2.0]}]}))
    reply = await provider.send(embed())
    assert isinstance(reply.body, EmbeddingList)
    assert reply.body.usage is None


async def test_after_vectors_that_cannot_be_used_the_next_target_is_asked(
    fake: FakeOpenAI, provider: OpenAIProvider
) -> None:
    fake.next(whole({"data": [{"embedding": [1.0], "index": 0}]}))  # one for two inputs
    async with FakeOpenAI() as other:
        second = OpenAIProvider(other.base_url)
        reply = await Fallback([Candidate(provider, "a"), Candidate(second, "b")]).send(embed())
        assert isinstance(reply.body, EmbeddingList)
        assert len(reply.body.value["data"]) == 2
        assert (fake.connections, other.connections) == (1, 1)
        await second.aclose()


async def test_the_list_of_models_is_asked_for_once_a_minute(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    clock = LoopClock()
    first = await provider.models()
    assert isinstance(first, ModelList)
    assert first.value == MODELS
    clock.advance(59)
    assert (await provider.models()) is first
    assert len(fake.requests) == 1
    clock.advance(1)
    assert (await provider.models()) is not first
    assert len(fake.requests) == 2


async def test_a_failure_to_list_models_is_not_kept(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    fake.next(refuse(500))
    with pytest.raises(UpstreamError):
        await provider.models()
    assert isinstance(await provider.models(), ModelList)


class TestUsageOfAStream:
    async def test_it_is_asked_for_when_the_client_did_not(self, fake: FakeOpenAI, provider: OpenAIProvider) -> None:
        stream = await stream_of(provider)
        chunks = await read(stream)
        assert fake.last["stream_options"] == {"include_usage": True}
        assert chunks[-1].only_usage
        assert stream.usage is not None
        assert all(b"usage" not in chunk.data for chunk in chunks[:-1])

    async def test_the_clients_own_options_are_kept(self, fake: FakeOpenAI, provider: OpenAIProvider) -> None:
        options = {"include_usage": False, "include_obfuscation": False}
        await read(await stream_of(provider, chat(stream=True, stream_options=options)))
        assert fake.last["stream_options"] == {"include_usage": True, "include_obfuscation": False}

    async def test_a_null_is_no_option(self, fake: FakeOpenAI, provider: OpenAIProvider) -> None:
        await read(await stream_of(provider, chat(stream=True, stream_options=None)))
        assert fake.last["stream_options"] == {"include_usage": True}

    async def test_when_the_client_asked_nothing_changes(self, fake: FakeOpenAI, provider: OpenAIProvider) -> None:
        call = chat(stream=True, stream_options={"include_usage": True})
        chunks = await read(await stream_of(provider, call))
        assert fake.requests[0].body == call.document.data
        assert all(b'"usage": null' in chunk.data for chunk in chunks[:-1])

    async def test_an_upstream_that_refuses_the_option_is_not_asked(self, fake: FakeOpenAI) -> None:
        provider = OpenAIProvider(fake.base_url, ask_usage=False)
        call = chat(stream=True)
        await read(await stream_of(provider, call))
        await provider.aclose()
        assert fake.requests[0].body == call.document.data


@pytest.mark.parametrize(
    ("body", "code", "retryable"),
    [
        (b"", "empty_answer", True),
        (b" \n", "empty_answer", True),
        ({"choices": []}, "empty_answer", True),
        ({"id": "x"}, "empty_answer", True),
        (b"{", "bad_body", False),
        (b'{"choices":[{"message":{"content":NaN}}]}', "bad_body", False),
        (b'{"choices":[{"message":{"content":"\xff"}}]}', "bad_body", False),
        (b'{"choices":' + b"[" * 300 + b"]" * 300 + b"}", "bad_body", False),
        (b"<html><body>Welcome to nginx</body></html>", "bad_body", False),
        (b"[]", "bad_body", False),
        (b'"text"', "bad_body", False),
        ({"choices": "text"}, "bad_body", False),
        ({"choices": {"message": {}}}, "bad_body", False),
        ({"choices": [1]}, "bad_body", False),
        ({"choices": [{}]}, "bad_body", False),
        ({"choices": [{"message": "text"}]}, "bad_body", False),
        ({"choices": [{"message": {"tool_calls": "text"}}]}, "bad_body", False),
        ({"choices": [{"message": {"tool_calls": [1]}}]}, "bad_body", False),
        *(
            ({"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}, "bad_body", False)
            for content in (5, True, {"text": "a"})
        ),
        *(
            ({"choices": [{"message": {"content": "a"}, "finish_reason": reason}]}, "bad_body", False)
            for reason in (1, ["stop"])
        ),
    ],
)
async def test_what_is_no_completion_is_the_upstreams_fault(
    fake: FakeOpenAI, provider: OpenAIProvider, body: object, code: str, retryable: bool
) -> None:
    fake.next(whole(body))
    with pytest.raises(UpstreamError) as caught:
        await provider.send(chat())
    assert (caught.value.status, caught.value.code, caught.value.retryable) == (502, code, retryable)
    assert "nginx" not in caught.value.message


@pytest.mark.parametrize("body", [{}, {"data": []}, {"data": [1]}, {"data": [{}]}, {"data": [{"embedding": 1}]}, []])
async def test_what_is_no_list_of_vectors_is_refused(fake: FakeOpenAI, provider: OpenAIProvider, body: object) -> None:
    fake.next(whole(body))
    with pytest.raises(UpstreamError) as caught:
        await provider.send(embed())
    assert caught.value.code == "bad_body"


@pytest.mark.parametrize("body", [{}, {"data": {}}, {"data": [1]}, {"data": [{}]}, {"data": [{"id": 1}]}, [{}], "m"])
async def test_what_is_no_list_of_models_is_refused(fake: FakeOpenAI, provider: OpenAIProvider, body: object) -> None:
    fake.next(whole(body))
    with pytest.raises(UpstreamError) as caught:
        await provider.models()
    assert caught.value.code == "bad_body"


@pytest.mark.parametrize("body", [{"data": None}, {"object": "list", "data": []}, [], b" \n[]"])
async def test_a_list_of_no_models_is_empty(fake: FakeOpenAI, provider: OpenAIProvider, body: object) -> None:
    fake.next(whole(body))
    assert (await provider.models()).value == {"object": "list", "data": []}


ROW = {"id": "a", "object": "model", "created": 5, "owned_by": "them", "more": True}


@pytest.mark.parametrize(
    "body",
    [
        [ROW, {"id": "b"}],
        {"data": [ROW, {"id": "b", "created": None, "owned_by": None, "object": None}]},
        {"data": [ROW, {"name": "nameless"}, {"id": ""}, {"id": None}, {"id": 1}, None, "b", {"id": "b"}]},
    ],
)
async def test_of_a_list_of_models_all_with_a_name_are_served(
    fake: FakeOpenAI, provider: OpenAIProvider, body: object
) -> None:
    fake.next(whole(body))
    assert (await provider.models()).value["data"] == [
        ROW,
        {"id": "b", "object": "model", "created": 0, "owned_by": "openai"},
    ]


async def test_an_error_in_an_array_is_no_list_of_models(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    fake.next(whole([{"error": {"code": 429, "message": "Slow down."}}], status=429))
    with pytest.raises(XRouterError, match="Slow down"):
        await provider.models()


async def test_half_a_surrogate_pair_in_an_answer_is_passed_on(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    said = completion({"model": "m", "messages": [{"role": "user", "content": "half \ud83d"}]})
    fake.next(whole(said))
    reply = await provider.send(chat())
    assert isinstance(reply.body, ChatCompletion)
    assert b"\\ud83d" in reply.body.data


async def test_half_a_surrogate_pair_in_an_error_becomes_a_replacement(
    fake: FakeOpenAI, provider: OpenAIProvider
) -> None:
    fake.next(refuse(400, "half \ud83d", param="seed"))
    with pytest.raises(XRouterError, match="half \ufffd") as caught:
        await provider.send(chat())
    assert (caught.value.status, caught.value.param) == (400, "seed")


async def test_json_under_another_content_type_is_json(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    answer = completion({"model": "m", "messages": []})
    fake.next(whole(answer, headers={"content-type": "text/plain"}), whole(answer, headers={}))
    for _ in range(2):
        assert isinstance((await provider.send(chat())).body, ChatCompletion)


@pytest.mark.parametrize("status", [201, 202, 299])
async def test_any_success_will_do(fake: FakeOpenAI, provider: OpenAIProvider, status: int) -> None:
    fake.next(whole(completion({"model": "m", "messages": []}), status=status))
    assert isinstance((await provider.send(chat())).body, ChatCompletion)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        ({"message": "Slow.", "type": "requests", "code": "rate_limit_exceeded"}, 429, "rate_limit_exceeded"),
        ({"message": "Broke.", "type": "insufficient_quota"}, 429, "insufficient_quota"),
        ({"message": "Wrong.", "code": 400}, 400, None),
        ({"message": "Busy.", "code": "529"}, 503, "upstream_overloaded"),
        ({"message": "Odd."}, 502, "upstream_error"),
        ("Odd.", 502, "upstream_error"),
    ],
)
async def test_an_error_under_status_200_is_an_error(
    fake: FakeOpenAI, provider: OpenAIProvider, error: object, status: int, code: str | None
) -> None:
    for body in ({"error": error}, {**error, "code": error.get("code")} if isinstance(error, dict) else None):
        if body is None:
            continue
        fake.next(whole(body))
        with pytest.raises((UpstreamError, InvalidRequest)) as caught:
            await provider.send(chat())
        assert (caught.value.status, caught.value.code) == (status, code)


async def test_a_body_cut_short_may_be_retried(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    fake.next(raw(identity(b"{", length=100)))
    with pytest.raises(UpstreamError) as caught:
        await provider.send(chat())
    assert (caught.value.code, caught.value.retryable) == ("truncated", True)


async def test_a_silent_upstream_is_given_up(fake: FakeOpenAI) -> None:
    provider = OpenAIProvider(fake.base_url, timeouts=Timeouts(first=0.01))
    fake.next(held(asyncio.Event(), refuse(500)))
    with pytest.raises(UpstreamError) as caught:
        await provider.send(chat())
    assert (caught.value.status, caught.value.code) == (504, "first_byte_timeout")
    await fake.settled()
    await provider.aclose()


async def test_a_cancelled_call_closes_the_upstream(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    fake.next(held(asyncio.Event(), refuse(500)))
    task = asyncio.create_task(provider.send(chat()))
    await fake.arrived()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await fake.settled()


async def test_a_redirect_is_not_followed(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    fake.next(whole({}, status=307, headers={"location": f"{fake.base_url}/models"}))
    with pytest.raises(UpstreamError) as caught:
        await provider.send(chat())
    assert caught.value.code == "redirect_refused"
    assert len(fake.requests) == 1


async def test_secrets_show_nowhere(fake: FakeOpenAI) -> None:
    key, header = "wrong-key-1", "another-secret"
    async with FakeOpenAI(api_key="right") as strict:
        provider = OpenAIProvider(strict.base_url, api_key=key, headers={"x-other": header})
        echo = f"Key {key} and {header} are wrong. See https://upstream.test/keys."
        strict.next(refuse(400, echo), refuse(401, echo), refuse(500, echo), refuse(429, echo))
        for _ in range(5):
            with pytest.raises((UpstreamError, InvalidRequest)) as caught:
                await provider.send(chat())
            shown = f"{openai(caught.value, '')} {caught.value!r} {caught.value.detail} {provider!r}"
            shown += "".join(traceback.format_exception(caught.value))
            assert not [secret for secret in (key, header) if secret in shown]
            assert "upstream.test" not in str(openai(caught.value, ""))
        await provider.aclose()
    assert isinstance(caught.value, UpstreamUnauthorized)


def test_what_it_is_made_of_is_checked() -> None:
    with pytest.raises(ValueError, match=r"https://api\.example\.com/v1"):
        OpenAIProvider("api.example.com")
    with pytest.raises(ValueError, match="'Authorization' holds a line break") as caught:
        OpenAIProvider("https://api.example.com/v1", api_key="sk-1\n")
    assert "sk-1" not in str(caught.value)
    with pytest.raises(ValueError, match=r"missing\.pem"):
        OpenAIProvider("https://api.example.com/v1", tls=TLS("missing.pem"))


@pytest.mark.parametrize("option", [{"cert": "missing.pem"}, {"key": "missing.pem"}])
def test_a_certificate_of_its_own_is_loaded(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"missing\.pem|'cert'"):
        OpenAIProvider("https://api.example.com/v1", tls=TLS(**option))


def test_turning_tls_checks_off_is_loud(caplog: pytest.LogCaptureFixture) -> None:
    OpenAIProvider("https://api.example.com/v1", tls=TLS(insecure=True))
    assert "not checked" in caplog.text


async def test_a_transport_of_ones_own_is_used() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == "https://api.example.com/v1/models"
        return httpx.Response(200, json=MODELS)

    provider = OpenAIProvider("https://api.example.com/v1/", transport=httpx.MockTransport(answer), name="mine")
    assert (await provider.models()).value == MODELS
    assert provider.name == "mine"
