"""What policies did about requests, as metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..context import RequestContext
from ..decision import Decision
from ..events import (
    AttemptRetried,
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
    CooldownStarted,
    ProviderReplaced,
)
from . import definitions
from .instruments import Instruments, Tally, Values

_CLOSED, _HALF_OPEN, _OPEN = range(3)


class PolicyCounts:
    """How often which policy did something about a request.

    Attributes:
        reactions: What to do about an event, by its type.
    """

    def __init__(
        self,
        instruments: Instruments,
        *,
        model: Callable[[RequestContext], str],
        error_type: Callable[[BaseException], str],
    ) -> None:
        self._model = model
        self._error_type = error_type
        self._retries = Tally(instruments, definitions.RETRIES)
        self._hedges = Tally(instruments, definitions.HEDGES)
        self._exclusions = Tally(instruments, definitions.EXCLUSIONS)
        self._opened = Tally(instruments, definitions.CIRCUIT_OPENED)
        self._states = Tally(instruments, definitions.CIRCUIT_STATE)
        self._cooldowns = Tally(instruments, definitions.COOLDOWNS)
        self.reactions: dict[type, Callable[[Any], None]] = {
            AttemptRetried: self._retried,
            CircuitOpened: self._circuit_opened,
            CircuitHalfOpened: lambda event: self._states.set(_HALF_OPEN, *self._circuit(event)),
            CircuitClosed: lambda event: self._states.set(_CLOSED, *self._circuit(event)),
            CooldownStarted: self._cooldown_started,
            # Its circuits are gone: the state of one that was open would stay as it is for ever.
            ProviderReplaced: lambda event: self._states.forget(event.provider),
        }

    def _retried(self, event: AttemptRetried) -> None:
        self._retries.add(1, event.provider, event.target, self._error_type(event.error))

    def _circuit_opened(self, event: CircuitOpened) -> None:
        self._opened.add(1, *self._circuit(event))
        self._states.set(_OPEN, *self._circuit(event))

    def _cooldown_started(self, event: CooldownStarted) -> None:
        self._cooldowns.add(1, event.provider, event.target, event.cooldown_kind)

    def _circuit(self, event: CircuitOpened | CircuitHalfOpened | CircuitClosed) -> Values:
        return event.provider, self._model(event.context), event.target

    def went_round(self, decision: Decision, model: str) -> None:
        if decision.hedges:
            self._hedges.add(decision.hedges, model)
        for name, why in decision.excluded.items():
            self._exclusions.add(1, model, name, why.kind)
