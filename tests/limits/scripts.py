"""The Lua of a store, changed for a test."""

from __future__ import annotations

from xrouter_asgi.limits.redis import RedisLimits
from xrouter_asgi.limits.scripts import digest


def replace_in_scripts(store: RedisLimits, text: str, other: str) -> None:
    """Change what the scripts of a store do, on a Redis that is a real one for the rest."""
    counts = store._scripts
    changed = tuple(script.replace(text, other) for script in counts.server._scripts)
    counts.server._scripts = changed
    counts._reserve, counts._settle, counts._renew = map(digest, changed)
