"""Envelopes, roles, choices and ends that are missing or odd, and events without a choice (kinds 2, 4 and 11)."""

from __future__ import annotations

from typing import Any

from xrouter_asgi.testing.openai import stream, whole
from xrouter_asgi.testing.openai_answers import chunk

from ..asking import Answer, Case, Said
from .parts import COUNTED, FIRST, HELLO, MESSAGE, STOP, USAGE, WORD, both, completion, without

AZURE = {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": []}
CHOICELESS: dict[str, Any] = {
    "azure": AZURE,
    "ping": {"type": "ping"},
    "empty-choices": {**STOP, "choices": []},
    "null-choices": {**STOP, "choices": None},
    "unknown-object": {"object": "x", "data": {}},
}
ROLES: dict[str, dict[str, Any]] = {
    "no": {},
    "empty": {"role": ""},
    "null": {"role": None},
    "another": {"role": "model"},
    "number": {"role": 1},
}
HEADS: dict[str, Any] = {"null": None, "empty": "", "list": [], "true": True}


def _choiceless(name: str, event: dict[str, Any]) -> Case:
    events = [part for each in (FIRST, WORD, STOP, COUNTED) for part in (event, each)]
    return Case(f"{name}-between-events", HELLO, stream=stream(*events, event))


def _role(name: str, said: dict[str, Any]) -> Case:
    first = chunk({**said, "content": "Hello, "})
    message = {**said, "content": "Hello, world!"}
    return Case(f"{name}-role", HELLO, whole(completion(message)), stream(first, WORD, STOP, COUNTED))


def _head(member: str, name: str, bad: object) -> Case:
    events = [{**each, member: bad} for each in (FIRST, WORD, STOP, COUNTED)]
    return Case(f"{name}-as-{member}", HELLO, whole({**completion(), member: bad}), stream(*events))


def _bare(*names: str) -> Case:
    events = [without(each, *names) for each in (FIRST, WORD, STOP, COUNTED)]
    return Case(f"without-{'-'.join(names)}", HELLO, whole(without(completion(), *names)), stream(*events))


def _choice(value: dict[str, Any], **members: Any) -> dict[str, Any]:
    """An event with other members in its choice."""
    return {**value, "choices": [{**value["choices"][0], **members}]}


def _in_deltas(name: str, **members: Any) -> Case:
    events = [_choice(each, delta={**each["choices"][0]["delta"], **members}) for each in (FIRST, WORD, STOP)]
    return Case(name, HELLO, stream=stream(*events, COUNTED))


def _roles_of_two() -> Case:
    words = [chunk({"content": text}, index=index) for index, text in ((1, "B"), (0, "A"), (1, "b"), (0, "a"))]
    ends = [chunk({}, "stop", index=index) for index in (0, 1)]
    messages = [{"index": index, "message": {"content": text}} for index, text in enumerate(("Aa", "Bb"))]
    answer = Answer((Said("Aa"), Said("Bb")), USAGE)
    return Case("no-role-in-two-choices", answer, whole(completion(choices=messages)), stream(*words, *ends, COUNTED))


CASES = [
    Case("proper", HELLO, whole(completion()), stream(FIRST, WORD, STOP, COUNTED)),
    *(_choiceless(*each) for each in CHOICELESS.items()),
    Case("usage-first", HELLO, stream=stream(COUNTED, FIRST, WORD, STOP)),
    *(_role(*each) for each in ROLES.items()),
    Case("another-role-at-the-end", HELLO, stream=stream(FIRST, WORD, chunk({"role": "model"}, "stop"), COUNTED)),
    _roles_of_two(),
    *(_head(member, *each) for member in ("id", "object", "created", "model") for each in HEADS.items()),
    _head("created", "float", 1.7e9),
    _head("created", "text", "1700000000"),
    _head("id", "integer", 5),
    _bare("id", "object", "created", "model"),
    both("whole-to-either", completion()),
    both("whole-without-index", completion(choices=[{"message": MESSAGE, "finish_reason": "stop"}])),
    both("whole-with-index-five", completion(choices=[{"index": 5, "message": MESSAGE, "finish_reason": "stop"}])),
    both("whole-without-finish", completion(choices=[{"index": 0, "message": MESSAGE}])),
    both("whole-with-empty-finish", completion(finish="")),
    both("whole-without-content", completion({"role": "assistant"}), Answer((Said(),), USAGE)),
    both("whole-with-null-tool-calls", completion({**MESSAGE, "tool_calls": None})),
    both("whole-with-no-tool-calls", completion({**MESSAGE, "tool_calls": [], "function_call": None})),
    Case("empty-finish-in-words", HELLO, stream=stream(
        _choice(FIRST, finish_reason=""), _choice(WORD, finish_reason=""), STOP, COUNTED)),
    Case("no-finish-in-words", HELLO, stream=stream(
        *({**each, "choices": [{"index": 0, "delta": each["choices"][0]["delta"]}]} for each in (FIRST, WORD)),
        STOP, COUNTED)),
    Case("no-index", HELLO, stream=stream(
        *({**each, "choices": [without(each["choices"][0], "index")]} for each in (FIRST, WORD, STOP)), COUNTED)),
    Case("null-index", HELLO, stream=stream(*(_choice(each, index=None) for each in (FIRST, WORD, STOP)), COUNTED)),
    Case("null-delta-at-the-end", HELLO, stream=stream(FIRST, WORD, _choice(STOP, delta=None), COUNTED)),
    Case("no-delta-at-the-end", HELLO, stream=stream(
        FIRST, WORD, {**STOP, "choices": [{"index": 0, "finish_reason": "stop"}]}, COUNTED)),
    Case("message-at-the-end", HELLO, stream=stream(
        FIRST, WORD, {**STOP, "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}]}, COUNTED)),
    Case("null-content", HELLO, stream=stream(
        chunk({"role": "assistant", "content": None}), FIRST, WORD, chunk({"content": None}, "stop"), COUNTED)),
    _in_deltas("null-members-in-deltas", tool_calls=None, function_call=None, refusal=None),
    _in_deltas("no-tool-calls-in-deltas", tool_calls=[]),
    _in_deltas("role-in-every-delta", role="assistant"),
    Case("content-filter-results", HELLO, stream=stream(AZURE, *(
        _choice(each, content_filter_results={"hate": {"filtered": False, "severity": "safe"}})
        for each in (FIRST, WORD, STOP)), COUNTED,
        {**AZURE, "choices": [{"index": 0, "content_filter_offsets": {}, "finish_reason": None}]})),
]  # fmt: skip
