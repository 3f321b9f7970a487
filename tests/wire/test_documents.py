from __future__ import annotations

import pytest

from xrouter_asgi.context import Usage
from xrouter_asgi.wire import ChatChunk, ChatCompletion, Document
from xrouter_asgi.wire import documents as module


def test_bytes_that_are_there_are_not_encoded_again() -> None:
    data = b'{ "a": 1 }'
    assert Document({"a": 1}, data).data is data


def test_bytes_are_made_once_and_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = []

    def encode(value: object) -> bytes:
        encoded.append(value)
        return b"{}"

    monkeypatch.setattr(module, "encode", encode)
    document = Document({"a": 1})
    assert encoded == []
    assert document.data is document.data
    assert encoded == [{"a": 1}]


def test_a_copy_is_of_the_same_kind_and_has_bytes_of_its_own() -> None:
    document = ChatChunk({"a": 1, "b": 2}, b'{ "a": 1, "b": 2 }')
    copy = document.replace(b=3, c=None)
    assert isinstance(copy, ChatChunk)
    assert copy.data == b'{"a":1,"b":3,"c":null}'
    assert document.value == {"a": 1, "b": 2}


def test_a_copy_without_a_member_leaves_the_document_as_it_was() -> None:
    document = ChatChunk({"a": 1, "b": None}, b'{"a":1,"b":null}')
    copy = document.without("b")
    assert (type(copy), copy.value, copy.data) == (ChatChunk, {"a": 1}, b'{"a":1}')
    assert document.value == {"a": 1, "b": None}


def test_the_content_is_not_shown() -> None:
    assert repr(ChatCompletion({"id": "x", "choices": ["private"]})) == "ChatCompletion(id, choices)"


def test_usage_is_read_from_the_value() -> None:
    assert Document({"usage": {"prompt_tokens": 1, "completion_tokens": 2}}).usage == Usage(1, 2)
    assert Document({"usage": None}).usage is None
    assert Document({}).usage is None


@pytest.mark.parametrize(
    ("value", "only"),
    [
        ({"choices": [], "usage": {}}, True),
        ({"usage": {}}, True),
        ({"choices": [{}], "usage": {}}, False),
        ({"choices": [], "usage": None}, False),
        ({"choices": []}, False),
    ],
)
def test_a_chunk_of_usage_alone_is_recognised(value: dict[str, object], only: bool) -> None:
    assert ChatChunk(value).only_usage is only
