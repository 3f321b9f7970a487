"""A text that is read without decoding is the text that decoding would give."""

from __future__ import annotations

import json
from typing import Any

import pytest

from xrouter_asgi.providers.http import TextPattern
from xrouter_asgi.testing.anthropic.answers import sse

DELTA: dict[str, Any] = {
    "type": "response.output_text.delta",
    "sequence_number": 4,
    "item_id": "msg_1",
    "output_index": 0,
    "content_index": 0,
    "delta": "Hello",
    "logprobs": [],
    "obfuscation": "aB3",
}


def encoded(**members: Any) -> bytes:
    return json.dumps({**DELTA, **members}, ensure_ascii=False, separators=(",", ":")).encode()


@pytest.fixture
def pattern() -> TextPattern:
    pattern = TextPattern()
    pattern.learn(encoded(), DELTA, "delta")
    return pattern


@pytest.mark.parametrize("text", ["Hello", " да", "a: b", "{}", "4", "obfuscation", "'", "—"])
def test_numbers_noise_and_texts_may_differ(pattern: TextPattern, text: str) -> None:
    assert pattern.text_of(encoded(delta=text, sequence_number=1234, obfuscation="")) == text


@pytest.mark.parametrize(
    "members",
    [
        {"delta": ""},
        {"delta": 'a "b"'},
        {"delta": "a\\"},
        {"delta": "a\nb"},
        {"delta": "a\u2028b"},
        {"delta": 5},
        {"delta": "a", "logprobs": [{"token": "a"}]},
        {"delta": "a", "output_index": 1},
        {"delta": "a", "sequence_number": -1},
        {"delta": "a", "sequence_number": "4"},
        {"delta": "a", "more": 1},
        {"delta": "a", "obfuscation": 'x"'},
    ],
)
def test_anything_else_has_to_be_decoded(pattern: TextPattern, members: dict[str, Any]) -> None:
    assert pattern.text_of(encoded(**members)) is None


def test_an_event_that_is_cut_off_or_followed_matches_nothing(pattern: TextPattern) -> None:
    event = encoded()
    assert [at for at in range(len(event)) if pattern.text_of(event[:at]) is not None] == []
    assert pattern.text_of(event + b"x") is None
    assert pattern.text_of(event.replace(b"Hello", b"Hel\xff")) is None


def test_padding_may_differ() -> None:
    delta = {"type": "text_delta", "text": "Hel"}
    value = {"type": "content_block_delta", "index": 0, "delta": delta}
    event = sse(value).partition(b"data: ")[2].strip()
    pattern = TextPattern()
    pattern.learn(event, value, "delta", "text")
    other = event.replace(b"Hel", b"lo").replace(b"   }", b"  }")
    assert other != event
    assert pattern.text_of(other) == "lo"
    assert json.loads(other)["delta"]["text"] == "lo"


def test_the_same_text_elsewhere_does_not_mislead() -> None:
    value = {**DELTA, "item_id": "Hello"}
    pattern = TextPattern()
    pattern.learn(encoded(item_id="Hello"), value, "delta")
    assert pattern.text_of(encoded(item_id="Hello", delta="there")) in (None, "there")
    assert pattern.text_of(encoded(item_id="there")) is None


def test_it_forgets_and_gives_up() -> None:
    pattern = TextPattern()
    pattern.learn(encoded(), DELTA, "delta")
    pattern.forget()
    assert pattern.text_of(encoded()) is None
    for _ in range(8):
        pattern.learn(encoded(), DELTA, "delta")
        pattern.forget()
    pattern.learn(encoded(), DELTA, "delta")
    assert pattern.text_of(encoded()) is None
