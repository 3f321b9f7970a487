"""Calls of tools whose fragments, ids and arguments come in any order and shape (kinds 1 and 4)."""

from __future__ import annotations

from typing import Any

from xrouter_asgi.testing.openai import stream, whole
from xrouter_asgi.testing.openai_answers import chunk

from ..asking import Answer, Called, Case, Said
from .parts import BASH, COUNTED, USAGE, both, call, calling, fragments, without

C1 = '{"c":1}'
READ = Called("read", {"path": "a"}, "c1")
TWO = Answer((Said(calls=(*BASH.choices[0].calls, READ), finish="tool_calls"),), USAGE)
MADE = Answer((Said(calls=(Called("bash", {"c": 1}),), finish="tool_calls"),), USAGE)
MADE_TWO = Answer((Said(calls=(Called("bash", {"c": 1}), Called("read", {"path": "a"})), finish="tool_calls"),), USAGE)
NOTHING = Answer((Said(calls=(Called("bash", {}, "c0"),), finish="tool_calls"),), USAGE)


def part(arguments: object = None, *, name: object = None, **members: Any) -> dict[str, Any]:
    """A fragment with only what is given."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {**members, "function": function}


def read(**members: Any) -> dict[str, Any]:
    return call('{"path":"a"}', name="read", id="c1", **members)


IN_STREAMS = {
    "name-in-the-second-fragment": [[call("", name=None, index=0)], [part(name="bash", index=0)], [part(C1, index=0)]],
    "name-with-the-arguments": [[without(call(index=0), "function")], [part(C1, name="bash", index=0)]],
    "empty-name-first": [[call("", name="", index=0)], [part(C1, name="bash", index=0)]],
    "name-last": [[call("", name=None, index=0)], [part('{"c":', index=0)], [part("1}", name="bash", index=0)]],
    "no-index-but-an-id": [[without(call(), "function")], [part(C1, name="bash", id="c0")]],
    "no-index-and-no-second-id": [[call("")], [part('{"c":')], [part("1}")]],
    "name-in-every-fragment": [[call("", index=0)], *([part(text, name="bash", index=0)] for text in ('{"c":', "1}"))],
    "head-in-every-fragment": [[call(text, index=0)] for text in ("", '{"c":', "1}")],
    "another-id-in-every-fragment": [
        [call("", index=0)], [call('{"c":', name=None, id="c1", index=0)], [call("1}", name=None, id="c2", index=0)]],
    "arguments-as-an-object": [[call({"c": 1}, index=0)]],
    "arguments-null-first": [[call(None, index=0)], [part(C1, index=0)]],
    "first-index-is-one": [[call("", index=1)], [part(C1, index=1)]],
    "index-as-text": [[call("", index="0")], [part(C1, index="0")]],
    "no-type": [[without(call(index=0), "type")]],
    "another-type": [[call(index=0, type="tool")]],
}  # fmt: skip

TWO_IN_STREAMS = {
    "both-in-one-delta": [[call(index=0), read(index=1)]],
    "both-without-index": [[call()], [read()]],
    "both-without-index-in-one-delta": [[call(), read()]],
    "both-with-index-zero": [[call(index=0)], [read(index=0)]],
    "both-in-turns": [
        [call("", index=0), call("", name="read", id="c1", index=1)],
        [part('{"path":', index=1), part('{"c":', index=0)],
        [part("1}", index=0), part('"a"}', index=1)],
    ],
    "both-with-a-gap": [[call(index=1)], [read(index=4)]],
}

ODD_IDS: dict[str, dict[str, Any]] = {"null": {"id": None}, "empty": {"id": ""}, "no": {}, "object": {"id": {}}}


def without_ids(name: str, told: dict[str, Any]) -> Case:
    """Two calls that do not say their ids."""
    first, second = ({**without(each, "id"), **told} for each in (call(), read()))
    script = fragments([{**first, "index": 0}], [{**second, "index": 1}])
    return Case(f"{name}-ids", MADE_TWO, whole(calling(first, second)), script)


def _twice() -> Case:
    """Two choices that call at once."""
    events = [chunk({"role": "assistant", "tool_calls": [call(C1)]}, index=index) for index in (0, 1)]
    ends = [chunk({}, "tool_calls", index=index) for index in (0, 1)]
    return Case("calls-in-two-choices", Answer(BASH.choices * 2, USAGE), None, stream(*events, *ends, COUNTED))


CASES = [
    *(Case(name, BASH, stream=fragments(*deltas)) for name, deltas in IN_STREAMS.items()),
    *(Case(name, TWO, stream=fragments(*deltas)) for name, deltas in TWO_IN_STREAMS.items()),
    *(without_ids(name, told) for name, told in ODD_IDS.items()),
    _twice(),
    Case("integer-id", Answer((Said(calls=(Called("bash", {"c": 1}, "7"),), finish="tool_calls"),), USAGE),
         whole(calling(call(id=7))), fragments([call(id=7, index=0)])),
    both("whole-call", calling(call()), BASH),
    both("whole-arguments-as-an-object", calling(call({"c": 1})), BASH),
    both("whole-call-without-type", calling(without(call(), "type")), BASH),
    both("whole-call-of-another-type", calling(call(type="tool")), BASH),
    both("whole-arguments-null", calling(call(None)), NOTHING),
    both("whole-arguments-missing", calling({**call(), "function": {"name": "bash"}}), NOTHING),
    both("whole-call-without-finish", calling(call()) | {"choices": [
        {"message": {"content": None, "tool_calls": [call()]}}]}, BASH),
    Case("arguments-null", NOTHING, stream=fragments([call(None, index=0)])),
    Case("arguments-missing", NOTHING, stream=fragments([{**call(index=0), "function": {"name": "bash"}}])),
    Case("arguments-empty", NOTHING, whole(calling(call(""))), fragments([call("", index=0)])),
    Case("one-id-for-two-calls", Answer((Said(calls=(Called("bash", {"c": 1}), Called("read", {"path": "a"})),
         finish="tool_calls"),), USAGE), whole(calling(call(), {**read(), "id": "c0"})),
         fragments([call(index=0)], [{**read(index=1), "id": "c0"}])),
    Case("two-calls-whole", TWO, whole(calling(call(), read())), whole(calling(call(), read()))),
]  # fmt: skip
