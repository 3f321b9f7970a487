"""Errors of real upstreams, one a line of `upstream_errors.jsonl`, and what each is taken for.

`kind` is whose fault it is. `becomes` and `code` are what a client gets that has no other upstream, `fallback`,
`repetition` and `rest` what the gateway does first.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.providers.openai.calls import chat
from xrouter_asgi.errors import RequestRejected, UpstreamError, XRouterError
from xrouter_asgi.policies.candidates import Candidate, Capabilities
from xrouter_asgi.policies.fallback import Fallback
from xrouter_asgi.providers.base import Reply
from xrouter_asgi.providers.gigachat.response.errors import upstream_error
from xrouter_asgi.providers.http import ErrorReader, Redaction, UpstreamErrorBody, blame
from xrouter_asgi.providers.openai import OpenAIProvider
from xrouter_asgi.providers.openai.errors import refusal
from xrouter_asgi.testing.openai import FakeOpenAI, refuse, stream, whole
from xrouter_asgi.wire.stream import ChatStream

ROWS = [json.loads(line) for line in Path(__file__).with_name("upstream_errors.jsonl").read_text().splitlines()]
IDS = [row["upstream"] for row in ROWS]
NO_WAITS: list[Any] = [True, None, -1, 0, [], {}, "soon", "9" * 80, 1e99, 90_000]
NO_DETAILS: list[Any] = [None, 5, {}, [], [5]]
CLEAR = {"quota", "rate", "overloaded", "context", "model_gone"}  # kinds that words alone show


def raw(row: dict[str, Any]) -> bytes:
    return row["body"].encode() if isinstance(row["body"], str) else json.dumps(row["body"]).encode()


def words_of(row: dict[str, Any]) -> UpstreamErrorBody:
    return UpstreamErrorBody.of(raw(row), Redaction())


async def read(reply: Reply) -> None:
    if isinstance(reply.body, ChatStream):
        async for _ in reply.body:
            pass


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_each_error_is_blamed_on_who_is_at_fault(row: dict[str, Any]) -> None:
    assert blame(row["status"], words_of(row)) == row["kind"]


@pytest.mark.parametrize("row", ROWS, ids=IDS)
async def test_each_error_has_its_consequences_whole_and_streamed(row: dict[str, Any]) -> None:
    async with FakeOpenAI() as fake:
        provider = OpenAIProvider(fake.base_url)
        for streamed in (False, True):
            fake.next(whole(raw(row), status=row["status"]))
            with pytest.raises(XRouterError) as caught:
                await provider.send(chat(stream=streamed))
            error = caught.value
            assert (error.status, error.code) == (row["becomes"], row["code"])
            assert (error.falls_back, error.retryable) == (row["fallback"], row["repetition"])
            assert (error.cooldown_kind if isinstance(error, UpstreamError) else None) == row["rest"]
        await provider.aclose()


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row["kind"] in CLEAR and isinstance(row["body"], dict) and "error" in row["body"]]
)
async def test_an_error_under_status_200_is_blamed_by_its_words(row: dict[str, Any]) -> None:
    async with FakeOpenAI() as fake:
        provider = OpenAIProvider(fake.base_url)
        for streamed in (False, True):
            fake.next(stream(row["body"]) if streamed else whole(row["body"]))
            with pytest.raises(XRouterError) as caught:
                await read(await provider.send(chat(stream=streamed)))
            assert (caught.value.status, caught.value.code) == (row["becomes"], row["code"])
        await provider.aclose()


@pytest.mark.parametrize("row", [row for row in ROWS if row["kind"] in CLEAR], ids=lambda row: row["upstream"])
def test_gigachats_errors_are_blamed_by_the_same_table(row: dict[str, Any]) -> None:
    error = upstream_error(row["status"], httpx.Headers(), raw(row), model="m", errors=ErrorReader(Redaction()))
    assert (error.status, error.code) == (row["becomes"], row["code"])
    assert (error.falls_back, error.retryable) == (row["fallback"], row["repetition"])


@pytest.mark.parametrize("status", [402, 406, 407, 410, 416, 417, 418, 421, 424, 425, 426, 428, 431, 444, 451, 499])
@pytest.mark.parametrize("said", [UpstreamErrorBody(), UpstreamErrorBody("No."), UpstreamErrorBody(page="No.")])
def test_an_unknown_4xx_is_the_upstreams_and_comes_once(status: int, said: UpstreamErrorBody) -> None:
    error = refusal(status, said, model="m", errors=ErrorReader(Redaction()))
    assert (error.falls_back, error.retryable, error.trips, error.should_retry) == (True, False, False, False)


@pytest.mark.parametrize("status", [400, 404, 405, 411, 412, 413, 414, 415, 422])
def test_a_4xx_that_finds_fault_with_the_request_is_the_callers(status: int) -> None:
    assert blame(status, UpstreamErrorBody("No.", type="invalid_request_error")) == "caller"


@pytest.mark.parametrize("message", ["too many tokens, please wait", "Limit of tokens per minute is reached."])
@pytest.mark.parametrize("status", [400, 413, 422, 429, 500])
def test_throttling_is_never_a_context_that_is_full(status: int, message: str) -> None:
    assert blame(status, UpstreamErrorBody(message)) == "rate"


@pytest.mark.parametrize(
    ("headers", "members", "wait"),
    [
        ({"retry-after": "7"}, {"retry_after": 9}, 7.0),
        ({}, {"retry_after": 9}, 9.0),
        ({}, {"retry_after": "1.5"}, 1.5),
        ({}, {"retry_after_ms": 1500}, 1.5),
        ({}, {"metadata": {"retry_after_seconds": 20}}, 20.0),
        ({}, {"details": [{"@type": "x"}, None, {"retryDelay": "34.5s"}]}, 34.5),
        ({}, {"message": "Please try again in 9.816s."}, 9.816),
        ({}, {"message": "Please try again in 300ms."}, 0.3),
        ({}, {"message": "Please try again in 1m0.5s."}, 60.0),
        ({}, {"message": "Please retry after 20 seconds."}, 20.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "7.66s"}, {}, 7.66),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "12ms"}, {}, 0.012),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "-1"}, {}, None),
        ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "7.66s"}, {}, None),
        *(({}, {"retry_after": odd}, None) for odd in NO_WAITS),
        *(({}, {"details": odd}, None) for odd in NO_DETAILS),
        ({}, {"message": "Try again later, or retry with 3 models."}, None),
        ({}, {"message": "Please try again in 99999999999s."}, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503, 529])
async def test_a_wait_is_read_wherever_it_is_told(
    status: int, headers: dict[str, str], members: dict[str, Any], wait: float | None
) -> None:
    async with FakeOpenAI() as fake:
        provider = OpenAIProvider(fake.base_url)
        fake.next(refuse(status, headers=headers, **members))
        with pytest.raises(XRouterError) as caught:
            await provider.send(chat())
        await provider.aclose()
    assert caught.value.retry_after == (None if wait is None else pytest.approx(wait))


@pytest.mark.parametrize(
    "worst",
    ["quota " * 11_000, "model " * 11_000, "prompt " * 9_000, "try again " * 6_500, "wait 9h" * 9_000, "<" * 65_536],
)
def test_the_work_for_64_kib_of_the_worst_words_is_bounded(worst: str) -> None:
    began = time.process_time()
    blame(404, UpstreamErrorBody.of_value({"message": worst}, Redaction()))
    assert time.process_time() - began < 0.2


@pytest.mark.parametrize("row", ROWS, ids=IDS)
@pytest.mark.parametrize("streamed", [False, True])
async def test_another_upstream_is_asked_unless_the_caller_is_to_blame(row: dict[str, Any], streamed: bool) -> None:
    async with FakeOpenAI() as first, FakeOpenAI() as second:
        providers = [OpenAIProvider(fake.base_url) for fake in (first, second)]
        small, large = Capabilities(context=50_000), Capabilities(context=100_000)
        candidates = [
            Candidate(providers[0], "1", capabilities=small),
            Candidate(providers[1], "2", capabilities=large),
        ]
        first.next(whole(raw(row), status=row["status"]))
        fallback = Fallback(candidates)
        if row["fallback"] or row["kind"] == "context":  # the second one has more of it
            await read(await fallback.send(chat(stream=streamed)))
        else:
            with pytest.raises(RequestRejected):
                await fallback.send(chat(stream=streamed))
        assert len(first.requests) == 1
        await fallback.aclose()
