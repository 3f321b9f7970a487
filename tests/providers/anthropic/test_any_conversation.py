"""Whatever a client of chat says, the Messages API gets a request that it takes, or the client an error of its own."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from xrouter_asgi.errors import InvalidRequest
from xrouter_asgi.providers.anthropic import AnthropicOptions
from xrouter_asgi.providers.anthropic.translate import translate
from xrouter_asgi.testing.anthropic.rules import check, sign
from xrouter_asgi.wire import ChatRequest

from .translating import function

TEXTS = st.sampled_from(["", " ", "\n", "Hi", "Hi ", "{}", "[1]", '{"a": 1}', "Ж", "\U0001f600"]) | st.text(max_size=5)
IDS = st.sampled_from(["a", "b", "call:1", "", "é", "toolu_1"])
NAMES = st.sampled_from(["look", "hear", "a.b", "x" * 70, "é"])
MARKS = st.none() | st.just({"type": "ephemeral"})
PARTS = st.lists(
    st.builds(lambda text: {"type": "text", "text": text}, TEXTS)
    | st.sampled_from(
        [
            {"type": "image_url", "image_url": {"url": "https://a.example/b"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0K"}},
            {"type": "file", "file": {"file_data": "JVBERi0="}},
            {"type": "input_audio", "input_audio": {}},
        ]
    ),
    max_size=3,
)
CALLS = st.builds(
    lambda call_id, name, arguments: {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    },
    IDS,
    NAMES,
    TEXTS,
)
THOUGHTS = st.lists(
    st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": sign(text)}, st.text(max_size=3)),
    max_size=2,
)
MESSAGES = st.one_of(
    st.builds(
        lambda role, text: {"role": role, "content": text}, st.sampled_from(["system", "user", "assistant"]), TEXTS
    ),
    st.builds(lambda parts: {"role": "user", "content": parts}, PARTS),
    st.builds(
        lambda text, calls, thoughts: {
            "role": "assistant",
            "content": text,
            "tool_calls": calls,
            "thinking_blocks": thoughts,
        },
        st.none() | TEXTS,
        st.lists(CALLS, max_size=3),
        THOUGHTS,
    ),
    st.builds(
        lambda call_id, content: {"role": "tool", "tool_call_id": call_id, "content": content}, IDS, TEXTS | PARTS
    ),
)
TOOLS = st.lists(
    st.builds(
        lambda name, strict: function(name, strict=strict, parameters={"type": "object", "properties": {}}),
        NAMES,
        st.booleans(),
    ),
    max_size=2,
    unique_by=lambda tool: tool["function"]["name"],
)
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "max_tokens": st.integers(1, 5000),
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "top_k": st.integers(0, 9),
        "stop": TEXTS,
        "reasoning_effort": st.sampled_from(["none", "minimal", "low", "high", "max"]),
        "tool_choice": st.sampled_from(["none", "auto", "required"]),
        "parallel_tool_calls": st.booleans(),
        "user": TEXTS,
        "response_format": st.sampled_from([{"type": "text"}, {"type": "json_object"}]),
        "tools": TOOLS,
    },
)
OPTIONS = st.builds(AnthropicOptions, cache=st.sampled_from(["off", "auto"]))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(MESSAGES, min_size=1, max_size=8),
    MEMBERS,
    st.sampled_from(["claude-opus-4-8", "claude-sonnet-4-5", "other"]),
    OPTIONS,
)
def test_any_conversation_becomes_a_request_that_the_api_takes(
    messages: list[dict[str, Any]], members: dict[str, Any], model: str, options: AnthropicOptions
) -> None:
    request = ChatRequest.of({"model": "m", "messages": messages, **members})
    try:
        done = translate(request, model=model, options=options)
    except InvalidRequest:
        return
    check(done.body)
    check(done.counted, counting=True)
    json.dumps(done.body)
    # Nothing that was said is lost.
    said = [m["content"] for m in messages if isinstance(m["content"], str) and m["content"].strip()]
    sent = json.dumps(done.body, ensure_ascii=False)
    assert all(json.dumps(text.rstrip(), ensure_ascii=False)[1:-1] in sent for text in said)
