"""The Lua of a store, changed for a test."""

from __future__ import annotations

import hashlib

from xrouter_asgi.limits.redis import RedisLimits


def replace_in_scripts(store: RedisLimits, text: str, other: str) -> None:
    """Change what the scripts of a store do, on a Redis that is a real one for the rest."""
    counts = store._scripts
    for script in (counts._reserve, counts._settle, counts._renew):
        assert isinstance(script.script, str)
        script.script = script.script.replace(text, other)
        script.sha = hashlib.sha1(script.script.encode(), usedforsecurity=False).hexdigest()
