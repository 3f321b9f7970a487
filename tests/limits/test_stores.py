"""What every store promises, in memory and on a real Redis; the fixtures are those of this folder."""

from __future__ import annotations

from xrouter_asgi.testing.limit_stores import *  # noqa: F403 -- tests, which pytest finds here
