"""Which limits hold for whom, and on whose count."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from ..context import matches
from .base import Charge, Limit, parse_limits
from .callers import Subject

Limits: TypeAlias = str | Limit | Iterable[str | Limit]

logger = logging.getLogger("xrouter")


@dataclass(frozen=True, slots=True)
class LimitRule:
    """A limit, and the pattern of models on whose count it is kept; None for all models."""

    limit: Limit
    pattern: str | None = None

    def charge(self, caller: Subject, *, model: str = "", cost: int = 1) -> Charge | None:
        """What this costs a caller; None when the limit does not concern it."""
        subject = {
            "key": caller.key,
            "owner": caller.owner or caller.key,
            "model": model,
            "address": caller.address,
            "all": "",
        }[self.limit.per]
        if subject is None:
            return None
        if self.pattern is not None:
            subject = f"{self.pattern}\0{subject}"
        return Charge(subject, self.limit, cost)


class Rules:
    """General limits, limits of models, and limits that callers bring along.

    A caller's own limit stands in place of the general one of the same kind, that is with the same unit, window and
    subject. So does a limit of tokens for a model. A limit of requests for a model comes on top of the general one,
    which was counted before the model was known.

    Args:
        general: For everybody.
        models: Limits by the name of a model, or by a pattern with one `*`. A name beats a pattern, a longer pattern a
            shorter one.
    """

    def __init__(self, general: Limits, models: Mapping[str, Limits]) -> None:
        self._general = parse_limits(general)
        self._models = {pattern: parse_limits(limits) for pattern, limits in models.items()}
        self._patterns = sorted(self._models, key=lambda pattern: ("*" in pattern, -len(pattern)))
        # Neither may grow with what clients send: patterns come from here, limits from keys.
        self._of = lru_cache(maxsize=1024)(self._combine)

    def before_body(self, caller: Subject) -> tuple[LimitRule, ...]:
        """What can be counted before the body is read: requests, unless per model."""
        return self._of(caller.limits, None)[0]

    def for_model(self, caller: Subject, model: str) -> tuple[LimitRule, ...]:
        """What is left to count when the model and the size of the request are known."""
        pattern = next((pattern for pattern in self._patterns if matches(pattern, model)), None)
        return self._of(caller.limits, pattern)[1]

    def _combine(
        self, texts: tuple[str, ...], pattern: str | None
    ) -> tuple[tuple[LimitRule, ...], tuple[LimitRule, ...]]:
        own = _own_limits(texts)
        of_model = self._models.get(pattern, ()) if pattern is not None else ()
        by_kind = {limit.kind: limit for limit in (*self._general, *own)}
        door = [limit for limit in by_kind.values() if limit.unit != "tokens" and limit.per != "model"]
        replaced = {limit.kind for limit in of_model} - {limit.kind for limit in own}
        later = [limit for limit in by_kind.values() if limit not in door and limit.kind not in replaced]
        return tuple(map(LimitRule, door)), (*map(LimitRule, later), *(LimitRule(limit, pattern) for limit in of_model))


def _own_limits(texts: tuple[str, ...]) -> tuple[Limit, ...]:
    try:
        return parse_limits(texts)
    except ValueError as error:
        # Written into a key long ago; the general limits hold, and the request is not to fail.
        logger.error("The limits of a key are not heeded: %s", error)
        return ()
