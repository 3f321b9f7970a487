"""A list of messages is checked without models of most of them, and nobody can tell."""

from __future__ import annotations

from typing import Annotated, Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from xrouter_asgi.errors import InvalidRequest
from xrouter_asgi.providers.base import Call
from xrouter_asgi.wire import ChatRequest
from xrouter_asgi.wire.chat_messages import Message
from xrouter_asgi.wire.validation import WireModel

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TEXT = [{"role": role, "content": "hi"} for role in ("user", "assistant", "system", "developer")]
RIGHT = [
    *TEXT,
    {"role": "user", "content": "hi", "name": "Ann"},
    {"role": "user", "content": [{"type": "text", "text": "hi"}]},
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "assistant", "content": None},
    {"role": "assistant", "content": "hi", "tool_calls": [CALL]},
    {"role": "tool", "content": "21", "tool_call_id": "c"},
    {"role": "tool", "content": [{"type": "text", "text": "21"}], "tool_call_id": "c"},
    {"role": "function", "content": "21", "name": "f"},
]
WRONG = [
    "hi",
    None,
    {},
    {"role": "user"},
    {"content": "hi"},
    {"role": "user", "text": "hi"},
    {"role": "user", "content": None},
    {"role": "user", "content": 5},
    {"role": ["user"], "content": "hi"},
    {"role": "tool", "content": "21"},
    {"role": "tool", "content": "21", "tool_call_id": 5},
    {"role": "tool", "content": "21", "name": "f"},
    {"role": "function", "content": "hi"},
    {"role": "friend", "content": "hi"},
    {"role": "assistant", "content": "hi", "tool_calls": "none"},
]


class Models(WireModel):
    """A model of each message."""

    messages: Annotated[list[Message], Field(min_length=1)]


def read(kind: type[Models | ChatRequest], messages: Any) -> object:
    """The models of the messages, or what a client is told."""
    try:
        return list(kind.of({"model": "m", "messages": messages}).messages)
    except InvalidRequest as error:
        return str(error), error.code, error.param


@given(st.lists(st.sampled_from([*RIGHT, *WRONG]), max_size=4) | st.sampled_from(["hi", None, 5, {}, tuple(TEXT)]))
def test_messages_are_refused_and_read_as_models_of_all_of_them_are(messages: Any) -> None:
    assert read(ChatRequest, messages) == read(Models, messages)


@given(st.lists(st.sampled_from(RIGHT), min_size=1, max_size=4))
def test_a_list_of_messages_has_the_length_the_places_and_the_json_of_what_was_written(messages: Any) -> None:
    request = ChatRequest.of({"model": "m", "messages": messages})
    assert len(request.messages) == len(messages)
    assert Call(request).document.value["messages"] == messages
    assert [each.role for each in request.messages] == [each["role"] for each in messages]
    assert request.messages[-1].role == request.messages[-1:][0].role == messages[-1]["role"]
    assert len(request.messages) == len(messages)


def test_a_request_shows_no_message() -> None:
    assert "secret" not in repr(ChatRequest.of({"model": "m", "messages": [{"role": "user", "content": "secret"}]}))
