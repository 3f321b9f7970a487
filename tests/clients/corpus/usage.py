"""Usage in every place and spelling (kind 6)."""

from __future__ import annotations

from typing import Any

from xrouter_asgi.testing.openai import stream, whole

from ..asking import Answer, Case
from .parts import COUNTED, COUNTS, FIRST, HELLO, STOP, WORD, completion

SPELLINGS: dict[str, Any] = {
    "other-names": {"input_tokens": 12, "output_tokens": 7},
    "floats": {"prompt_tokens": 12.0, "completion_tokens": 7.0, "total_tokens": 19.0},
    "texts": {"prompt_tokens": "12", "completion_tokens": "7", "total_tokens": "19"},
    "no-completion": {"prompt_tokens": 12, "total_tokens": 19},
    "no-prompt": {"completion_tokens": 7, "total_tokens": 19},
    "null-completion": {"prompt_tokens": 12, "completion_tokens": None, "total_tokens": 19},
    "no-total": {"prompt_tokens": 12, "completion_tokens": 7},
    "null-total": {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": None},
    "null-details": {**COUNTS, "prompt_tokens_details": None, "completion_tokens_details": None},
    "other-details": {**COUNTS, "prompt_tokens_details": 5, "completion_tokens_details": []},
    "null-in-details": {
        **COUNTS,
        "prompt_tokens_details": {"cached_tokens": None},
        "completion_tokens_details": {"reasoning_tokens": None},
    },
}


def _spelled(name: str, told: dict[str, Any]) -> Case:
    events = [FIRST, WORD, STOP, {**COUNTED, "usage": told}]
    return Case(f"usage-of-{name}", HELLO, whole(completion(usage=told)), stream(*events))


def _in_choice(value: dict[str, Any], usage: object) -> dict[str, Any]:
    return {**value, "choices": [{**value["choices"][0], "usage": usage}]}


PLACES = {
    "beside-the-end": [FIRST, WORD, {**STOP, "usage": COUNTS}],
    "before-an-empty-event": [FIRST, WORD, {**STOP, "usage": COUNTS}, {**COUNTED, "usage": None}],
    "before-a-null": [FIRST, WORD, STOP, COUNTED, {**COUNTED, "usage": None}],
    "in-the-choice": [FIRST, WORD, _in_choice(STOP, COUNTS)],
    "in-x-groq": [FIRST, WORD, {**STOP, "x_groq": {"id": "r", "usage": COUNTS}}],
    "null-in-words": [*({**each, "usage": None} for each in (FIRST, WORD, STOP)), COUNTED],
}

CASES = [
    *(_spelled(*each) for each in SPELLINGS.items()),
    *(Case(f"usage-{name}", HELLO, stream=stream(*events)) for name, events in PLACES.items()),
    Case("usage-in-the-whole-choice", HELLO, whole(_in_choice(completion(usage=None), COUNTS))),
    Case("no-usage", Answer(HELLO.choices), whole(completion(usage=None)), stream(FIRST, WORD, STOP)),
]
