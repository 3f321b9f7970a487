"""What holds for every answer and every request.

`pytest tests/dialects/responses/test_properties.py --hypothesis-profile=thorough` tries 10,000 of each.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from xrouter_asgi.dialects.responses.tools import custom_input
from xrouter_asgi.errors import InvalidRequest, UpstreamError
from xrouter_asgi.testing.scripted import USAGE
from xrouter_asgi.wire import ChatChunk
from xrouter_asgi.wire.codec import encode

from .rules import OrderRules
from .test_tools import TOOLS
from .translated import completed, delta, events, read

many = settings(max_examples=max(300, settings().max_examples))

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
NAMES = st.sampled_from(["plain", "free", "team__wait", "team__say", "unheard_of"])
ARGUMENTS = st.one_of(
    st.just(""),
    st.dictionaries(st.sampled_from(["input", "a"]), TEXTS | st.integers(), max_size=2).map(json.dumps),
    st.text(max_size=8),
)
FINISHES = st.sampled_from(["stop", "tool_calls", "length", "content_filter"])
CALLS = st.lists(st.tuples(NAMES, ARGUMENTS), max_size=3)


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """What an assistant says, as the message of a whole answer."""
    message: dict[str, Any] = {
        name: draw(TEXTS) for name in ("reasoning_content", "content", "refusal") if draw(st.booleans())
    }
    if calls := draw(CALLS):
        message["tool_calls"] = [
            {"id": f"call_{place}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for place, (name, arguments) in enumerate(calls)
        ]
    return message


@st.composite
def streams(draw: st.DrawFn, message: dict[str, Any], finish: str) -> list[list[ChatChunk]]:
    """Batches of chunks that say the message: texts in any pieces, the fragments of calls in any order."""
    chunks = [delta(role="assistant", content="")]
    for member in ("reasoning_content", "content", "refusal"):
        for piece in draw(pieces(message.get(member, ""))):
            plain = piece.isprintable() and not set('"\\') & set(piece)
            if plain and draw(st.booleans()):
                chunks.append(ChatChunk(None, delta(**{member: piece}).data, text=piece, member=member))
            else:
                chunks.append(delta(**{member: piece}))
    calls = message.get("tool_calls", [])
    for place, call in enumerate(calls):
        function = {"name": call["function"]["name"], "arguments": ""}
        chunks.append(delta(tool_calls=[{**call, "index": place, "function": function}]))
    fragments = [draw(pieces(call["function"]["arguments"])) for call in calls]
    while left := [place for place, waiting in enumerate(fragments) if waiting]:
        place = draw(st.sampled_from(left))
        chunks.append(delta(tool_calls=[{"index": place, "function": {"arguments": fragments[place].pop(0)}}]))
    chunks += [delta(finish), ChatChunk({"choices": [], "usage": USAGE})]
    cuts = sorted(draw(st.sets(st.integers(1, len(chunks) - 1))))
    return [chunks[start:end] for start, end in pairwise([0, *cuts, len(chunks)])]


@st.composite
def pieces(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.sets(st.integers(1, len(text) - 1)))) if len(text) > 1 else []
    return [text[start:end] for start, end in pairwise([0, *cuts, len(text)]) if start < end]


ANSWERS = st.tuples(messages(), FINISHES).flatmap(
    lambda said: st.tuples(st.just(said[0]), st.just(said[1]), streams(*said))
)


def comparable(response: dict[str, Any]) -> dict[str, Any]:
    """The response without what differs from one to the next."""
    text = json.dumps(response).replace(response["id"].removeprefix("resp_"), "…")
    value: dict[str, Any] = json.loads(text)
    return {**value, "created_at": 0, "completed_at": value["completed_at"] and 0}


@many
@given(ANSWERS)
def test_whole_and_in_any_chunks_an_answer_gives_one_final_object_and_keeps_the_rules(answer: Any) -> None:
    message, finish, batches = answer
    writer = read(stream=True, tools=TOOLS).writer()
    assert writer is not None
    rules = OrderRules()
    for event in events(writer.begin() + b"".join(map(writer.feed, batches)) + writer.end()):
        rules.take(event)
    assert rules.final is not None
    whole = json.loads(read(stream=False, tools=TOOLS).whole(completed(message, finish, usage=USAGE)))
    assert comparable(rules.final) == comparable(whole)


@many
@given(ANSWERS, st.integers(0, 99))
def test_an_answer_that_breaks_anywhere_keeps_the_rules(answer: Any, before: int) -> None:
    _, _, batches = answer
    writer = read(stream=True, tools=TOOLS).writer()
    assert writer is not None
    told = [writer.begin(), *map(writer.feed, batches[:before])] if before else []
    rules = OrderRules()
    for event in events(b"".join(told) + writer.fail(UpstreamError("Broken."), "req_1")):
        rules.take(event)
    assert rules.final is not None
    assert rules.final["status"] == "failed"


@many
@given(messages())
def test_an_answer_that_is_played_back_reaches_the_provider_as_it_was_said(message: dict[str, Any]) -> None:
    include = ["reasoning.encrypted_content"]
    output = json.loads(read(tools=TOOLS, include=include).whole(completed(message)))["output"]
    [_, played] = read(tools=TOOLS, include=include, input=[{"role": "user", "content": "hi"}, *output]).document.value[
        "messages"
    ]
    said = "\n\n".join(message[name] for name in ("content", "refusal") if name in message)
    assert (played["content"] or "") == said
    assert played.get("reasoning_content") == message.get("reasoning_content")
    assert played.get("tool_calls", []) == [_as_played(call) for call in message.get("tool_calls", [])]


def _as_played(call: dict[str, Any]) -> dict[str, Any]:
    """A call of a custom tool goes back with its input alone, and no call goes back without arguments."""
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    if name in ("free", "team__say"):
        arguments = encode({"input": custom_input(arguments)}).decode()
    return {**call, "function": {"name": name, "arguments": arguments or "{}"}}


# Requests

PARTS = st.one_of(
    st.fixed_dictionaries({"type": st.sampled_from(["input_text", "output_text"]), "text": st.text(max_size=5)}),
    st.fixed_dictionaries({"type": st.just("refusal"), "refusal": st.text(max_size=5)}),
    st.fixed_dictionaries({"type": st.just("input_image"), "image_url": st.just("data:,")}),
    st.fixed_dictionaries({"type": st.just("input_file"), "file_url": st.just("https://a.example")}),
)
CONTENT = st.text(max_size=5) | st.lists(PARTS, max_size=3)
TOOL_NAMES = st.sampled_from(["plain", "free", "a.b", "x" * 70, "погода"])
ITEMS = st.one_of(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "developer"]), "content": CONTENT},
        optional={"type": st.just("message")},
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("function_call"),
            "call_id": st.sampled_from(["c1", "c2"]),
            "name": TOOL_NAMES,
            "arguments": st.text(max_size=5),
        },
        optional={"namespace": TOOL_NAMES},
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("custom_tool_call"),
            "call_id": st.sampled_from(["c1", "c2"]),
            "name": TOOL_NAMES,
            "input": st.text(max_size=5),
        }
    ),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["function_call_output", "custom_tool_call_output"]),
            "call_id": st.sampled_from(["c1", "c2"]),
            "output": CONTENT,
        }
    ),
    st.fixed_dictionaries(
        {"type": st.just("reasoning"), "summary": st.lists(st.fixed_dictionaries({"text": st.text(max_size=5)}))}
    ),
    st.fixed_dictionaries({"type": st.sampled_from(["web_search_call", "compaction"])}),
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "tools": st.lists(st.sampled_from([*TOOLS, {"type": "web_search"}]), max_size=4),
        "tool_choice": st.sampled_from(["auto", "required", {"type": "custom", "name": "free"}]),
        "parallel_tool_calls": st.booleans(),
        "instructions": st.text(max_size=5),
        "stream": st.booleans(),
        "text": st.just({"format": {"type": "json_schema", "name": "n", "schema": {}}}),
        "top_logprobs": st.integers(0, 20),
    },
)


@many
@given(st.lists(ITEMS, max_size=8), OPTIONS)
def test_a_translation_is_always_a_chat_request(items: list[Any], options: dict[str, Any]) -> None:
    try:
        parsed = read(input=items, **options)
    except InvalidRequest:
        return  # the client's own fault, by the client's own names
    roles = [message["role"] for message in parsed.document.value["messages"]]
    assert roles
    leading = [role for role in roles[:2] if role == "system"]
    assert len(leading) <= 1
