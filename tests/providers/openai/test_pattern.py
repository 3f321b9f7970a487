"""Events that are passed on undecoded: they must mean what a decoder would have said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrouter_asgi.providers.http import ErrorReader, Redaction
from xrouter_asgi.providers.openai.chunks import ChunkReader
from xrouter_asgi.providers.openai.pattern import EventPattern
from xrouter_asgi.testing.openai_answers import chunk
from xrouter_asgi.wire import ChatChunk

HEAD: dict[str, Any] = {"object": "chat.completion.chunk", "created": 1, "model": "m"}
# Few and tricky: texts that stand elsewhere too, that need escapes, that are parts of others.
TEXTS = st.sampled_from(
    ["", "x", "xx", "m", "id", "content", '"', "\\", "\\n", "\n", "é", "ж", "\u2028", "😀", "\x7f", '","a":"', "}"]
) | st.text(max_size=4)
NAMES = st.sampled_from(["content", "reasoning_content", "refusal", "role", "other"])
CHUNKS = st.builds(
    lambda ident, delta, more: {
        **HEAD,
        **more,
        "id": f"c{ident}",
        "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
    },
    TEXTS,
    st.dictionaries(NAMES, TEXTS | st.none(), min_size=1, max_size=3).map(
        lambda delta: {name: "assistant" if name == "role" else said for name, said in delta.items()}
    ),
    st.dictionaries(st.sampled_from(["padding", "content", "x"]), TEXTS | st.integers(0, 2), max_size=2),
)


def plain(text: str, **more: Any) -> dict[str, Any]:
    return {"id": "c", **HEAD, **more, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}


def read(*events: bytes) -> list[ChatChunk]:
    """What comes of these events after one that says who speaks."""
    reader = ChunkReader(choices=1, hide_usage=False, model="m", errors=ErrorReader(Redaction()))
    opening = json.dumps(chunk({"role": "assistant"})).encode()
    _, *chunks = [passed for event in (opening, *events) for passed in reader.feed(b"data: " + event + b"\n\n")]
    assert reader.failure is None
    return chunks


@given(
    st.lists(CHUNKS, min_size=1, max_size=3).flatmap(lambda some: st.lists(st.sampled_from(some), max_size=12)),
    st.lists(TEXTS, min_size=12, max_size=12),
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": ")]),
)
def test_a_chunk_is_what_its_event_says_whether_it_was_decoded_or_not(
    chunks: list[dict[str, Any]], texts: list[str], ascii_only: bool, separators: tuple[str, str]
) -> None:
    events = []
    for sent, text in zip(chunks, texts, strict=False):
        choice = sent["choices"][0]
        delta = {
            name: text if name in ("content", "reasoning_content") else old for name, old in choice["delta"].items()
        }
        value = {**sent, "choices": [{**choice, "delta": delta}]}
        events.append(json.dumps(value, ensure_ascii=ascii_only, separators=separators).encode("utf-8", "replace"))
    found = read(*events)
    assert [chunk.data for chunk in found] == events
    assert [chunk.value for chunk in found] == [json.loads(event) for event in events]
    for undecoded in found:
        if undecoded.text is not None:
            delta = undecoded.value["choices"][0]["delta"]
            assert [said for name, said in delta.items() if name != "role" and said is not None] == [undecoded.text]


def test_what_differs_from_an_earlier_event_in_its_text_alone_is_not_decoded() -> None:
    events = [json.dumps(plain(text)).encode() for text in ("first", "second", "third", "", "x" * 1000)]
    assert [chunk.text for chunk in read(*events)] == [None, "second", "third", "", "x" * 1000]


@pytest.mark.parametrize(
    "event",
    [
        json.dumps(plain('a"b')).encode(),
        json.dumps(plain("a\nb")).encode(),
        json.dumps(plain("ж")).encode(),  # as an escape
        json.dumps(plain("third", id="d")).encode(),
        json.dumps({**plain("third"), "usage": {"prompt_tokens": 1}}).encode(),
        json.dumps(plain("third", error={"message": "m"})).encode(),
    ],
    ids=["a quote", "a line end", "an escape", "another id", "usage", "an error"],
)
def test_every_other_event_is_decoded(event: bytes) -> None:
    pattern = EventPattern()
    pattern.learn(json.dumps(plain("first")).encode(), plain("first"))
    assert pattern.text_of(json.dumps(plain("second")).encode()) == "second"
    assert pattern.text_of(event) is None


@pytest.mark.parametrize("inside", [b"\x00", b"\n", b"\x7f", b"\xff", b"\xed\xa0\x80", b'"', b"\\"], ids=repr)
def test_what_json_or_utf_8_does_not_allow_is_left_to_the_decoder(inside: bytes) -> None:
    pattern = EventPattern()
    event = json.dumps(plain("first")).encode()
    pattern.learn(event, plain("first"))
    assert pattern.text_of(event.replace(b"first", b"a" + inside + b"b")) is None


def test_an_event_in_which_one_quote_is_both_ends_of_its_text_is_left_to_the_decoder() -> None:
    pattern = EventPattern()
    pattern.learn(json.dumps(plain("first")).encode(), plain("first"))
    assert pattern.text_of(json.dumps(plain("")).encode()) == ""
    assert pattern.text_of(json.dumps(plain("")).encode().replace(b'""', b'"')) is None


@pytest.mark.parametrize("text", ["c", "x", ""])
def test_a_text_that_stands_elsewhere_too_is_no_example(text: str) -> None:
    pattern = EventPattern()
    pattern.learn(json.dumps(plain(text, id=text)).encode(), plain(text, id=text))
    assert pattern.text_of(json.dumps(plain(text, id="other")).encode()) is None


def test_an_upstream_that_pads_each_event_is_not_learned_from_for_ever() -> None:
    pattern = EventPattern()
    for number in range(20):
        value = plain("first", padding=number)
        assert pattern.text_of(json.dumps(value).encode()) is None
        pattern.learn(json.dumps(value).encode(), value)
    assert pattern.text_of(json.dumps(plain("second", padding=19)).encode()) is None
    assert pattern.text_of(json.dumps(plain("second", padding=7)).encode()) == "second"
