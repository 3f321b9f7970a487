from __future__ import annotations

from weakref import ref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrouter_asgi.providers.gigachat.response.text_filters import Stops, Thinking


def cut(text: str, *sequences: str) -> tuple[str, bool]:
    stops = Stops(sequences)
    return stops.feed(text) + stops.close(), stops.hit


@pytest.mark.parametrize(
    ("text", "sequences", "shown", "hit"),
    [
        ("one END two", ["END"], "one ", True),
        ("one END two", ["two", "END"], "one ", True),
        ("one EN", ["END"], "one EN", False),
        ("END", ["END"], "", True),
        ("one", [], "one", False),
        ("one", [""], "one", False),
        ("aab", ["ab"], "a", True),
        ("abc", ["abc", "b"], "a", True),  # `b` is complete first, so a model would have stopped there
        ("xabc", ["c", "abc"], "x", True),
        ("строка\nвторая", ["\n"], "строка", True),
    ],
)
def test_text_ends_where_a_stop_sequence_is_completed_first(
    text: str, sequences: list[str], shown: str, hit: bool
) -> None:
    assert cut(text, *sequences) == (shown, hit)


def test_only_what_may_become_a_stop_sequence_is_held_back() -> None:
    stops = Stops(["END"])
    assert [stops.feed(piece) for piece in ("one E", "N", "ded EN", "D")] == ["one ", "", "ENded ", ""]
    assert stops.hit


def test_text_after_a_stop_sequence_is_dropped() -> None:
    stops = Stops(["END"])
    assert (stops.feed("END"), stops.feed("more"), stops.close()) == ("", "", "")


@given(
    st.lists(st.text("ab\n", max_size=4), max_size=8),
    st.lists(st.text("ab\n", max_size=3), max_size=4),
)
def test_how_the_text_is_split_makes_no_difference(pieces: list[str], sequences: list[str]) -> None:
    stops = Stops(sequences)
    shown = "".join([stops.feed(piece) for piece in pieces]) + stops.close()
    assert (shown, stops.hit) == cut("".join(pieces), *sequences)
    assert not any(sequence and sequence in shown for sequence in sequences)


def told_apart(*pieces: str) -> tuple[str, str]:
    thinking = Thinking()
    pairs = [*(thinking.feed(piece) for piece in pieces), thinking.close()]
    return "".join(pair[0] for pair in pairs), "".join(pair[1] for pair in pairs)


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("<think>hm</think>\n\nYes.", "hm", "Yes."),
        (" \n<think>hm</think>Yes.", "hm", "Yes."),
        ("<think></think>Yes.", "", "Yes."),
        ("<think>never closed", "never closed", ""),
        ("<think>a</thi", "a</thi", ""),
        ("Yes.", "", "Yes."),
        ("  Yes.", "", "  Yes."),
        ("The tag <think>is</think> a tag.", "", "The tag <think>is</think> a tag."),
        ("<thi", "", "<thi"),
        ("<thinking>", "", "<thinking>"),
        ("  ", "", "  "),
        ("<think>a</think>b<think>c</think>", "a", "b<think>c</think>"),
    ],
)
def test_only_a_block_at_the_start_is_reasoning(text: str, reasoning: str, answer: str) -> None:
    assert told_apart(text) == (reasoning, answer)


def test_reasoning_is_shown_as_it_comes() -> None:
    thinking = Thinking()
    steps = [thinking.feed(piece) for piece in ("<thi", "nk>so", " so</th", "ink>", " \n", "Yes", ".")]
    assert steps == [("", ""), ("so", ""), (" so", ""), ("", ""), ("", ""), ("", "Yes"), ("", ".")]


@given(st.lists(st.sampled_from(["<think>", "</think>", "<th", "ink>", "</", "a", " ", "\n"]), max_size=10))
def test_how_reasoning_is_split_makes_no_difference(pieces: list[str]) -> None:
    assert told_apart(*pieces) == told_apart("".join(pieces)) == told_apart(*"".join(pieces))


def test_nothing_of_an_answer_waits_for_the_collector_of_cycles() -> None:
    thinking = Thinking()
    alive = ref(thinking)
    thinking.feed("<think>why</think>answer")
    del thinking
    assert alive() is None
