"""How often: an upstream that failed before it committed itself is asked again, within a budget."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

from ..checks import require_positive
from ..errors import RequestRejected, UpstreamTimeout, XRouterError
from ..events import AttemptRetried
from ..providers.base import Call, Provider, Reply, Unready
from ..providers.target import Wrapper
from .backoff import Backoff
from .retry_budget import RetryBudget

# What one repetition shows to be an accident or not; a second one seldom helps, and of an answer that was cut short or
# left out most may have been paid for.
_ONCE = {"dns_error", "truncated", "empty_answer", "empty_stream", "stream_broken", "upstream_overloaded"}


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
        if call.repeats is not None and not self._is_left(call):
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
                if call.elsewhere and error.tells_to_wait and self._is_left(call):
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
        """Whether `Fallback` may come back: neither the attempts at this upstream nor the budget are used up."""
        asked = sum(attempt.provider == self.name for attempt in call.context.attempts)
        return asked < self._attempts and self.budget.allows()

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
        if call.deadline is not None and asyncio.get_running_loop().time() + wait >= call.deadline:
            return None
        return wait if self.budget.retry() else None

    def _final(self, error: XRouterError) -> XRouterError:
        """What to raise when an error is not repeated any more."""
        if self._may_repeat(error) and self._backoff.is_bearable(error):
            return error.but(should_retry=False)
        return error
