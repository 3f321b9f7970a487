"""How many tokens a request has, before it is sent."""

from __future__ import annotations

import asyncio
import logging

from ..errors import XRouterError
from ..providers.base import Call
from ..providers.target import Attempting

_PATIENCE = 10.0  # seconds for a count of tokens, which an estimate can replace

logger = logging.getLogger("xrouter")


async def count_tokens(provider: Attempting, call: Call) -> int | None:
    """How many tokens the provider says that the call has; None if it cannot say, or not in time."""
    deadline = asyncio.get_running_loop().time() + _PATIENCE
    try:
        async with asyncio.timeout_at(deadline):
            return await provider.count_tokens(call.until(deadline))
    except (XRouterError, TimeoutError) as error:
        logger.warning("The tokens of a request could not be counted: %s", error, extra=call.context.facts)
        return None
