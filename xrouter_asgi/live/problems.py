"""What is wrong at present: circuits that are open, upstreams that refuse us, limits that are not shared."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from ..events import CircuitClosed, CircuitOpened, CooldownStarted, LimiterDegraded, LimiterRestored, ProviderReplaced

ProblemKind: TypeAlias = Literal["circuit_open", "cooling", "limiter_degraded"]

_LONGEST = 128  # characters of a subject
_MOST = 1000  # problems
_LATEST = 100
_LIMITS = "limits"


class Problem(NamedTuple):
    """What is wrong. `until` is when it may be over; None if nobody can say. Both are seconds of the wall clock."""

    kind: ProblemKind
    subject: str  # a target, a provider, or `limits`
    since: float
    until: float | None
    text: str


class Problems:
    """What is wrong, as events tell it.

    Args:
        now: The wall clock.

    Attributes:
        begun: How often one has begun, or gone on.
    """

    def __init__(self, *, now: Callable[[], float]) -> None:
        self._now = now
        self.begun = 0
        self._latest: deque[Problem] = deque(maxlen=_LATEST)
        self._known: dict[tuple[ProblemKind, str], Problem] = {}
        self._reactions: Mapping[type, Callable[[Any], None]] = {
            CircuitOpened: self._circuit_opened,
            CircuitClosed: lambda event: self._end("circuit_open", _subject(event)),
            CooldownStarted: self._cooldown_started,
            LimiterDegraded: self._limiter_degraded,
            LimiterRestored: lambda event: self._end("limiter_degraded", _LIMITS),
            ProviderReplaced: lambda event: self.settle(event.provider),
        }

    def __call__(self, event: object) -> None:
        reaction = self._reactions.get(type(event))
        if reaction is not None:
            reaction(event)

    @property
    def present(self) -> list[Problem]:
        """What is wrong now, the oldest first."""
        now = self._now()
        return [each for each in self._known.values() if _lasts(each, now)]

    def latest(self, most: int) -> list[Problem]:
        """Those that have begun last, the latest last, 100 at most."""
        return list(self._latest)[-most:] if most else []

    def settle(self, subject: str) -> None:
        """Forget what was wrong with a target, or with a provider and all its targets: somebody has seen to it."""
        for kind, name in list(self._known):
            if name == subject or name.startswith(f"{subject}/"):
                self._end(kind, name)

    def _circuit_opened(self, event: CircuitOpened) -> None:
        text = f"It keeps failing, and is left alone for {event.duration:.0f} s at a time."
        self._begin("circuit_open", _subject(event), event.duration, text)

    def _cooldown_started(self, event: CooldownStarted) -> None:
        text = f"It refuses our requests ({event.cooldown_kind}), and is left alone for {event.duration:.0f} s."
        self._begin("cooling", _subject(event), event.duration, text)

    def _limiter_degraded(self, event: LimiterDegraded) -> None:
        text = "The shared store of limits is away, and each process decides for itself."
        self._begin("limiter_degraded", _LIMITS, None, text)

    def _begin(self, kind: ProblemKind, subject: str, duration: float | None, text: str) -> None:
        now, before = self._now(), self._known.get((kind, subject))
        since = before.since if before is not None and _lasts(before, now) else now
        if before is None and len(self._known) >= _MOST:
            del self._known[next(iter(self._known))]
        problem = Problem(kind, subject, since, None if duration is None else now + duration, text)
        self._known[kind, subject] = problem
        self._latest.append(problem)
        self.begun += 1

    def _end(self, kind: ProblemKind, subject: str) -> None:
        self._known.pop((kind, subject), None)


def _subject(event: CircuitOpened | CircuitClosed | CooldownStarted) -> str:
    return (event.target or event.provider)[:_LONGEST]


def _lasts(problem: Problem, now: float) -> bool:
    # An open circuit closes when somebody has tried it, and not when its time is over. A cooldown ends by itself.
    return problem.kind != "cooling" or problem.until is None or now < problem.until
