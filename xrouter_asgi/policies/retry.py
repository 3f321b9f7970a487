"""How often: an upstream that failed before it committed itself is asked again, within a budget."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from random import Random

from ..checks import require_positive
from ..clock import now
from ..errors import RequestRejected, UpstreamTimeout, XRouterError
from ..events import AttemptRetried
from ..providers.base import Call, Provider, Reply, Unready
from ..providers.target import Wrapper
from .backoff import Backoff
from .base import Window

# What one repetition shows to be an accident or not; a second one seldom helps, and of an answer that was cut short or
# left out most may have been paid for.
_ONCE = {"dns_error", "truncated", "empty_answer", "empty_stream", "stream_broken", "upstream_overloaded"}

# Attempts in a row by which an upstream counts as dead: as many as a breaker wants to have seen.
_DEAD = 20

# One second of the reserve is looked back on exactly; the window in steps of a tenth.
_SECOND = 1.0
_SLOTS = 10


_EARNED, _RESERVED = range(2)


class RetryBudget:
    """How many retries the requests of late allow, so that an outage is not answered by a multiple of the load.

    A count of attempts bounds one request only: with 3 attempts, an upstream that is down for lack of capacity gets
    three times the load that brought it down, and stays down. At any moment, the retries of the last `window` seconds
    are at most `ratio` times the requests begun in them, and `per_second` for each second on top, so that quiet hours
    have retries too. The numbers are Finagle's.

    An upstream whose last 20 attempts all failed gets none at all until it has answered once: over minutes, what is
    always allowed adds up. Requests are its probes, so nothing has to be waited for when it is back.

    Args:
        ratio: Retries for each request. At least 0.
        per_second: Retries that are always allowed. At least 0.
        window: Seconds for which a request counts. Above 0.
        clock: Seconds of a clock that only goes forward; the event loop's by default.

    Share one among all that goes to one provider.
    """

    def __init__(
        self,
        *,
        ratio: float = 0.2,
        per_second: int = 10,
        window: float = 10.0,
        clock: Callable[[], float] = now,
    ) -> None:
        require_positive(window=window)
        # Written so that NaN fails too.
        if not (ratio >= 0 and per_second >= 0):
            raise ValueError(f"'ratio' is {ratio!r} and 'per_second' {per_second!r}. Write numbers of at least 0.")
        self._ratio = ratio
        self._per_second = per_second
        self._reserved = per_second * window
        self._clock = clock
        # Errors of the slots are on the safe side: requests are forgotten a little early, retries a little late.
        self._requests = Window(1, slot=window / _SLOTS, slots=_SLOTS)
        self._retries = Window(2, slot=window / _SLOTS, slots=_SLOTS + 1)
        self._reserve: deque[float] = deque()
        self._consecutive_failures = 0

    def request(self) -> None:
        """A request begins."""
        self._requests.add(0, self._clock())

    def allows(self) -> bool:
        """Whether `retry` would take one."""
        return self._kind(self._clock()) is not None

    def retry(self) -> bool:
        """Take a retry out of the budget; False when it is empty, or the upstream is dead."""
        now = self._clock()
        kind = self._kind(now)
        if kind is None:
            return False
        self._retries.add(kind, now)
        if kind == _RESERVED:
            self._reserve.append(now)
        return True

    def success(self) -> None:
        """The upstream answered an attempt."""
        self._consecutive_failures = 0

    def failure(self) -> None:
        """The upstream failed an attempt."""
        self._consecutive_failures += 1

    def _kind(self, now: float) -> int | None:
        """What the next retry would be taken from; None if there is none."""
        if self._consecutive_failures >= _DEAD:
            return None
        (requests,), (earned, reserved) = self._requests.totals(now), self._retries.totals(now)
        if earned + 1 <= self._ratio * requests:
            return _EARNED
        while self._reserve and self._reserve[0] <= now - _SECOND:
            self._reserve.popleft()
        # Retries that were earned by requests which are forgotten by now are there all the same.
        if earned + reserved + 1 > self._ratio * requests + self._reserved:
            return None
        return _RESERVED if len(self._reserve) < self._per_second else None


class Retry(Wrapper):
    """Ask an upstream again that failed before anything of its answer was here.

    The errors say what may be repeated (`retryable`): refused and lost connections, an upstream's 5xx, a rate limit
    that tells a short wait. A time-out after the request was taken is not, for its answer may have been paid for.

    Where others can be asked meanwhile (`call.elsewhere`), an upstream that tells a wait, or is overloaded, is left at
    once; `Fallback` comes back to it. Coming back (`call.repeats`) takes a retry out of the budget, too, and is refused
    after `attempts` at this upstream.

    Args:
        inner: The provider.
        attempts: How often it is asked at most. Attempts of the same request at other upstreams count as well, so that
            with fallbacks a request is not tried so often at each of them. At least 1.
        budget: See `RetryBudget`; one of its own by default.
        backoff: How long to wait.
        retry_billed: Whether a time-out is repeated although it may have cost money already.
        target: What events call what it asks, such as `provider/model`.
        random: Draws the waits.

    Raises:
        XRouterError: What the last attempt failed with. If it could have been repeated, it tells the client's SDK not
            to (`x-should-retry: false`): its own retries would multiply with ours.

    Place it above CircuitBreaker, so that each attempt counts there, and below Fallback, which knows whether somebody
    else answers.
    """

    def __init__(
        self,
        inner: Provider,
        *,
        attempts: int = 3,
        budget: RetryBudget | None = None,
        backoff: Backoff = Backoff(),  # noqa: B008 -- frozen
        retry_billed: bool = False,
        target: str = "",
        random: Random | None = None,
    ) -> None:
        require_positive(attempts=attempts)
        super().__init__(inner)
        self.budget = budget or RetryBudget()
        self._attempts = attempts
        self._backoff = backoff
        self._retry_billed = retry_billed
        self._target = target
        self._random = random or Random()  # noqa: S311 -- spreads load, hides nothing

    def ready(self, call: Call, /) -> Unready | None:
        if call.repeats is not None and not (self._is_left(call) and self.budget.allows()):
            return Unready("retry_budget", None, "no retry is left")
        return self.inner.ready(call)

    async def send(self, call: Call, /) -> Reply:
        repeated: Sequence[str | None] = ()
        retry = 1  # the number of the next one
        if call.repeats is None:
            self.budget.request()
        elif self._is_left(call) and self.budget.retry():
            repeated = (call.repeats.code,)
            retry = 2
        else:
            raise call.repeats.but(should_retry=False)
        while True:
            try:
                reply = await self.inner.send(call)
            except XRouterError as error:
                self._note(error)
                if call.elsewhere and error.tells_to_wait:
                    raise
                wait = self._wait(error, retry, call, repeated)
                if wait is None:
                    raise self._final(error) from error.__cause__
                repeated = (*repeated, error.code)
                call.context.emit(AttemptRetried(call.context, self.name, retry, wait, error, self._target))
            else:
                self.budget.success()
                return reply
            await asyncio.sleep(wait)
            retry += 1

    def _is_left(self, call: Call) -> bool:
        """Whether this upstream was asked less often for the request than it may be."""
        return sum(attempt.provider == self.name for attempt in call.context.attempts) < self._attempts

    def _note(self, error: XRouterError) -> None:
        if error.trips:
            self.budget.failure()
        elif isinstance(error, RequestRejected):
            self.budget.success()  # an upstream that finds fault is well

    def _may_repeat(self, error: XRouterError) -> bool:
        billed = self._retry_billed and isinstance(error, UpstreamTimeout)
        return (error.retryable or billed) and error.should_retry is not False

    def _wait(self, error: XRouterError, retry: int, call: Call, repeated: Sequence[str | None]) -> float | None:
        """Seconds until the retry of that number; None when there is none. It is taken out of the budget.

        Args:
            repeated: The codes of what was repeated so far.
        """
        wait = self._backoff.wait(error, retry, self._random) if self._may_repeat(error) else None
        if wait is None or max(retry, len(call.context.attempts)) >= self._attempts:
            return None
        if error.code in _ONCE and error.code in repeated:
            return None
        if call.deadline is not None and now() + wait >= call.deadline:
            return None
        return wait if self.budget.retry() else None

    def _final(self, error: XRouterError) -> XRouterError:
        """What to raise when an error is not repeated any more."""
        if self._may_repeat(error) and self._backoff.is_bearable(error):
            return error.but(should_retry=False)
        return error
