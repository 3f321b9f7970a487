"""How patiently: a second upstream is asked when the first one takes unusually long."""

from __future__ import annotations

import asyncio
import logging
import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

from ..checks import require_share
from ..errors import XRouterError
from ..providers.base import Call, Provider, Reply, uses_client_credential
from ..providers.target import Wrapper, as_target
from ..wire import ChatRequest
from .base import ATTEMPTS

Runner: TypeAlias = asyncio.Task[Reply]

_QUANTILE = 0.95  # "The tail at scale" (Dean and Barroso, 2013) hedges there: some 5 % of the calls would
_MINIMUM = 20  # calls of one kind before the first hedge
_REMEMBERED = 200  # calls from which it is learnt
_BURST = 5.0  # hedges that a quiet time saves up

logger = logging.getLogger("xrouter")


class HedgeBudget:
    """How many hedges the requests of late allow. Each costs money, and loads upstreams that may be slow because
    of their load.

    Args:
        share: Hedges for each request. Above 0, up to 1.

    Share one among all that hedge for one model.
    """

    def __init__(self, *, share: float = 0.03) -> None:
        require_share(share=share)
        self._share = share
        self._saved = 0.0

    def request(self) -> None:
        """A request begins."""
        self._saved = min(self._saved + self._share, _BURST)

    def hedge(self) -> bool:
        """Take a hedge out of the budget; False when it is empty."""
        # Sums of a share such as 0.1 fall short of 1 by a hair.
        if self._saved < 1 - 1e-9:
            return False
        self._saved -= 1
        return True


class Latencies:
    """How long the calls of late took."""

    def __init__(self) -> None:
        self._order: deque[float] = deque()
        self._sorted: list[float] = []

    def add(self, seconds: float) -> None:
        """Note how long a call took."""
        if len(self._order) == _REMEMBERED:
            del self._sorted[bisect_left(self._sorted, self._order.popleft())]
        self._order.append(seconds)
        insort(self._sorted, seconds)

    def unusual(self) -> float | None:
        """The 95th percentile; None before 20 calls."""
        if len(self._sorted) < _MINIMUM:
            return None
        return self._sorted[math.ceil(_QUANTILE * len(self._sorted)) - 1]


class Hedge(Wrapper):
    """Asks a second upstream when the first one's first event comes later than 95 % of them did, and takes the sooner.

    The loser is cancelled and closed; it was asked and may cost money, so it stays noted as an attempt. Streams and
    whole answers are learnt apart. A request with tools is never asked for twice, for what its answer sets off may be
    set off twice; nor is what a caller pays with a key of his own, nor anything but chats.

    Args:
        inner: The upstream to ask first.
        second: Who is asked besides, once; its own retries are its own affair.
        budget: See `HedgeBudget`; one of its own by default.

    Raises:
        XRouterError: What the first upstream failed with, if both did.

    Place it around what Fallback takes for a candidate: while nobody has failed there is nothing to fall back from.
    """

    def __init__(self, inner: Provider, *, second: Provider, budget: HedgeBudget | None = None) -> None:
        super().__init__(inner)
        self.second = as_target(second)
        self.budget = budget or HedgeBudget()
        self._plain, self._streamed = Latencies(), Latencies()

    async def send(self, call: Call, /) -> Reply:
        """Answer the call, by whichever upstream is sooner."""
        if not isinstance(call.request, ChatRequest) or call.repeats is not None:
            return await self.inner.send(call)
        latencies = self._streamed if call.request.stream else self._plain
        self.budget.request()
        delay = latencies.unusual() if _may_be_asked_twice(call.request, call) else None
        began = asyncio.get_running_loop().time()
        reply = await (self.inner.send(call) if delay is None else self._race(call, delay))
        # Also if the other one was sooner: the first would have taken at least so long.
        latencies.add(asyncio.get_running_loop().time() - began)
        return reply

    async def aclose(self) -> None:
        """Close both."""
        try:
            await self.inner.aclose()
        finally:
            await self.second.aclose()

    async def _race(self, call: Call, delay: float) -> Reply:
        """Ask the second upstream if the first one has not answered after so many seconds."""
        before = len(call.context.attempts)
        first = asyncio.create_task(self.inner.send(call))
        runners = [first]
        try:
            await asyncio.wait((first,), timeout=delay)
            # The first one may still stand in line, and is no attempt yet.
            made = max(len(call.context.attempts), before + 1)
            if not first.done() and made < ATTEMPTS and self.budget.hedge():
                call.context.decision.hedges += 1
                runners.append(asyncio.create_task(self.second.send(call)))
            winner = await _soonest(runners)
            await _give_up([runner for runner in runners if runner is not winner])
        except BaseException:
            await _give_up(runners)  # the winner, too, if the client leaves while the loser ends
            raise
        try:
            return winner.result()
        finally:
            del first, winner, runners  # they hold the error, whose traceback holds this frame


async def _soonest(runners: Sequence[Runner]) -> Runner:
    """The first one that answers; the first of all if none does."""
    pending = set(runners)
    while pending:
        _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for runner in runners:
            if runner.done() and not runner.cancelled() and runner.exception() is None:
                return runner
    return runners[0]


async def _give_up(losers: Sequence[Runner]) -> None:
    """Cancel them, and leave nothing open of what they began."""
    for loser in losers:
        loser.cancel()
    for outcome in await asyncio.gather(*losers, return_exceptions=True):
        match outcome:
            case Reply() as reply:
                await reply.aclose()
            case XRouterError() | asyncio.CancelledError():
                pass
            case defect:
                logger.error("The loser of a race failed by a defect of this program", exc_info=defect)


def _may_be_asked_twice(request: ChatRequest, call: Call) -> bool:
    runs_tools = call.original is not None and call.original.forwarded.value.get("tools")  # at the upstream itself
    return not (request.tools or request.functions or runs_tools or uses_client_credential(call))
