from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrouter_asgi.providers.gigachat.response.thinking import Thinking


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
def test_how_the_text_is_split_makes_no_difference(pieces: list[str]) -> None:
    assert told_apart(*pieces) == told_apart("".join(pieces)) == told_apart(*"".join(pieces))
