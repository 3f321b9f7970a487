from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrouter_asgi.wire.members import splice, without

from .test_codec import objects, values


def escaped(name: str, every: int) -> str:
    """`name` as a JSON string in which every n-th character is written as an escape."""
    return '"' + "".join(f"\\u{ord(char):04x}" if i % every == 0 else char for i, char in enumerate(name)) + '"'


@st.composite
def json_texts(draw: st.DrawFn) -> str:
    """An object as some encoder might write it: spaces, escapes of all sorts, also in the name `model`."""
    value = draw(objects | objects.map(lambda value: {**value, "model": "alias"}))
    written = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
    if draw(st.booleans()):
        # Only a name that stands alone: inside other text the quotes are escaped.
        written = written.replace('"model":', escaped("model", draw(st.integers(1, 5))) + " :", 1)
    return written


@given(json_texts(), st.dictionaries(st.sampled_from(["model", "stream_options"]), values, max_size=2))
def test_a_splice_decodes_to_the_object_with_its_members_set(written: str, changes: dict[str, Any]) -> None:
    value = json.loads(written)
    assert json.loads(splice(written.encode(), value, changes)) == {**value, **changes}


def test_a_splice_edits_the_text_in_place() -> None:
    data = b'{ "model" : "alias",\n "messages": [1.50, "\\n"] }'
    spliced = splice(data, json.loads(data), {"model": "real", "user": "u"})
    assert spliced == b'{ "model" : "real",\n "messages": [1.50, "\\n"],"user":"u"}'


@pytest.mark.parametrize(
    ("data", "spliced"),
    [
        (b'{"model":"a","tools":[{"model":1}]}', b'{"model":"real","tools":[{"model":1}]}'),
        (b'{"messages":[{"content":"{"}],"model":"a"}', b'{"messages":[{"content":"{"}],"model":"real"}'),
        (b'{"stop":["model"],"model":"a"}', b'{"stop":["model"],"model":"real"}'),
        (b'{"a\\"model":"b","model":"a"}', b'{"a\\"model":"b","model":"real"}'),
        (b'{"tools":[{"model":"b"}],"model":"a"}', b'{"tools":[{"model":"b"}],"model":"real"}'),
    ],
)
def test_the_outermost_member_of_several_with_its_name_is_set(data: bytes, spliced: bytes) -> None:
    assert splice(data, json.loads(data), {"model": "real"}) == spliced


def test_a_splice_without_changes_is_the_same_bytes() -> None:
    assert splice(b'{"a" : 1}', {"a": 1}, {}) == b'{"a" : 1}'


def test_an_appended_member_is_the_first_of_an_empty_object() -> None:
    assert splice(b"{ }\n", {}, {"a": 1}) == b'{"a":1}'


def test_a_name_spelled_with_escapes_does_not_keep_its_value() -> None:
    data = b'{"mod\\u0065l":"alias","metadata":{"model":"alias"}}'
    spliced = splice(data, json.loads(data), {"model": "real"})
    assert json.loads(spliced) == {"model": "real", "metadata": {"model": "alias"}}


@given(json_texts(), st.sampled_from([{"model"}, {"model", "user"}, {"stream_options"}]))
def test_members_are_taken_out_wherever_they_stand(written: str, names: set[str]) -> None:
    value = json.loads(written)
    left = {name: each for name, each in value.items() if name not in names}
    assert json.loads(without(written.encode(), names)) == left


@given(objects, st.data())
def test_any_members_can_be_taken_out(value: dict[str, Any], data: st.DataObject) -> None:
    names = data.draw(st.sets(st.sampled_from(sorted(value)))) if value else set()
    left = {name: each for name, each in value.items() if name not in names}
    assert json.loads(without(json.dumps(value).encode(), names)) == left


def test_what_is_left_keeps_its_bytes() -> None:
    data = b'{ "a" : 1.50, "b": {"c": [1, "}\\""]}, "d":"\\u00e9 , \xc3\xa9",\n"e": 1e2 }'
    assert without(data, {"b"}) == b'{ "a" : 1.50, "d":"\\u00e9 , \xc3\xa9",\n"e": 1e2 }'
    assert without(data, {"a", "e"}) == b'{ "b": {"c": [1, "}\\""]}, "d":"\\u00e9 , \xc3\xa9"}'
    assert without(data, {"a", "b", "d", "e"}) == b"{}"


@pytest.mark.parametrize("data", [b"{}", b" { }\n"])
def test_of_an_empty_object_nothing_is_taken(data: bytes) -> None:
    assert without(data, {"a"}) == data


def test_a_member_of_the_same_name_further_down_stays() -> None:
    assert without(b'{"m":{"a":1},"a":2,"l":[{"a":3}]}', {"a"}) == b'{"m":{"a":1},"l":[{"a":3}]}'
