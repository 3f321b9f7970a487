"""The descriptors of this process. A stream takes two: its client's connection, and that of its upstream."""

from __future__ import annotations

import sys
from contextlib import suppress

_OURS = 64  # for files, databases, Redis, listeners, and the connections that are told to come back later
_MOST = 1 << 20  # Linux's default for what one process may have (fs.nr_open)

if sys.platform != "win32":
    import resource


def raise_descriptors() -> None:
    """Raise the soft limit of descriptors to the hard one."""
    if sys.platform != "win32":
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(ValueError, OSError):  # macOS allows less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def most_connections() -> int:
    """How many connections the soft limit allows on either side of this process: (limit - 64) / 2, and 16 at least."""
    limit = _MOST
    if sys.platform != "win32":
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        limit = _MOST if soft == resource.RLIM_INFINITY else min(soft, _MOST)
    return max(16, (limit - _OURS) // 2)
