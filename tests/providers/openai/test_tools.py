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


def tidied(*fragments: dict[str, Any]) -> list[dict[str, Any]]:
    """Each fragment in a delta of its own."""
    calls = ToolCalls()
    fragments = copy.deepcopy(fragments)
    for fragment in fragments:
        before = copy.deepcopy(fragment)
        assert calls.tidy([fragment]) == (fragment != before)
    return [*fragments]


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
    (first,) = tidied({"function": {"arguments": "{}"}})
    assert first["index"] == 0
    assert first["type"] == "function"
    assert first["id"].startswith("call_")


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
    """New indexes follow one another, begin with id and type, and say id, type and name no second time."""
    seen = 0
    named = set()
    for fragment in tidied(*sent):
        assert fragment["function"]["arguments"] == "x"
        assert 0 <= fragment["index"] <= seen
        if fragment["index"] == seen:
            seen += 1
            assert fragment["id"]
            assert fragment["type"]
        else:
            assert not any((fragment.get("id"), fragment.get("type")))
        if fragment["function"].get("name"):
            assert fragment["index"] not in named
            named.add(fragment["index"])


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
    assert [name for each in told if (name := (each.get("function") or {}).get("name"))] == ["bash"]
    assert [call_id for each in told if (call_id := each.get("id"))] == [told[0]["id"]]
