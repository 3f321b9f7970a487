"""GigaChat's counts of tokens -> OpenAI's.

GigaChat's `prompt_tokens` leave out what came from its cache, because that is not billed; OpenAI's hold all.
"""

from __future__ import annotations

from typing import Any


def gross_usage(usage: object) -> dict[str, Any] | None:
    """OpenAI's `usage`; None when GigaChat did not count."""
    if not isinstance(usage, dict) or not isinstance(prompt := usage.get("prompt_tokens"), int):
        return None
    cached = _count(usage.get("precached_prompt_tokens"))
    completion = _count(usage.get("completion_tokens"))
    return {
        "prompt_tokens": prompt + cached,
        "completion_tokens": completion,
        "total_tokens": prompt + cached + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
