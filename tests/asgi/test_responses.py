from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.types import Message, Send

from tests.asgi_client import Answer
from xrouter_asgi.asgi.responses import header, send_error, send_json, send_stream
from xrouter_asgi.context import RequestContext
from xrouter_asgi.dialects.chat import ChatWriter
from xrouter_asgi.envelopes import openai
from xrouter_asgi.errors import UpstreamRateLimited, XRouterError
from xrouter_asgi.testing.scripted import chunk, usage_chunk
from xrouter_asgi.wire import ChatChunk
from xrouter_asgi.wire.stream import ChatStream

Batch = Sequence[ChatChunk]


async def streamed(*steps: Batch | Exception) -> Answer:
    """What goes out for these reads of the upstream."""

    async def batches() -> AsyncIterator[Batch]:
        for step in steps:
            if isinstance(step, Exception):
                raise step
            yield step

    answer = Answer()
    stream = await ChatStream.start(batches())
    await send_stream(into(answer), stream, ChatWriter(include_usage=False), context=RequestContext())
    await stream.aclose()
    return answer


def into(answer: Answer) -> Send:
    async def send(message: Message) -> None:
        answer.messages.append(message)

    return send


async def test_json_goes_out_whole_with_its_length() -> None:
    answer = Answer()
    await send_json(into(answer), b"{}", headers=[(b"x-request-id", b"r")], status=201)
    assert answer.finished
    assert (answer.status, answer.body, answer.header("x-request-id")) == (201, b"{}", "r")
    assert answer.header("x-content-type-options") == "nosniff"


async def test_an_error_brings_its_status_its_headers_and_ours() -> None:
    answer = Answer()
    error = UpstreamRateLimited("Slow down.", retry_after=1.5, should_retry=True)
    await send_error(into(answer), error, context=RequestContext(), headers=[(b"x-request-id", b"r")])
    assert answer.status == 429
    assert answer.error == {
        "message": "Slow down.",
        "type": "requests",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    assert answer.header("retry-after") == "2"
    assert answer.header("x-should-retry") == "true"


async def test_what_one_read_returned_goes_out_as_one_message() -> None:
    answer = await streamed([chunk("a"), chunk("b")], [chunk(finish="stop")])
    first, second, last = answer.bodies
    assert first == b"".join(b"data: " + piece.data + b"\n\n" for piece in (chunk("a"), chunk("b")))
    assert second == b"data: " + chunk(finish="stop").data + b"\n\n"
    assert last == b"data: [DONE]\n\n"


async def test_the_head_of_a_stream_keeps_caches_and_proxies_out_of_it() -> None:
    answer = await streamed([chunk("a", finish="stop")])
    assert answer.header("content-type") == "text/event-stream; charset=utf-8"
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("cache-control") == "no-cache"
    assert answer.header("x-accel-buffering") == "no"
    assert answer.header("content-length") is None


async def test_the_end_of_a_stream_comes_together_with_done() -> None:
    answer = await streamed([chunk("a", finish="stop")])
    assert [message.get("more_body", False) for message in answer.messages[1:]] == [True, False]
    assert answer.bodies[-1].endswith(b"data: [DONE]\n\n")


async def test_a_batch_that_the_client_is_told_nothing_of_is_no_message() -> None:
    answer = await streamed([chunk("a", finish="stop")], [usage_chunk()])
    assert all(answer.bodies), "an empty message would only cost"
    assert answer.events == [chunk("a", finish="stop").value, "[DONE]"]


async def test_an_upstream_that_fails_in_mid_stream_is_one_error_event_without_done(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failure = UpstreamRateLimited("Slow down.", detail="10.0.0.7 said no")
    answer = await streamed([chunk("a")], failure)
    assert answer.events == [chunk("a").value, openai(failure, "")[2]]
    assert answer.finished
    assert caplog.messages == ["A stream broke: 10.0.0.7 said no"]


async def test_a_stream_that_merely_stops_is_one_error_event_without_done() -> None:
    answer = await streamed([chunk("a")])
    assert answer.events[-1]["error"]["code"] == "stream_broken"


async def test_a_failure_without_a_detail_is_logged_by_its_message(caplog: pytest.LogCaptureFixture) -> None:
    await streamed([chunk("a")], XRouterError("Odd."))
    assert caplog.messages == ["A stream broke: Odd."]


async def test_a_defect_in_mid_stream_tells_the_client_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    answer = await streamed([chunk("a")], KeyError("secret"))
    assert answer.events[-1] == {
        "error": {"message": "The answer broke off.", "type": "server_error", "param": None, "code": "stream_broken"}
    }
    assert "secret" in caplog.text


@given(value=st.text())
@example(value="a\x7fb")
def test_no_value_of_a_header_can_end_it(value: str) -> None:
    name, encoded = header("x-xrouter-model", value)
    assert name == b"x-xrouter-model"
    assert len(encoded) <= len(value)
    assert not any(code < 32 or code == 127 for code in encoded)
    assert encoded == encoded.strip()


def test_a_header_keeps_latin_1_and_replaces_what_it_lacks() -> None:
    assert header("x", "Ünïcode ГигаЧат\r\nx: y") == (b"x", "Ünïcode ???????  x: y".encode("latin-1"))


def test_a_header_is_cut_before_clients_give_up_on_it() -> None:
    assert header("x", "я" * 100_000) == (b"x", b"?" * 4096)
