"""What holds for every answer and every way in which it may come in pieces.

`pytest tests/dialects/messages/test_properties.py --hypothesis-profile=thorough` tries 10,000 of each.
"""

from __future__ import annotations

import json
from typing import Any, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from xrouter_asgi.dialects.messages.writer import MessagesWriter
from xrouter_asgi.wire import ChatChunk, ChatCompletion
from xrouter_asgi.wire.codec import encode
from xrouter_asgi.wire.documents import TextMember

from .asking import asked, parsed
from .reading import MessageReader, events_of, message_of

EXAMPLES = max(300, settings().max_examples)
TEXT = st.text(min_size=1, max_size=8)
VALUE = st.none() | st.booleans() | st.integers() | TEXT
ARGUMENTS = st.dictionaries(TEXT, VALUE | st.lists(VALUE, max_size=2), max_size=2)
CALLS = st.lists(st.tuples(st.sampled_from(["look", "hear"]), ARGUMENTS), max_size=3)


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """The message of a whole answer of chat."""
    message: dict[str, Any] = {"role": "assistant", "content": draw(st.none() | TEXT)}
    if reasoning := draw(st.none() | TEXT):
        message["reasoning_content"] = reasoning
    if calls := draw(CALLS):
        message["tool_calls"] = [
            {"id": f"c{place}", "type": "function", "function": {"name": name, "arguments": encode(value).decode()}}
            for place, (name, value) in enumerate(calls)
        ]
    return message


def pieces(draw: st.DrawFn, text: str) -> list[str]:
    """The text, cut anywhere."""
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def said(member: TextMember, text: str) -> ChatChunk:
    """A chunk that adds text; one that was not decoded wherever it can be."""
    if text and text.isprintable() and '"' not in text and "\\" not in text:
        return ChatChunk(None, b"", text=text, member=member)
    return ChatChunk({"choices": [{"index": 0, "delta": {member: text}, "finish_reason": None}]})


@st.composite
def streams(draw: st.DrawFn, message: dict[str, Any]) -> list[ChatChunk]:
    """One of the streams that bring this message: cut anywhere, and fragments of calls in any turn."""
    members: tuple[TextMember, ...] = ("reasoning_content", "content")
    chunks = [said(member, piece) for member in members for piece in pieces(draw, message.get(member) or "")]
    waiting = []
    for index, call in enumerate(message.get("tool_calls", ())):
        first, *rest = pieces(draw, call["function"]["arguments"])
        head = {**call, "index": index, "function": {**call["function"], "arguments": first}}
        waiting.append([head, *({"index": index, "function": {"arguments": piece}} for piece in rest)])
    begun = 0
    while any(waiting):
        may = [place for place, fragments in enumerate(waiting) if fragments and place <= begun]
        place = draw(st.sampled_from(may))
        begun = max(begun, place + 1)
        delta = {"tool_calls": [waiting[place].pop(0)]}
        chunks.append(ChatChunk({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}))
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    return [*chunks, ChatChunk({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})]


@st.composite
def answers(draw: st.DrawFn) -> tuple[dict[str, Any], list[ChatChunk], list[int]]:
    """A message, a stream that brings it, and where the stream is cut into batches."""
    message = draw(messages())
    chunks = draw(streams(message))
    return message, chunks, sorted(draw(st.lists(st.integers(0, len(chunks)), max_size=5)))


def written(chunks: list[ChatChunk], cuts: list[int]) -> bytes:
    writer = MessagesWriter("m", prompt_tokens=lambda: 1)
    bounds = zip([0, *cuts], [*cuts, len(chunks)], strict=True)
    return writer.begin() + b"".join(writer.feed(chunks[start:end]) for start, end in bounds) + writer.end()


def whole(message: dict[str, Any]) -> dict[str, Any]:
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    answer = ChatCompletion({"choices": [{"index": 0, "message": message, "finish_reason": finish}]})
    value: dict[str, Any] = json.loads(parsed().whole(answer))
    return value


@settings(max_examples=EXAMPLES)
@given(answers())
def test_an_answer_in_any_pieces_is_the_same_message_as_the_whole(
    answer: tuple[dict[str, Any], list[ChatChunk], list[int]],
) -> None:
    message, chunks, cuts = answer
    streamed, expected = message_of(written(chunks, cuts)), whole(message)
    assert streamed["content"] == expected["content"]
    assert streamed["stop_reason"] == expected["stop_reason"]


@settings(max_examples=EXAMPLES)
@given(answers(), st.lists(st.tuples(st.integers(0, 9), st.sampled_from(get_args(TextMember)))))
def test_every_prefix_keeps_the_order_of_blocks(
    answer: tuple[dict[str, Any], list[ChatChunk], list[int]], extra: list[tuple[int, TextMember]]
) -> None:
    _, chunks, _ = answer
    for place, member in extra:  # also between the fragments of calls
        chunks.insert(min(place, len(chunks) - 1), said(member, "x"))
    reader = MessageReader()
    for event in events_of(written(chunks, [])):
        reader.feed(event)
    assert reader.ended


@settings(max_examples=EXAMPLES)
@given(messages())
def test_an_answer_that_is_played_back_reaches_the_provider_as_it_came(message: dict[str, Any]) -> None:
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": whole(message)["content"]}]
    _, *played = asked(messages=turns)["messages"]
    said = {name: value for name, value in message.items() if value}
    assert [{name: value for name, value in each.items() if value} for each in played] == [said] * (len(said) > 1)
