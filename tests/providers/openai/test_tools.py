from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrouter_asgi.providers.openai.tool_calls import ToolCalls

NAMED = {"name": "bash", "arguments": '{"c":1}'}


def begin(
    index: int | None, name: str | None = "f", call_id: str | None = "c0", arguments: str = "", **more: Any
) -> dict[str, Any]:
    fragment: dict[str, Any] = {"type": "function", "function": {"name": name, "arguments": arguments}, **more}
    return numbered(index, fragment if call_id is None else {"id": call_id, **fragment})


def go_on(index: int | None, arguments: str = "{}", **more: Any) -> dict[str, Any]:
    return numbered(index, {"function": {"arguments": arguments}, **more})


def numbered(index: int | None, fragment: dict[str, Any]) -> dict[str, Any]:
    return fragment if index is None else {"index": index, **fragment}


def tidied(*fragments: dict[str, Any], ended: bool = False) -> list[dict[str, Any]]:
    """Each fragment in a delta of its own; then, if it has ended, one without any."""
    calls = ToolCalls()
    told = []
    for sent in [*([each] for each in fragments), *([[]] if ended else [])]:
        delta = copy.deepcopy(sent)
        assert calls.tidy(delta, ended=not sent) == (delta != sent)
        told += delta
    return told


GOOD = [begin(0), go_on(0), begin(1, "g", "c1"), go_on(1), go_on(0)]


def test_good_calls_are_left_alone() -> None:
    assert tidied(*GOOD) == GOOD
    custom = [begin(0, type="custom"), {"index": 0, "custom": {"input": "x"}}]
    assert tidied(*custom) == custom
    empty = [begin(0), {"index": 0, "id": None, "function": None}, {"index": 0, "id": "", "type": None}]
    assert tidied(*empty) == empty


def test_indexes_count_from_0_without_gaps() -> None:
    assert tidied(begin(1), go_on(1), begin(5, "g", "c1"), go_on(5), go_on(1)) == GOOD


def test_missing_indexes_are_told_from_ids() -> None:
    assert tidied(begin(None), go_on(None), begin(None, "g", "c1"), go_on(None), go_on(None, id="c0")) == GOOD


def test_missing_indexes_and_ids_are_told_from_names() -> None:
    first, rest, second = tidied(begin(None, call_id=None), go_on(None), begin(None, "g", call_id=None))
    assert [first["index"], rest["index"], second["index"]] == [0, 0, 1]
    assert first["id"].startswith("call_")
    assert first["id"] != second["id"]


def test_a_call_that_begins_without_anything_gets_what_it_needs() -> None:
    (first,) = tidied({"function": NAMED})
    assert first["index"] == 0
    assert first["type"] == "function"
    assert first["id"].startswith("call_")


def test_one_id_does_not_name_two_calls() -> None:
    first, second = tidied(begin(0), begin(1, "g", "c0"))
    assert first["id"] == "c0"
    assert second["id"].startswith("call_")


def test_a_call_is_told_by_its_id_when_its_index_is_new() -> None:
    assert tidied(begin(None), go_on(5, id="c0")) == [begin(0), go_on(0)]


def test_a_call_without_arguments_has_an_empty_object_of_them_at_the_end() -> None:
    for arguments in ("", None):
        sent = {**begin(0), "function": {"name": "f", "arguments": arguments}}
        assert tidied(sent, ended=True) == [begin(0), go_on(0)]
    assert tidied(*GOOD, ended=True) == GOOD
    custom = {"index": 0, "id": "c", "type": "custom", "custom": {"name": "f", "input": ""}}
    assert tidied(custom, ended=True) == [custom]


def test_a_call_that_never_gets_a_name_is_told_at_the_end() -> None:
    assert tidied(begin(0, None), go_on(0), ended=True) == [begin(0, "", arguments="{}")]
    custom = {"index": 0, "id": "c", "type": "custom", "custom": {"input": "x"}}
    assert tidied(custom, ended=True) == [{**custom, "custom": {"name": "", "input": "x"}}]


@pytest.mark.parametrize("odd", [None, {}, 5])
def test_the_input_of_a_custom_tool_may_be_anything(odd: Any) -> None:
    sent = [{"index": 0, "id": "c", "type": "custom", "custom": {"input": odd}}, {"index": 0, "custom": {"input": "x"}}]
    (told,) = tidied(*sent, {"index": 0, "custom": {"name": "f"}})
    assert told == {"index": 0, "id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}


def test_calls_are_numbered_in_the_order_of_their_names() -> None:
    sent = [begin(0, None), begin(1, "g", "c1"), numbered(0, {"function": NAMED})]
    assert tidied(*sent) == [begin(0, "g", "c1"), begin(1, "bash", arguments='{"c":1}')]


def test_what_was_said_once_is_not_repeated() -> None:
    assert tidied(begin(0), begin(0, arguments="{}")) == [begin(0), go_on(0)]
    assert tidied(begin(None), begin(None, arguments="{}")) == [begin(0), go_on(0)]


def test_a_new_id_without_a_name_is_no_new_call() -> None:
    assert tidied(begin(0), go_on(0, id="other", type="function")) == [begin(0), go_on(0)]


def test_calls_that_all_have_index_0_are_told_from_ids() -> None:
    calls = tidied(begin(0, "f", "c0", "{}"), begin(0, "g", "c1", "{}"), begin(0, "f", "c0", "more"))
    assert calls == [begin(0, "f", "c0", "{}"), begin(1, "g", "c1", "{}"), go_on(0, "more")]


def test_two_calls_of_one_delta_are_two() -> None:
    calls = [begin(None, "f", None), begin(None, "g", None)]
    assert ToolCalls().tidy(calls)
    assert [call["index"] for call in calls] == [0, 1]


def test_an_index_that_is_no_number_is_none() -> None:
    assert tidied({**begin(None), "index": "0"}, {**go_on(None), "index": None}) == [begin(0), go_on(0)]


fragments = st.fixed_dictionaries(
    {
        "function": st.fixed_dictionaries(
            {"arguments": st.just("x")}, optional={"name": st.sampled_from(["f", "g", ""])}
        )
    },
    optional={
        "index": st.integers(0, 4) | st.none(),
        "id": st.sampled_from(["a", "b", "", None]),
        "type": st.sampled_from(["function", None]),
    },
)


@given(st.lists(fragments, max_size=12))
def test_whatever_comes_keeps_the_contract(sent: list[dict[str, Any]]) -> None:
    """New indexes follow one another, begin with id, type and name, and say them no second time; nothing is lost."""
    ids: list[str] = []
    told = tidied(*sent, ended=True)
    for fragment in told:
        assert 0 <= fragment["index"] <= len(ids)
        if fragment["index"] == len(ids):
            ids.append(fragment["id"])
            assert fragment["type"]
            assert isinstance(fragment["function"]["name"], str)
        else:
            assert not any((fragment.get("id"), fragment.get("type"), fragment["function"].get("name")))
    assert len({*ids}) == len(ids)
    assert "".join(each["function"]["arguments"] for each in told) == "x" * len(sent)


@pytest.mark.parametrize(
    "sent",
    [
        [{"index": 0, "id": "c0", "type": "function", "function": {"arguments": ""}}, {"index": 0, "function": NAMED}],
        [begin(0, None), {"index": 0, "function": NAMED}],
        [begin(0, ""), {"index": 0, "function": NAMED}],
        [{"index": 0, "id": "c0", "type": "function"}, {"index": 0, "function": NAMED}],
        [{"id": "c0", "type": "function"}, {"id": "c0", "function": NAMED}],
        [{"type": "function"}, {"function": NAMED}],
        [{"index": 0, "id": "c0", "type": "function"}, {"index": 0, "id": "made up", "function": NAMED}],
        [{"index": 0, "id": "c0", "function": NAMED}, {"index": 0, "function": {**NAMED, "arguments": ""}}],
    ],
)
def test_a_name_reaches_the_client_once_whichever_fragment_brings_it(sent: list[dict[str, Any]]) -> None:
    told = tidied(*sent)
    assert {fragment["index"] for fragment in told} == {0}
    assert [(each.get("function") or {}).get("name") for each in told] == ["bash", None][: len(told)]
    assert [call_id for each in told if (call_id := each.get("id"))] == [told[0]["id"]]
    assert "".join(each["function"]["arguments"] for each in told) == NAMED["arguments"]
