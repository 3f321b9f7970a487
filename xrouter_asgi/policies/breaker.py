"""Whether it is worth it: an upstream that keeps failing, or told us to wait, is left alone for a while."""

from __future__ import annotations

import asyncio
from functools import partial

from ..context import RequestContext
from ..errors import CircuitOpen, CooldownKind, RequestRejected, XRouterError
from ..events import CircuitClosed, CircuitHalfOpened, CircuitOpened, CooldownStarted
from ..providers.base import Call, Provider, Reply, Unready
from ..providers.target import Wrapper
from .circuit import Circuit, CircuitState, Generation, Thresholds
from .upstream_state import PASSING, Cooldown, UpstreamState

# Seconds of a cooldown where the upstream names none. One that is overloaded, or whose rate limit is reached, is tried
# again soon, each time later; a credential and an account have to be mended by somebody.
_COOLDOWN: dict[CooldownKind, float] = {"rate": 1.0, "overloaded": 1.0, "credential": 60.0, "quota": 600.0}
_LONGEST_PASSING = 60.0


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
            other.state == "closed" and other.unready() is None for other in self._members if other is not member
        )


class CircuitBreaker(Wrapper):
    """Leave an upstream alone that keeps failing, so that it can recover and nobody waits in vain.

    Errors that trip (`trips`) count, and streams that break off. Some errors start a cooldown, even if they do not
    trip: after a rate limit, and from an upstream that is overloaded, nothing is sent until the time it told (else for
    1 s, doubled up to 60), after a refused credential for 60 s, after a quota is used up for 600 s. The latter two hold
    for all breakers that share an `UpstreamState`. A cooldown is never shortened. It also starts for the last of a
    group: asking would bring no answer.

    Args:
        inner: The provider.
        group: See `CircuitGroup`; without one it opens whatever others do.
        upstream: What is shared with other models of the provider; one of its own by default.
        target: What events call what it guards, such as `provider/model`.
        thresholds: When it opens.

    Raises:
        CircuitOpen: The upstream was not asked. During a cooldown, status, type and code are those of its refusal.

    Place it above Concurrency and Timeout: a queue of ours says nothing about the upstream, silence does.
    """

    def __init__(
        self,
        inner: Provider,
        *,
        group: CircuitGroup | None = None,
        upstream: UpstreamState | None = None,
        target: str = "",
        thresholds: Thresholds = Thresholds(),  # noqa: B008 -- frozen
    ) -> None:
        super().__init__(inner)
        self.upstream = upstream or UpstreamState()
        self._target = target
        self._circuit = Circuit(thresholds, may_open=lambda: group is None or group.spares(self))
        self._cooldown: Cooldown | None = None
        self._next_cooldown = _COOLDOWN["rate"]
        if group is not None:
            group.join(self)

    @property
    def state(self) -> CircuitState:
        return self._circuit.state

    def ready(self, call: Call, /) -> Unready | None:
        return self.unready() or self.inner.ready(call)

    def unready(self) -> Unready | None:
        """Why this breaker itself would let no call through now, whatever is asked; None if it would."""
        if self._circuit.state == "closed" and self._cooldown is None and self.upstream.cooldown is None:
            return None  # as nearly always, and asked of each of a hundred candidates
        time = asyncio.get_running_loop().time()
        if (cooldown := self._lasting(time)) is not None:
            return Unready("cooling", cooldown.until, f"cooling ({cooldown.kind}) for {cooldown.until - time:.1f} s")
        if (left := self._circuit.left(time)) > 0:
            return Unready("circuit_open", time + left, f"circuit {self.state.replace('_', '-')} for {left:.1f} s")
        return None

    def try_now(self) -> None:
        """Let the next call through, whatever was before: somebody has mended what was wrong, and wants to know."""
        self._cooldown = self.upstream.cooldown = None
        self._circuit.try_now()

    async def send(self, call: Call, /) -> Reply:
        generation = self._admit(call.context)
        try:
            reply = await self.inner.send(call)
        except XRouterError as error:
            self._note_error(call.context, generation, error)
            raise
        except asyncio.CancelledError as given_up:
            match given_up.args:
                case (XRouterError() as reason, *_):  # a clock further out ran out meanwhile
                    self._note_error(call.context, generation, reason)
                case _:
                    self._circuit.no_result(generation)
            raise
        except BaseException:
            self._circuit.no_result(generation)
            raise
        self._next_cooldown = _COOLDOWN["rate"]
        before, time = self.state, asyncio.get_running_loop().time()
        self._circuit.success(generation, time)
        self._tell(call.context, before, time)
        reply.when_ended(partial(self._note_end, call.context, generation))
        return reply

    def _admit(self, context: RequestContext) -> Generation:
        time = asyncio.get_running_loop().time()
        if (cooldown := self._lasting(time)) is not None:
            raise cooldown.refusal(time)
        self._cooldown = self.upstream.cooldown = None  # so that `unready` need not look at the clock any more
        left = self._circuit.left(time)
        before = self.state
        generation = self._circuit.admit(time)
        self._tell(context, before, time)
        if generation is None:
            raise CircuitOpen(
                f"The upstream '{self.name}' keeps failing and is left alone. Try again in {left:.1f} s.",
                retry_after=left,
            )
        return generation

    def _lasting(self, time: float) -> Cooldown | None:
        """The cooldown that ends last of those that have not ended."""
        own, shared = _if_lasting(self._cooldown, time), _if_lasting(self.upstream.cooldown, time)
        if own is None or shared is None:
            return own or shared
        return max(own, shared, key=lambda cooldown: cooldown.until)

    def _note_error(self, context: RequestContext, generation: Generation, error: XRouterError) -> None:
        before, time = self.state, asyncio.get_running_loop().time()
        if error.trips:
            self._circuit.failure(generation, time)
        elif isinstance(error, RequestRejected):
            self._circuit.success(generation, time)  # an upstream that finds fault is well
        else:
            self._circuit.no_result(generation)
        self._tell(context, before, time)
        self._cool_down(context, error, time)

    def _note_end(self, context: RequestContext, generation: Generation, error: BaseException | None) -> None:
        # A stream that took too long was alive until then.
        if not isinstance(error, XRouterError):
            return
        before, time = self.state, asyncio.get_running_loop().time()
        if error.trips and error.code != "total_timeout":
            self._circuit.broken_off(generation, time)
            self._tell(context, before, time)
        self._cool_down(context, error, time)

    def _cool_down(self, context: RequestContext, error: XRouterError, time: float) -> None:
        """Start a cooldown, if the error has one."""
        kind, wait = error.cooldown_kind, error.retry_after
        if kind is None or not error.falls_back:
            return  # what may not fall back was refused to a caller's own account, which is not ours to cool down
        running = _if_lasting(self._cooldown if kind in PASSING else self.upstream.cooldown, time)
        if wait is None:
            if running is not None:
                return  # one of many that were under way when the cooldown began
            wait = _COOLDOWN[kind]
            if kind in PASSING:
                wait = self._next_cooldown
                self._next_cooldown = min(2 * wait, _LONGEST_PASSING)
        if running is not None and running.until >= time + wait:
            return
        cooldown = Cooldown(kind, time + wait, error.code, error.type, error.status)
        if kind in PASSING:
            self._cooldown = cooldown
        else:
            self.upstream.cooldown = cooldown
        context.emit(CooldownStarted(context, self.name, kind, wait, self._target))

    def _tell(self, context: RequestContext, before: CircuitState, time: float) -> None:
        """Tell of a change of state, if there was one."""
        if self.state == before:
            return
        match self.state:
            case "open":
                context.emit(CircuitOpened(context, self.name, self._circuit.left(time), self._target))
            case "half_open":
                context.emit(CircuitHalfOpened(context, self.name, self._target))
            case _:
                context.emit(CircuitClosed(context, self.name, self._target))


def _if_lasting(cooldown: Cooldown | None, time: float) -> Cooldown | None:
    return cooldown if cooldown is not None and time < cooldown.until else None
