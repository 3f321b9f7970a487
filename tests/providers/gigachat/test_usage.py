from __future__ import annotations

from typing import Any

import pytest

from xrouter_asgi.providers.gigachat.response.usage import gross_usage


def gross(prompt: int, completion: int, cached: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


@pytest.mark.parametrize(
    ("net", "expected"),
    [
        (
            {"prompt_tokens": 17, "completion_tokens": 3, "total_tokens": 20, "precached_prompt_tokens": 2},
            gross(19, 3, 2),
        ),
        ({"prompt_tokens": 138, "completion_tokens": 21, "total_tokens": 159, "system_tokens": 0}, gross(138, 21, 0)),
        ({"prompt_tokens": 0}, gross(0, 0, 0)),
        ({"prompt_tokens": 5, "completion_tokens": None, "precached_prompt_tokens": "2"}, gross(5, 0, 0)),
    ],
)
def test_cached_tokens_are_added_to_the_prompt_and_the_total(net: Any, expected: Any) -> None:
    assert gross_usage(net) == expected


@pytest.mark.parametrize(
    "usage", [None, [], {}, {"prompt_tokens": None}, {"prompt_tokens": True}, {"prompt_tokens": -1}]
)
def test_what_was_not_counted_is_not_made_up(usage: Any) -> None:
    assert gross_usage(usage) is None
