"""How many at once: a bound on the calls that are under way, and a fair queue in front of it."""

from __future__ import annotations

from ..providers.base import Call, Provider, Reply
from ..queueing.slots import Slots
from ..wire import ModelsRequest
from ..wire.stream import ChatStream


class Concurrency:
    """Send an upstream no more calls than it bears at once; the others wait in line, or are refused.

    A call holds its slot until its stream has ended.

    Args:
        inner: The provider.
        slots: How many there are, and how they are waited for; several may share them. 100 by default.

    Raises:
        ConcurrencyExceeded: The upstream was not asked. `retry_after` is estimated from how long calls have taken.

    Place it below CircuitBreaker, which must not take our queue for the upstream's fault, and above Timeout, whose
    clocks must not run in the queue. Lists of models are not counted.
    """

    def __init__(self, inner: Provider, *, slots: Slots | None = None) -> None:
        self.inner = inner
        self.slots = slots or Slots()

    @property
    def name(self) -> str:
        return self.inner.name

    def available(self) -> str | None:
        """None when a call would find a slot at once; else why not, for people to read."""
        return self.slots.available()

    async def send(self, call: Call, /) -> Reply:
        if isinstance(call.request, ModelsRequest):
            return await self.inner.send(call)
        slots = self.slots
        began = await slots.acquire(call)
        try:
            reply = await self.inner.send(call)
        except BaseException as error:
            slots.failed(began, error)
            slots.release(began)
            raise
        stream = reply.body if isinstance(reply.body, ChatStream) else None
        slots.answered(began, streamed=stream is not None)
        if stream is None:
            slots.release(began)
        else:
            stream.when_ended(lambda error: slots.release(began))
        return reply

    async def aclose(self) -> None:
        await self.inner.aclose()
