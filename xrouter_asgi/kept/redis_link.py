"""A Redis that answers at once, or counts as away."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar

from ..checks import require_positive

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

TIMEOUT: Final = 0.05  # seconds that a request waits for an answer of Redis

_CONNECT_TIMEOUT: Final = 1.0
_CONNECTIONS: Final = 16
_PAUSE: Final = 1.0  # seconds for which a Redis that failed is left alone
_VALKEY = re.compile(r"^valkey(?=s?://)")

logger = logging.getLogger("xrouter")


class RedisLink:
    """A client of a Redis whose failures are no errors: while it does not answer, it is as if it held nothing.

    Args:
        url: `redis://`, `rediss://`, `unix://`, or the same for Valkey; as redis-py takes it.
        holds: What it holds, as the log calls it.
        timeout: Seconds to wait for an answer.

    Raises ValueError for an unknown scheme, and ImportError without redis-py.
    """

    def __init__(self, url: str, *, holds: str, timeout: float = TIMEOUT) -> None:
        require_positive(timeout=timeout)
        self.redis = _connect(url, holds=holds, timeout=timeout)
        self._holds = holds
        self._away_until = 0.0
        self._away = False

    async def ask(self, operation: Callable[[], Awaitable[T]], otherwise: T) -> T:
        """The answer of Redis, or `otherwise` while it does not answer, for every failure of it or of a library."""
        time = asyncio.get_running_loop().time
        if time() < self._away_until:
            return otherwise
        try:
            answer = await operation()
        except Exception as error:
            self._away_until = time() + _PAUSE
            if not self._away:
                self._away = True
                logger.warning("The Redis of the %s is away (%s: %.200s)", self._holds, type(error).__name__, error)
            return otherwise
        if self._away:
            self._away = False
            logger.warning("The Redis of the %s is back", self._holds)
        return answer

    async def aclose(self) -> None:
        await self.redis.aclose()


def _connect(url: str, *, holds: str, timeout: float) -> Redis:
    """A client that connects at first use, and tries every command twice, the second time on a new connection."""
    try:
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import ConnectionError
    except ImportError as error:
        message = f'A Redis of {holds} needs redis-py. Install it with: pip install "xrouter-asgi[redis]"'
        raise ImportError(message) from error
    try:
        pool = BlockingConnectionPool.from_url(
            _VALKEY.sub("redis", url),
            max_connections=_CONNECTIONS,
            timeout=timeout,  # to wait for a free one
            socket_connect_timeout=_CONNECT_TIMEOUT,
            socket_timeout=timeout,
            retry=Retry(NoBackoff(), 1),
            retry_on_error=[ConnectionError],  # the server closed an idle connection
        )
    except ValueError:  # which quotes a part of the URL, maybe of its password
        message = (
            f'A Redis of {holds} cannot use this URL. Write "redis://USER:PASSWORD@HOST:PORT/NUMBER"; in a password'
        )
        raise ValueError(f"{message}, %2F stands for /, %23 for #, %3F for ? and %40 for @.") from None
    return Redis.from_pool(pool)
