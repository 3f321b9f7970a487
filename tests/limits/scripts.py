"""The Lua of a budget, changed for a test."""

from __future__ import annotations

import hashlib

from xrouter_asgi.limits.redis import RedisLimits


def replace_in_scripts(budget: RedisLimits, text: str, other: str) -> None:
    """Change what the scripts of a budget do, on a Redis that is a real one for the rest."""
    counts = budget._counts
    for script in (counts._reserve, counts._settle, counts._announce):
        script._text = script._text.replace(text, other)
        script._digest = hashlib.sha1(script._text.encode(), usedforsecurity=False).hexdigest()
