from __future__ import annotations

import zlib
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrouter_asgi.dialects.responses.seal import MAX_SEALED, MAX_UNSEALED, Unsealing, seal

from .translated import read


def forged(data: bytes) -> str:
    return "xr1." + urlsafe_b64encode(data).decode()


@given(st.text())
def test_what_is_sealed_comes_back(text: str) -> None:
    unsealing = Unsealing()
    assert unsealing.open(seal(text) or "") == text
    assert unsealing.size == len(text.encode())


def test_half_a_character_is_sealed_as_a_question_mark() -> None:
    assert Unsealing().open(seal("a\ud83d") or "") == "a?"


def test_a_longer_text_has_no_seal() -> None:
    assert seal("я" * (MAX_SEALED // 2)) is not None
    assert seal("я" * (MAX_SEALED // 2) + "x") is None


@pytest.mark.parametrize(
    "sealed",
    [
        "gAAAAABo",
        "xr1.",
        "xr1.я",
        "xr1.!!!",
        forged(b"no zlib"),
        forged(zlib.compress(b"cut off")[:-2]),
        forged(zlib.compress(b"\xff")),
        forged(zlib.compress(b"x" * (MAX_SEALED + 1))),
        forged(zlib.compress(b"x" * (1 << 26))),
    ],
)
def test_what_is_no_seal_of_ours_is_not_opened(sealed: str) -> None:
    assert Unsealing().open(sealed) is None


def test_all_seals_of_a_request_open_to_one_mebibyte_and_the_rest_is_told() -> None:
    most = MAX_UNSEALED // MAX_SEALED
    thought: dict[str, Any] = {"type": "reasoning", "encrypted_content": seal("x" * MAX_SEALED), "summary": []}
    said = {"role": "assistant", "content": "a"}
    user = {"role": "user", "content": "hi"}
    parsed = read(input=[user, *[thought, said, user] * (most + 2)])
    thoughts = [message for message in parsed.document.value["messages"] if "reasoning_content" in message]
    assert len(thoughts) == most
    assert parsed.warnings == ["reasoning_ignored"]
    assert parsed.estimate().prompt_tokens > MAX_UNSEALED // 2


def test_seals_that_cost_much_and_hold_nothing_are_counted() -> None:
    unsealing = Unsealing()
    bomb = forged(zlib.compress(b"x" * (1 << 26)))
    for _ in range(MAX_UNSEALED // MAX_SEALED):
        assert unsealing.open(bomb) is None
    assert not unsealing.exhausted
    assert unsealing.open(bomb) is None
    assert unsealing.exhausted
