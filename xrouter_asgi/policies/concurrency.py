"""How many at once: a bound on the calls that are under way, and a fair queue in front of it."""

from __future__ import annotations

from ..providers.base import Call, Provider, Reply, Unready
from ..providers.target import Wrapper
from ..queueing.slots import Slots


class Concurrency(Wrapper):
    """Send an upstream no more calls than it bears at once. The others wait in a queue, or are refused.

    A call holds its slot until its stream has ended.

    Args:
        inner: The provider.
        slots: How many there are, and how calls wait for them; several policies may share them. 100 by default.

    Raises:
        ConcurrencyExceeded: The upstream was not asked. `retry_after` is estimated from how long calls have taken.
        UpstreamTimeout: `total_timeout`: the deadline came in the queue.

    Place it below CircuitBreaker, which must not take our queue for the upstream's fault, and above Timeout, whose
    clocks must not run in the queue. Lists of models are not counted.
    """

    def __init__(self, inner: Provider, *, slots: Slots | None = None) -> None:
        super().__init__(inner)
        self.slots = slots or Slots()

    def ready(self, call: Call, /) -> Unready | None:
        """`queue_full` while no slot is free; else what the inner provider says."""
        reason = self.slots.over_limit()
        return self.inner.ready(call) if reason is None else Unready("queue_full", None, reason)

    async def send(self, call: Call, /) -> Reply:
        slot = await self.slots.acquire(call.context.caller, deadline=call.deadline)
        try:
            reply = await self.inner.send(call)
        except BaseException as error:
            slot.failed(error)
            slot.release()
            raise
        slot.answered(streamed=reply.stream is not None)
        reply.when_ended(lambda error: slot.release())
        return reply
