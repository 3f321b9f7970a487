"""How JSON from outside is read, so that nobody's body makes another request wait.

A thread frees the event loop only between two calls into C: `from_json`, a validator or `b64decode` holds the
interpreter until it returns. So three rules hold wherever a client's or an upstream's bytes are read:

1. `codec.scan` bounds what one call may do, before it is made: values, levels, digits.
2. What is long is done in pieces: vector by vector, a MiB of base64, 8 KiB of events.
3. What still takes more than about 20 ms is done by `off_loop`: of clients what is more than `LARGE` or `MANY`, of
   upstreams what is more than `SMALL`.
"""

from __future__ import annotations

import gc
from asyncio import get_running_loop
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any, ParamSpec, TypeAlias, TypeVar

from .codec import SMALL, Scan, parse_request, scan

__all__ = ["LARGE", "MANY", "SMALL", "by_size", "off_loop", "read_request"]

LARGE = 512 << 10
"""Bytes of a request that may be read on the loop's thread."""

MANY = 4096
"""Values of a request that may be parsed and validated there."""

Fields: TypeAlias = Sequence[tuple[bytes, bytes]]

T = TypeVar("T")
P = ParamSpec("P")

# One thread: of several that compute, each would delay the loop by a switch interval whenever the loop wants to run.
_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="xrouter-reading")


async def read_request(body: bytes, read: Callable[[dict[str, Any], bytes, Fields], T], headers: Fields) -> T:
    """Read a client's body: scan it, parse it, and let its dialect validate it. Every dialect is read here.

    A body of up to `LARGE` bytes and `MANY` values is read at once, any other off the loop.

    Args:
        read: Makes the request from the JSON object, the body and the headers. See `Dialect.read`.

    Raises:
        InvalidRequest: From each of the three steps. See `parse_request`.
    """
    scanned = None
    if len(body) > MANY:  # as many bytes hold no more values
        scanned = scan(body, doubt=MANY) if len(body) <= LARGE else None
        if scanned is None or scanned.values > MANY:
            return await off_loop(_read, body, scanned, read, headers)
    return read(parse_request(body, scanned), body, headers)


def _read(body: bytes, scanned: Scan | None, read: Callable[[dict[str, Any], bytes, Fields], T], headers: Fields) -> T:
    return read(parse_request(body, scanned), body, headers)


async def off_loop(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns, done by the one thread for such work. It goes on if the caller is cancelled."""
    return await get_running_loop().run_in_executor(_thread, partial(_uncollected, work, *args, **kwargs))


async def by_size(size: int, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns, done at once if it reads up to `SMALL` bytes, else off the loop."""
    return work(*args, **kwargs) if size <= SMALL else await off_loop(work, *args, **kwargs)


def _uncollected(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Without the garbage collector: 125,000 lists take 70 ms to parse with it, in one call, and 8 without."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        return work(*args, **kwargs)
    finally:
        if enabled:
            if not _host_froze():
                # What is new counts as old, unseen: else the next collection looks at all of it, for up to 100 ms.
                gc.freeze()
                gc.unfreeze()
            gc.enable()


@cache
def _host_froze() -> bool:
    """Whether the host hides objects from the collector. Found out once: it takes as long as there are many."""
    return gc.get_freeze_count() > 0
