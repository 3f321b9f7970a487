"""GigaChat's counts of tokens -> OpenAI's.

GigaChat's `prompt_tokens` leave out what came from its cache, because that is not billed; OpenAI's hold all.
"""

from __future__ import annotations

from typing import Any


def gross_usage(usage: object) -> dict[str, Any] | None:
    """OpenAI's `usage`; None when GigaChat did not count."""
    if not isinstance(usage, dict) or (prompt := _count(usage.get("prompt_tokens"))) is None:
        return None
    cached = _count(usage.get("precached_prompt_tokens")) or 0
    completion = _count(usage.get("completion_tokens")) or 0
    return {
        "prompt_tokens": prompt + cached,
        "completion_tokens": completion,
        "total_tokens": prompt + cached + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
