"""A limit of parallel calls that learns what an upstream bears."""

from __future__ import annotations

_SMOOTHING = 0.1  # the weight of one stream in the recent time to a first chunk
_DRIFT = 0.01  # how fast lasting slowness becomes the usual time
_MINIMUM = 1  # calls: with none, nothing would be learnt any more
_TOLERANCE = 2.0  # how many times later than usual is a sign of load
_BACKOFF = 0.7  # what is left of the limit after one; CUBIC's factor (RFC 9438)


class AdaptiveLimit:
    """Additive increase, multiplicative decrease, as TCP finds a link's capacity (RFC 5681).

    The limit rises by 1 for each round of answers while at least half of it is in use. It is multiplied by 0.7 when
    the upstream says that it gets too many calls, or when streams begin twice as late as usual. A call that began
    before the last decrease causes no second one: it met the load that is already being taken back.

    Args:
        initial: Where the limit starts. At least 1.
        maximum: The highest limit.
    """

    def __init__(self, *, initial: int = 10, maximum: int = 100) -> None:
        if not _MINIMUM <= initial <= maximum:
            raise ValueError(f"'initial' is {initial!r}. Write a number from {_MINIMUM} to 'maximum', {maximum!r}.")
        self._value = float(initial)
        self._maximum = maximum
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
            self._value = max(self._value * _BACKOFF, float(_MINIMUM))
            self._lowered = now

    def _is_late(self, first: float) -> bool:
        if self._recent is None:
            self._recent = self._usual = first
        self._recent += _SMOOTHING * (first - self._recent)
        self._usual = min(self._recent, self._usual + _DRIFT * (self._recent - self._usual))
        return self._recent > _TOLERANCE * self._usual
