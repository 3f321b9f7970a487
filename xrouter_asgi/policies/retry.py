"""How often: an upstream that failed before it committed itself is asked again, within a budget."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from ..checks import require_positive
from ..errors import RequestRejected, UpstreamRateLimited, UpstreamTimeout, XRouterError
from ..events import AttemptRetried
from ..providers.base import Call, Provider, Reply
from ..wire import ModelsRequest
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
        clock: Seconds of a clock that only goes forward.

    Share one among all that goes to one provider.
    """

    def __init__(
        self,
        *,
        ratio: float = 0.2,
        per_second: int = 10,
        window: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
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
        self._in_vain = 0

    def request(self) -> None:
        """A request begins."""
        self._requests.add(0, self._clock())

    def retry(self) -> bool:
        """Take a retry out of the budget; False when it is empty, or the upstream is dead."""
        if self._in_vain >= _DEAD:
            return False
        now = self._clock()
        (requests,), (earned, reserved) = self._requests.totals(now), self._retries.totals(now)
        if earned + 1 <= self._ratio * requests:
            self._retries.add(_EARNED, now)
            return True
        while self._reserve and self._reserve[0] <= now - _SECOND:
            self._reserve.popleft()
        # Retries that were earned by requests which are forgotten by now are there all the same.
        if earned + reserved + 1 > self._ratio * requests + self._reserved:
            return False
        if len(self._reserve) < self._per_second:
            self._reserve.append(now)
            self._retries.add(_RESERVED, now)
            return True
        return False

    def heard(self) -> None:
        """The upstream answered an attempt."""
        self._in_vain = 0

    def failed(self) -> None:
        """The upstream failed an attempt."""
        self._in_vain += 1


class Retry:
    """Ask an upstream again that failed before anything of its answer was here.

    What may be repeated is said by the errors (`retryable`): refused and lost connections, an upstream's 5xx, a rate
    limit that tells a short wait. A time-out after the request was taken is not, for its answer may have been paid for.
    The wait is drawn from 0 to `base` × 2ⁿ⁻¹ ("full jitter", AWS 2015), or what the upstream asks for and a jitter.

    Args:
        inner: The provider.
        attempts: How often it is asked at most. Attempts of the same request at other upstreams count as well, so that
            with fallbacks a request is not tried so often at each of them. At least 1.
        budget: See `RetryBudget`; one of its own by default.
        base, cap: Seconds of the widest first wait, and of the widest of all. Above 0.
        patience: The longest wait, in seconds, that an upstream may ask for; beyond it the error goes to the client
            or a fallback at once. Above 0.
        retry_billed: Whether a time-out is repeated although it may have cost money already.
        elsewhere: Whether others can be asked meanwhile. Then an upstream that tells a wait, or is overloaded, is left
            at once, and waited for by `again` only.
        target: What events call what it asks, such as `provider/model`.
        clock: The clock of `call.deadline`.

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
        base: float = 0.5,
        cap: float = 8.0,
        patience: float = 5.0,
        retry_billed: bool = False,
        elsewhere: bool = False,
        target: str = "",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        dice: random.Random | None = None,
    ) -> None:
        require_positive(attempts=attempts, base=base, cap=cap, patience=patience)
        self.inner = inner
        self.budget = budget or RetryBudget(clock=clock)
        self._attempts = attempts
        self._base = base
        self._cap = cap
        self._patience = patience
        self._retry_billed = retry_billed
        self._elsewhere = elsewhere
        self._target = target
        self._clock = clock
        self._sleep = sleep
        self._dice = dice or random.Random()  # noqa: S311 -- spreads load, hides nothing

    @property
    def name(self) -> str:
        return self.inner.name

    def send(self, call: Call, /) -> Coroutine[Any, Any, Reply]:
        if isinstance(call.request, ModelsRequest):
            return self.inner.send(call)
        self.budget.request()
        return self._ask(call, 1, elsewhere=self._elsewhere)

    def again(self, call: Call, error: XRouterError, since: float) -> Coroutine[Any, Any, Reply] | None:
        """Wait as told and go on, now that nobody else has answered. In all it may make an attempt more than otherwise.

        Args:
            error: What `send` raised.
            since: How many seconds ago.

        Returns:
            None if it told no wait, or one that is too long, or if no attempt is left.
        """
        if not _tells_to_wait(error):
            return None
        ours = sum(attempt.provider == self.name for attempt in call.context.attempts)
        most = self._attempts + (ours < self._attempts)
        wait = self._plan(error, max(1, ours), call, most=most, repeated=())
        return None if wait is None else self._ask_after(max(0.0, wait - since), error, call)

    async def aclose(self) -> None:
        await self.inner.aclose()

    async def _ask(self, call: Call, retry: int, *, elsewhere: bool, repeated: Sequence[str | None] = ()) -> Reply:
        """Ask until there is an answer, or no retry; the next one has that number, counted from 1.

        Args:
            repeated: The codes of what was repeated so far.
        """
        while True:
            try:
                reply = await self.inner.send(call)
            except XRouterError as error:
                self._note(error)
                wait = None
                if not (elsewhere and _tells_to_wait(error)):
                    wait = self._plan(error, retry, call, most=self._attempts, repeated=repeated)
                if wait is None:
                    raise
                repeated = (*repeated, error.code)
                call.context.emit(AttemptRetried(call.context, self.name, retry, wait, error, self._target))
            else:
                self.budget.heard()
                return reply
            await self._sleep(wait)
            retry += 1

    async def _ask_after(self, wait: float, error: XRouterError, call: Call) -> Reply:
        call.context.emit(AttemptRetried(call.context, self.name, 1, wait, error, self._target))
        await self._sleep(wait)
        return await self._ask(call, 2, elsewhere=False, repeated=(error.code,))

    def _note(self, error: XRouterError) -> None:
        if error.trips:
            self.budget.failed()
        elif isinstance(error, RequestRejected):
            self.budget.heard()  # an upstream that finds fault is well

    def _plan(
        self, error: XRouterError, retry: int, call: Call, *, most: int, repeated: Sequence[str | None]
    ) -> float | None:
        """Seconds until the retry of that number, counted from 1; None when there is none.

        Args:
            most: Attempts in all.
            repeated: As above.
        """
        if not self._is_worth_it(error):
            return None
        wait = self._wait(error, retry)
        is_left = max(retry, len(call.context.attempts)) < most
        is_left = is_left and not (error.code in _ONCE and error.code in repeated)
        in_time = call.deadline is None or self._clock() + wait < call.deadline
        if is_left and in_time and self.budget.retry():
            return wait
        error.should_retry = False
        return None

    def _is_worth_it(self, error: XRouterError) -> bool:
        billed = self._retry_billed and isinstance(error, UpstreamTimeout)
        if not (error.retryable or billed) or error.should_retry is False:
            return False
        if error.retry_after is None:
            return not isinstance(error, UpstreamRateLimited)  # guessing a wait would only feed the limit
        return error.retry_after <= self._patience

    def _wait(self, error: XRouterError, retry: int) -> float:
        if error.retry_after is not None:
            return error.retry_after + self._dice.uniform(0, self._base)
        if error.code == "upstream_overloaded":
            return self._dice.uniform(0, self._cap)
        return self._dice.uniform(0, min(self._cap, self._base * 2 ** (retry - 1)))


def _tells_to_wait(error: XRouterError) -> bool:
    return error.retry_after is not None or error.code == "upstream_overloaded"
