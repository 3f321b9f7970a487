"""The bytes of a stream in, chunks out."""

from __future__ import annotations

import json
from typing import Any

from xrouter_asgi.providers.gigachat.response.stream import EventDecoder, StreamTranslation, UntilStopped
from xrouter_asgi.wire import ChatChunk

from ..translating import chat, event, opened, translated

COUNTED = event(usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3})


def translation(**members: Any) -> StreamTranslation:
    return opened(translated(chat(stream=True, stream_options={"include_usage": True}, **members)))


def encoded(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def usage_of(chunks: list[ChatChunk]) -> list[int]:
    return [chunk.value["usage"]["total_tokens"] for chunk in chunks if chunk.value.get("usage")]


def test_a_comment_is_silence_and_an_event_without_chunks_is_none() -> None:
    decoder = EventDecoder(translation())
    assert (decoder.feed(b": still here\n\n"), decoder.silent) == ([], True)
    assert (decoder.feed(encoded(event("Drawing", role="function_in_progress"))), decoder.silent) == ([], False)


def test_what_follows_the_end_is_dropped() -> None:
    decoder = EventDecoder(translation())
    decoder.feed(encoded(event("Hi", finish="stop")) + b"data: [DONE]\n\ndata: {\n\n")
    assert (decoder.done, decoder.finished, decoder.failure) == (True, True, None)


def test_the_last_event_counts_without_its_blank_line() -> None:
    decoder = EventDecoder(translation())
    decoder.feed(encoded(event("Hi", finish="stop")) + encoded(COUNTED).strip())
    assert usage_of(decoder.close()) == [3]
    assert decoder.failure is None


def test_the_end_counts_without_its_blank_line() -> None:
    decoder = EventDecoder(translation())
    decoder.feed(encoded(event("Hi", finish="stop", usage=COUNTED["usage"])) + b"data: [DONE]")
    assert usage_of(decoder.close()) == [3]


def test_done_ends_an_answer_that_has_not_told_its_end() -> None:
    decoder = EventDecoder(translation())
    decoder.feed(encoded(event("Hi")))
    chunks = decoder.feed(encoded(COUNTED) + b"data: [DONE]\n\n")
    assert chunks[0].value["choices"][0]["finish_reason"] == "stop"
    assert (decoder.done, decoder.finished, decoder.failure) == (True, True, None)


def test_done_alone_ends_nothing() -> None:
    decoder = EventDecoder(translation())
    assert decoder.feed(b"data: [DONE]\n\n") == []
    assert decoder.failure is not None
    assert decoder.failure.code == "stream_broken"


def test_what_the_end_cuts_off_is_no_event() -> None:
    finished, unfinished = EventDecoder(translation()), EventDecoder(translation())
    finished.feed(encoded(event("Hi", finish="stop", usage=COUNTED["usage"])) + b'data: {"usa')
    assert (usage_of(finished.close()), finished.failure) == ([3], None)
    unfinished.feed(encoded(event("Hi")) + b'data: {"cho')
    unfinished.close()
    assert unfinished.failure is not None
    assert unfinished.failure.code == "stream_broken"


class Body:
    """The rest of an answer."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = iter(pieces)

    async def __anext__(self) -> bytes:
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """There is nothing to close."""


async def test_after_a_stop_sequence_the_rest_is_read_for_its_usage_only_if_it_is_wanted() -> None:
    for drain, left in ((True, [b"b", b"c"]), (False, [])):
        stopped = translation(stop=["END"])
        pieces = UntilStopped(Body(b"a", b"b", b"c"), stopped, drain=drain)
        assert await anext(pieces) == b"a"
        stopped.feed(event("all of it END and more"))
        assert [piece for _ in range(3) if (piece := await anext(pieces, None))] == left
