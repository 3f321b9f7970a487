"""Whether it is worth it: an upstream that keeps failing, or told us to wait, is left alone for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ..checks import require_positive
from ..context import RequestContext
from ..errors import CircuitOpen, CooldownKind, RequestRejected, XRouterError
from ..events import CircuitClosed, CircuitHalfOpened, CircuitOpened, CooldownStarted
from ..providers.base import Call, Provider, Reply
from ..wire import ModelsRequest
from ..wire.stream import ChatStream
from .circuit import Circuit, Era, State
from .upstream_state import Cooldown, UpstreamState

# Seconds of rest where the upstream names none. A rate is tried again soon, each time later; a credential and an
# account have to be mended by somebody.
_REST: dict[CooldownKind, float] = {"rate": 1.0, "credential": 60.0, "quota": 600.0}
_LONGEST_RATE = 60.0


class CircuitGroup:
    """Upstreams that can stand in for one another, such as the targets of one model.

    The last of them whose circuit is closed stays closed however it fails: as long as somebody has to be asked, a
    failing upstream is better than none. So a breaker that is alone in its group never opens.
    """

    def __init__(self) -> None:
        self._members: list[CircuitBreaker] = []

    def join(self, member: CircuitBreaker) -> None:
        self._members.append(member)

    def spares(self, member: CircuitBreaker) -> bool:
        """Whether another one can do without it: closed, and not cooling."""
        return any(
            other.state == "closed" and other.available() is None for other in self._members if other is not member
        )


class CircuitBreaker:
    """Leave an upstream alone that keeps failing, so that it can recover and nobody waits in vain.

    Counted are errors that trip (`trips`), streams that break off, and, if `slow` is set, streams that begin late.
    What concerns us and not the upstream's health opens nothing but cools: after a 429 nothing is sent until the time
    it told (else for 1 s, doubled up to 60), after a refused credential for 60 s, after a quota is used up for 600 s.
    The latter two rest for all breakers of an account. A rest is never shortened. It also begins for the last of a
    group: asking would bring no answer.

    Args:
        inner: The provider.
        group: See `CircuitGroup`; without one it opens whatever others do.
        account: What is shared with other models of the provider; one of its own by default.
        target: What events call what it guards, such as `provider/model`.
        window, minimum, failure_share, slow_share, open_for, open_at_most, probes: See `Circuit`.
        slow: Seconds for the first chunk from which a stream counts as slow; None: none does. Whole answers are not
            judged, they are as slow as they are long.
        clock: Seconds of a clock that only goes forward.

    Raises:
        CircuitOpen: The upstream was not asked. While it cools, status, type and code are those of its refusal.

    Place it above Concurrency and Timeout: a queue of ours says nothing about the upstream, silence does.
    """

    def __init__(
        self,
        inner: Provider,
        *,
        group: CircuitGroup | None = None,
        account: UpstreamState | None = None,
        target: str = "",
        window: float = 30.0,
        minimum: int = 20,
        failure_share: float = 0.5,
        slow: float | None = None,
        slow_share: float = 0.8,
        open_for: float = 5.0,
        open_at_most: float = 10.0,
        probes: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        require_positive(slow=slow)
        self.inner = inner
        self.account = account or UpstreamState(clock=clock)
        self._target = target
        self._slow = slow
        self._clock = clock
        self._circuit = Circuit(
            window=window,
            minimum=minimum,
            failure_share=failure_share,
            slow_share=slow_share,
            open_for=open_for,
            open_at_most=open_at_most,
            probes=probes,
            may_open=lambda: group is None or group.spares(self),
        )
        self._rest: Cooldown | None = None
        self._next_rest = _REST["rate"]
        if group is not None:
            group.join(self)

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def state(self) -> State:
        return self._circuit.state

    def available(self, now: float | None = None) -> str | None:
        """None when a call would be let through; else why not, and for how long, for people to read.

        Args:
            now: In seconds of its clock; the present by default.
        """
        if self._circuit.state == "closed" and self._rest is None and self.account.rest is None:
            return None  # as nearly always, and asked of each of a hundred candidates
        now = self._clock() if now is None else now
        if (rest := self._resting(now)) is not None:
            return f"cooling ({rest.cooldown_kind}) for {rest.until - now:.1f} s"
        if (left := self._circuit.left(now)) > 0:
            return f"circuit {self.state.replace('_', '-')} for {left:.1f} s"
        return None

    async def send(self, call: Call, /) -> Reply:
        if isinstance(call.request, ModelsRequest):
            return await self.inner.send(call)
        began = self._clock()
        era = self._admit(call.context, began)
        try:
            reply = await self.inner.send(call)
        except XRouterError as error:
            self._note_error(call.context, era, error)
            raise
        except asyncio.CancelledError as given_up:
            match given_up.args:
                case (XRouterError() as reason, *_):  # a clock further out ran out meanwhile
                    self._note_error(call.context, era, reason)
                case _:
                    self._circuit.unheard(era)
            raise
        except BaseException:
            self._circuit.unheard(era)
            raise
        self._next_rest = _REST["rate"]
        stream = reply.body if isinstance(reply.body, ChatStream) else None
        now = self._clock()
        slow = stream is not None and self._slow is not None and now - began >= self._slow
        before = self.state
        self._circuit.answered(era, now, slow=slow)
        self._tell(call.context, before, now)
        if stream is not None:
            stream.when_ended(lambda error: self._note_end(call.context, era, error))
        return reply

    async def aclose(self) -> None:
        await self.inner.aclose()

    def _admit(self, context: RequestContext, now: float) -> Era:
        if (rest := self._resting(now)) is not None:
            raise rest.refusal(now)
        self._rest = self.account.rest = None  # so that `available` need not look at the clock any more
        left = self._circuit.left(now)
        before = self.state
        era = self._circuit.reserve_tokens(now)
        self._tell(context, before, now)
        if era is None:
            raise CircuitOpen(
                f"The upstream '{self.name}' keeps failing and is left alone. Try again in {left:.1f} s.",
                retry_after=left,
            )
        return era

    def _resting(self, now: float) -> Cooldown | None:
        """The rest that ends last of those that have not ended."""
        own, shared = _lasting(self._rest, now), _lasting(self.account.rest, now)
        if own is None or shared is None:
            return own or shared
        return max(own, shared, key=lambda rest: rest.until)

    def _note_error(self, context: RequestContext, era: Era, error: XRouterError) -> None:
        now = self._clock()
        before = self.state
        if error.trips:
            self._circuit.failed(era, now)
        elif isinstance(error, RequestRejected):
            self._circuit.answered(era, now)  # an upstream that finds fault is well
        else:
            self._circuit.unheard(era)
        self._tell(context, before, now)
        # What may not fall back was refused to a caller's own account, which is not ours to rest.
        if error.cooldown_kind is not None and error.falls_back:
            self._cool(context, error.cooldown_kind, error, now)

    def _note_end(self, context: RequestContext, era: Era, error: BaseException | None) -> None:
        # A stream that took too long was alive until then.
        if isinstance(error, XRouterError) and error.trips and error.code != "total_timeout":
            before, now = self.state, self._clock()
            self._circuit.broke(era, now)
            self._tell(context, before, now)

    def _cool(self, context: RequestContext, cooldown_kind: CooldownKind, error: XRouterError, now: float) -> None:
        wait = error.retry_after
        resting = _lasting(self._rest if cooldown_kind == "rate" else self.account.rest, now)
        if wait is None:
            if resting is not None:
                return  # one of many that were under way when the rest began
            wait = _REST[cooldown_kind]
            if cooldown_kind == "rate":
                wait, self._next_rest = self._next_rest, min(2 * self._next_rest, _LONGEST_RATE)
        if resting is not None and resting.until >= now + wait:
            return
        rest = Cooldown(cooldown_kind, now + wait, error.code, error.type, error.status)
        if cooldown_kind == "rate":
            self._rest = rest
        else:
            self.account.rest = rest
        context.emit(CooldownStarted(context, self.name, cooldown_kind, wait, self._target))

    def _tell(self, context: RequestContext, before: State, now: float) -> None:
        """Tell of a change of state, if there was one."""
        if self.state == before:
            return
        match self.state:
            case "open":
                context.emit(CircuitOpened(context, self.name, self._circuit.left(now), self._target))
            case "half_open":
                context.emit(CircuitHalfOpened(context, self.name, self._target))
            case _:
                context.emit(CircuitClosed(context, self.name, self._target))


def _lasting(rest: Cooldown | None, now: float) -> Cooldown | None:
    return rest if rest is not None and now < rest.until else None
