from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xrouter_asgi.context import Usage
from xrouter_asgi.errors import UpstreamError, UpstreamTimeout, UpstreamUnavailable, XRouterError
from xrouter_asgi.wire import ChatChunk
from xrouter_asgi.wire.sse import MAX_EVENT, EventReader, encode_event
from xrouter_asgi.wire.stream import ChatStream

pieces_of_streams = st.sampled_from(
    [
        *(b"data", b"data:", b"data: ", b"data:  ", b" data: x", b"data : x", b"DATA: x", b"datas: x"),
        *(b"event: e", b"id: 1", b"retry: 10", b":", b": comment", b"unknown", b"x", b"", b'{"a":1}', b"[DONE]"),
        *(b"\n", b"\n\n", b"\r", b"\r\n", b"\r\n\r\n", b"\n\r", b"\xef\xbb\xbf", b"\xef", b"\xbb\xbf"),
        *("\u2028".encode(), "\u0085".encode(), b"\x0b", b"\x0c", b"\x1c", "é".encode(), b"\xff"),
    ]
)
streams = st.lists(pieces_of_streams, max_size=20).map(b"".join)


def interpret(stream: bytes) -> list[bytes]:
    """The algorithm of the HTML standard, section 9.2.6, step by step and byte by byte, for the payloads alone.

    As deviations of the standard are ours to state: an event without data is dropped, and the end of the stream ends
    an event, and white space may precede `data:`.
    """
    stream = stream.removeprefix(b"\xef\xbb\xbf")
    lines, line, position = [], b"", 0
    while position < len(stream):
        byte = stream[position : position + 1]
        if byte == b"\r":
            lines.append(line)
            line = b""
            if stream[position + 1 : position + 2] == b"\n":
                position += 1
        elif byte == b"\n":
            lines.append(line)
            line = b""
        else:
            line += byte
        position += 1
    lines += [line, b""]

    events, buffer = [], b""
    for line in lines:
        if line == b"":
            data = buffer[:-1] if buffer.endswith(b"\n") else buffer
            if data:
                events.append(data)
            buffer = b""
            continue
        if line.lstrip(b" \t").startswith(b"data:"):
            line = line.lstrip(b" \t")
        field, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            buffer += value + b"\n"
    return events


def read(*chunks: bytes, limit: int = MAX_EVENT) -> list[bytes]:
    reader = EventReader(limit=limit)
    return [event for chunk in chunks for event in reader.feed(chunk)] + reader.close()


@given(streams)
@example(b"\xef\xbb\xbfdata: x\r\rdata: y\r\n\r\n:\n\ndata\ndata: z")
@example(b"data: x\r\n\r\ndata: y\r\r\n\rdata: z\n\r\n")
@example(b"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\n")
@example(b"data: x\n\n\xef\xbb\xbfdata: y\n\n")
@example(b"data: x\r\n\ndata: y\n\n")
def test_a_stream_split_anywhere_is_read_as_the_standard_says(stream: bytes) -> None:
    expected = interpret(stream)
    for position in range(len(stream) + 1):
        assert read(stream[:position], stream[position:]) == expected
    assert read(*(stream[i : i + 1] for i in range(len(stream)))) == expected


@given(streams, st.lists(st.integers(0, 5)))
def test_empty_reads_change_nothing(stream: bytes, positions: list[int]) -> None:
    chunks = [stream[i : i + 1] for i in range(len(stream))]
    for position in positions:
        chunks.insert(position, b"")
    assert read(*chunks) == interpret(stream)


@given(st.binary(min_size=1).filter(lambda data: b"\r" not in data and data.strip(b"\n")))
def test_an_encoded_event_is_read_back_as_one_line(data: bytes) -> None:
    assert read(encode_event(data)) == [data.replace(b"\n", b" ")]
    assert encode_event(data).count(b"\n") == 2


OBJECTS = [b'{"a":{}}', b'{"b":"}\\n{"}', b"[DONE]"]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("field", [b"data: ", b"data:", b" data: ", b"\t data:"])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_objects_on_lines_of_their_own_are_events(field: bytes, line_end: bytes, size: int) -> None:
    data = b"".join(field + value + line_end for value in OBJECTS)
    assert read(*(data[start : start + size] for start in range(0, len(data), size))) == OBJECTS


def test_an_object_on_a_line_of_its_own_is_out_with_the_next_one() -> None:
    reader = EventReader()
    assert reader.feed(b"data: {}\n") == []
    assert reader.feed(b"data: {}\n") == [b"{}"]
    assert reader.feed(b"data: [DONE]\n") == [b"{}", b"[DONE]"]


@pytest.mark.parametrize("value", [{"a": [{}, {"b": {}}], "c": {}}, [{"a": {}}, [{}], [[]]]])
@pytest.mark.parametrize("indent", [0, 2])
def test_one_object_on_several_lines_is_one_event(value: object, indent: int) -> None:
    lines = json.dumps(value, indent=indent).encode().split(b"\n")
    (event,) = read(b"".join(b"data: " + line + b"\n" for line in lines) + b"\n")
    assert json.loads(event) == value


def test_an_event_is_out_as_soon_as_its_blank_line_is_in() -> None:
    reader = EventReader()
    assert reader.feed(b"data: a\n") == []
    assert reader.feed(b"\ndata: b\n\ndata") == [b"a", b"b"]
    assert reader.feed(b": c\r\n\r") == [b"c"]
    assert reader.feed(b"\n") == []
    assert reader.close() == []


@pytest.mark.parametrize(
    "stream",
    [
        b"data: " + b"x" * 20 + b"\n\n",
        b"data: " + b"x" * 20,  # a line without an end
        b": " + b"x" * 20,  # a comment too
        b"data: xxxxxx\n" * 3,  # an event of several lines
        b"data:\n" * 20,  # and one of lines that hold nothing
        b"data\n" * 20,
    ],
)
def test_an_event_beyond_the_limit_is_refused(stream: bytes) -> None:
    for chunks in ([stream], [stream[i : i + 1] for i in range(len(stream))]):
        with pytest.raises(UpstreamError, match="more than 16 bytes") as caught:
            read(*chunks, limit=16)
        assert (caught.value.code, caught.value.trips) == ("too_large", False)


def test_the_limit_is_that_of_one_event() -> None:
    assert read(b"data: xxxxxxxx\n\n" * 10, limit=16) == [b"xxxxxxxx"] * 10


def chunk(finish: str | None = None, *, index: int = 0, **members: object) -> ChatChunk:
    return ChatChunk({"choices": [{"index": index, "delta": {}, "finish_reason": finish}], **members})


class Batches:
    """What an upstream sends, then how it ends; an async iterator that knows whether it was closed."""

    def __init__(self, *batches: Sequence[ChatChunk], end: Exception | None = None) -> None:
        self._batches = list(batches)
        self._end = end
        self.closed = 0

    def __aiter__(self) -> AsyncIterator[Sequence[ChatChunk]]:
        return self

    async def __anext__(self) -> Sequence[ChatChunk]:
        if self._batches:
            return self._batches.pop(0)
        raise self._end or StopAsyncIteration

    async def aclose(self) -> None:
        self.closed += 1


async def drain(stream: ChatStream) -> list[Sequence[ChatChunk]]:
    return [batch async for batch in stream]


async def test_a_stream_gives_all_batches_but_the_empty_ones() -> None:
    first, second = chunk(), chunk("stop")
    stream = await ChatStream.start(Batches([], [first], [], [second], []))
    assert await drain(stream) == [[first], [second]]


async def test_a_stream_that_never_begins_may_be_retried_and_is_closed() -> None:
    batches = Batches([], [])
    with pytest.raises(UpstreamUnavailable) as caught:
        await ChatStream.start(batches)
    assert caught.value.code == "empty_stream"
    assert caught.value.retryable
    assert batches.closed == 1


async def test_an_error_before_the_first_chunk_is_raised_from_the_start() -> None:
    batches = Batches(end=UpstreamTimeout("Late.", code="first_byte_timeout"))
    with pytest.raises(UpstreamTimeout, match="Late"):
        await ChatStream.start(batches)
    assert batches.closed == 1


async def test_an_error_of_an_iterator_that_cannot_be_closed_is_raised() -> None:
    class Broken:
        def __aiter__(self) -> AsyncIterator[Sequence[ChatChunk]]:
            return self

        async def __anext__(self) -> Sequence[ChatChunk]:
            raise UpstreamError("Broken.")

    with pytest.raises(UpstreamError, match="Broken"):
        await ChatStream.start(Broken())


@pytest.mark.parametrize(
    "batches",
    [
        [[chunk()]],
        [[ChatChunk({"choices": []})]],
        [[ChatChunk({"choices": None})], [ChatChunk({"usage": {"prompt_tokens": 1}})]],
        [[chunk(), chunk(index=1)], [chunk("stop", index=1)]],
    ],
)
async def test_a_stream_that_stops_before_each_choice_has_finished_raises(batches: list[list[ChatChunk]]) -> None:
    stream = await ChatStream.start(Batches(*batches))
    with pytest.raises(UpstreamError) as caught:
        await drain(stream)
    assert caught.value.code == "stream_broken"
    assert not caught.value.retryable


async def test_a_spoken_answer_is_finished_by_its_expiry() -> None:
    def spoken(**audio: object) -> ChatChunk:
        return ChatChunk({"choices": [{"index": 0, "delta": {"audio": audio}, "finish_reason": None}]})

    whole = Batches([spoken(id="audio_1", data="AAA=")], [spoken(expires_at=1790000000)])
    assert len(await drain(await ChatStream.start(whole))) == 2
    with pytest.raises(UpstreamError):
        await drain(await ChatStream.start(Batches([spoken(id="audio_1", data="AAA=")])))


@pytest.mark.parametrize("code", ["connection_lost", "truncated"])
async def test_a_connection_lost_in_mid_answer_is_a_broken_stream(code: str) -> None:
    lost = UpstreamUnavailable("Gone.", code=code, detail="reset by 10.0.0.1")
    stream = await ChatStream.start(Batches([chunk()], end=lost))
    assert len(await anext(stream)) == 1
    with pytest.raises(UpstreamError) as caught:
        await anext(stream)
    assert (caught.value.code, caught.value.detail) == ("stream_broken", "reset by 10.0.0.1")
    assert caught.value.__cause__ is lost


async def test_a_connection_lost_after_the_finish_ends_the_stream() -> None:
    lost = UpstreamUnavailable("Gone.", code="truncated")
    stream = await ChatStream.start(Batches([chunk("stop")], end=lost))
    assert len(await drain(stream)) == 1


@pytest.mark.parametrize("code", ["idle_timeout", "total_timeout"])
async def test_silence_after_the_finish_ends_the_stream_and_its_upstream(code: str) -> None:
    batches = Batches([chunk("stop")], end=UpstreamTimeout("Silent.", code=code))
    stream = await ChatStream.start(batches)
    assert len(await drain(stream)) == 1
    assert batches.closed == 1


@pytest.mark.parametrize("batch", [[chunk()], [chunk("stop"), chunk(index=1)]])
async def test_silence_in_mid_answer_is_told_as_such(batch: list[ChatChunk]) -> None:
    stream = await ChatStream.start(Batches(batch, end=UpstreamTimeout("Silent.", code="idle_timeout")))
    await anext(stream)
    with pytest.raises(UpstreamTimeout):
        await anext(stream)


@pytest.mark.parametrize(
    "error", [UpstreamUnavailable("Busy.", code="upstream_overloaded"), UpstreamTimeout("Late."), UpstreamError("No.")]
)
async def test_what_the_upstream_says_itself_is_raised_even_after_the_finish(error: XRouterError) -> None:
    stream = await ChatStream.start(Batches([chunk("stop")], end=error))
    await anext(stream)
    with pytest.raises(type(error)) as caught:
        await anext(stream)
    assert caught.value is error


async def test_the_last_usage_counts_once_its_batch_is_handed_out() -> None:
    usage = [{"prompt_tokens": 3, "completion_tokens": count} for count in (1, 2)]
    batches = Batches([chunk(usage=usage[0])], [chunk("stop"), ChatChunk({"choices": [], "usage": usage[1]})])
    stream = await ChatStream.start(batches)
    assert stream.usage is None
    await anext(stream)
    assert stream.usage == Usage(3, 1)
    await anext(stream)
    assert stream.usage == Usage(3, 2)


async def test_closing_twice_closes_the_upstream_once() -> None:
    batches = Batches([chunk()])
    stream = await ChatStream.start(batches)
    await stream.aclose()
    await stream.aclose()
    assert batches.closed == 1


async def test_closing_runs_the_end_of_a_generator() -> None:
    ended = []

    async def generate() -> AsyncIterator[list[ChatChunk]]:
        try:
            yield [chunk()]
        finally:
            ended.append(True)

    stream = await ChatStream.start(generate())
    await stream.aclose()
    assert ended == [True]


async def test_a_close_that_is_given_is_the_one_that_is_called() -> None:
    closed = []

    async def close() -> None:
        closed.append(True)

    batches = Batches([chunk()])
    stream = await ChatStream.start(batches, close=close)
    await stream.aclose()
    assert (closed, batches.closed) == ([True], 0)


async def test_closing_what_has_no_close_does_nothing() -> None:
    async def rest() -> AsyncIterator[list[ChatChunk]]:
        yield [chunk("stop")]

    stream = ChatStream([chunk()], rest(), None)
    await stream.aclose()
    assert len(await drain(stream)) == 2


async def test_everyone_who_asks_is_told_of_the_end_once() -> None:
    told: list[tuple[str, BaseException | None]] = []
    stream = await ChatStream.start(Batches([chunk("stop")]))
    stream.when_ended(lambda error: told.append(("first", error)))
    stream.when_ended(lambda error: told.append(("second", error)))
    await drain(stream)
    await stream.aclose()
    assert told == [("first", None), ("second", None)]


async def test_the_upstream_of_a_stream_that_breaks_is_closed_before_anyone_is_told() -> None:
    closings: list[int] = []
    batches = Batches([chunk()], end=UpstreamError("broken"))
    stream = await ChatStream.start(batches)
    stream.when_ended(lambda error: closings.append(batches.closed))
    with pytest.raises(UpstreamError, match="broken"):
        await drain(stream)
    await stream.aclose()
    assert closings == [1]
    assert batches.closed == 1


async def test_the_upstream_of_a_stream_that_is_left_is_closed_before_anyone_is_told() -> None:
    closings: list[int] = []
    batches = Batches([chunk()])
    stream = await ChatStream.start(batches)
    stream.when_ended(lambda error: closings.append(batches.closed))
    await stream.aclose()
    assert closings == [1]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_survives_an_event(content: str) -> None:
    document = ChatChunk({"choices": [{"delta": {"content": content}}]})
    (event,) = read(encode_event(document.data))
    assert json.loads(event)["choices"][0]["delta"]["content"] == content
