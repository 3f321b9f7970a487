"""A limit of parallel calls that learns what an upstream bears."""

from __future__ import annotations

from ..checks import require_positive

_SMOOTHING = 0.1  # the weight of one stream in the recent time to a first chunk
_DRIFT = 0.01  # how fast lasting slowness becomes the usual time


class AdaptiveLimit:
    """Additive increase, multiplicative decrease, as TCP finds a link's capacity (RFC 5681).

    The limit rises by 1 for each round of answers while at least half of it is in use. It is multiplied by `backoff`
    when the upstream says that it gets too many calls, or when streams begin `tolerance` times later than usual. A call
    that began before the last decrease causes no second one: it met the load that is already being taken back.

    Args:
        initial: Where the limit starts.
        minimum, maximum: Its bounds. At least 1.
        tolerance: How many times later than usual is a sign of load. Above 1.
        backoff: Above 0, below 1.
    """

    def __init__(
        self,
        *,
        initial: int = 10,
        minimum: int = 1,
        maximum: int = 100,
        tolerance: float = 2.0,
        backoff: float = 0.7,
    ) -> None:
        require_positive(minimum=minimum)
        if not minimum <= initial <= maximum:
            raise ValueError(f"'initial' is {initial!r}. Write a number from {minimum!r} to {maximum!r}.")
        # Written so that NaN fails too.
        if not (tolerance > 1 and 0 < backoff < 1):
            raise ValueError(
                f"'tolerance' is {tolerance!r} and 'backoff' {backoff!r}. Write one above 1, and one between 0 and 1."
            )
        self._value = float(initial)
        self._minimum = minimum
        self._maximum = maximum
        self._tolerance = tolerance
        self._backoff = backoff
        self._recent: float | None = None
        self._usual = 0.0
        self._lowered = float("-inf")

    @property
    def value(self) -> int:
        """How many may be under way now."""
        return int(self._value)

    def answered(self, *, began: float, now: float, in_use: int, streamed: bool) -> None:
        """Note that the upstream committed itself, to a stream by its first chunk.

        Args:
            began, now: Seconds of one clock.
            in_use: How many calls were under way.
            streamed: Only streams tell how loaded an upstream is: a long whole answer comes late anyway.
        """
        if streamed and self._is_late(now - began):
            self.refused(began=began, now=now)
        elif 2 * in_use >= self._value:
            self._value = min(self._value + 1 / self._value, float(self._maximum))

    def refused(self, *, began: float, now: float) -> None:
        """Note that the upstream said that it gets too many calls."""
        if began >= self._lowered:
            self._value = max(self._value * self._backoff, float(self._minimum))
            self._lowered = now

    def _is_late(self, first: float) -> bool:
        if self._recent is None:
            self._recent = self._usual = first
        self._recent += _SMOOTHING * (first - self._recent)
        self._usual = min(self._recent, self._usual + _DRIFT * (self._recent - self._usual))
        return self._recent > self._tolerance * self._usual
