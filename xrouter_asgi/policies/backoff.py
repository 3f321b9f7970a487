"""How long to wait before an upstream is asked again."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from ..checks import require_positive
from ..errors import UpstreamRateLimited, XRouterError

_REST = 1.0  # seconds that a circuit breaker leaves an overloaded upstream alone, at first


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Waits drawn at random from 0 to `base` × 2ⁿ⁻¹ ("full jitter", AWS 2015), or what the upstream tells and a jitter.

    Attributes:
        base: Seconds of the widest first wait. Above 0.
        cap: Seconds of the widest of all. Above 0.
        longest: Seconds that an upstream may tell to wait; for more it is not waited for. Above 0.
    """

    base: float = 0.5
    cap: float = 8.0
    longest: float = 5.0

    def __post_init__(self) -> None:
        require_positive(base=self.base, cap=self.cap, longest=self.longest)

    def is_bearable(self, error: XRouterError) -> bool:
        """Whether to wait after this error at all."""
        if error.retry_after is None:
            return not isinstance(error, UpstreamRateLimited)  # guessing a wait would only feed the limit
        return error.retry_after <= self.longest

    def wait(self, error: XRouterError, retry: int, random: Random) -> float | None:
        """Seconds until the retry of that number, counted from 1; None when there should be none."""
        if not self.is_bearable(error):
            return None
        if error.retry_after is not None:
            return error.retry_after + random.uniform(0, self.base)
        if error.tells_to_wait:
            return random.uniform(min(_REST, self.cap), self.cap)
        return random.uniform(0, min(self.cap, self.base * 2 ** (retry - 1)))
