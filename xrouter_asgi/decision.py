"""Why a request went where it went: the record that explains one routing decision.

It holds names from the configuration, words, numbers and times. Prompts, answers, headers, addresses and the messages
of errors are never in it, so it may be logged and shown to the caller.
"""

from __future__ import annotations

import json
import time
from asyncio import CancelledError
from dataclasses import dataclass, field
from typing import Any

from .conventions import error_type
from .errors import XRouterError

_LONGEST = 128  # characters of a model's name, which a client may have chosen
_MOST = 4000  # bytes of JSON: it must fit into a header (see responses.header)


@dataclass(slots=True, eq=False)
class Attempt:
    """One call to one upstream. Times are seconds of `time.perf_counter()`.

    Attributes:
        first: When the upstream committed itself: its answer, or the first chunk of its stream, was here.
        error: What it failed with; `CancelledError` if the client left.
        traceparent: The W3C trace context to send along, set by whoever traces.
    """

    provider: str
    model: str
    started: float = field(default_factory=time.perf_counter)
    first: float | None = None
    ended: float | None = None
    error: BaseException | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Considered:
    """A candidate as it was looked at.

    Attributes:
        name: `provider/model`, as configured.
        score: What the strategy ranked it by, the lowest first; None where it does not rank by a number.
        excluded: Why it was not to be asked, such as `lacks vision` or `circuit open for 3.2 s`; None if it was.
    """

    name: str
    score: float | None = None
    excluded: str | None = None


@dataclass(slots=True)
class Decision:
    """How one request was routed. It grows while the request runs.

    Attributes:
        attempts: Those of the request, in the order of their beginning: the list of its context.
        version: Which configuration decided.
        strategy: How candidates were ranked.
        candidates: In the order in which they were to be asked, the excluded ones last.
        hedges: Upstreams that were asked although an earlier one had not failed.
        began: When the request was here, in seconds of `time.perf_counter()`.
    """

    attempts: list[Attempt] = field(default_factory=list)
    version: str | None = None
    strategy: str | None = None
    candidates: tuple[Considered, ...] = ()
    hedges: int = 0
    began: float = field(default_factory=time.perf_counter)

    @property
    def served(self) -> Attempt | None:
        """The attempt whose answer the client got; None while there is none."""
        return next((attempt for attempt in reversed(self.attempts) if attempt.first is not None), None)

    def to_json(self) -> str:
        """One line of ASCII that fits into a header. Times are whole milliseconds; what is not known is left out.

        Of very many candidates the last ones are only counted, as `more_candidates`.
        """
        served = self.served
        candidates = [_considered(each) for each in self.candidates]
        told = {
            "version": self.version,
            "strategy": self.strategy,
            "candidates": candidates,
            "attempts": [self._attempt(index, attempt) for index, attempt in enumerate(self.attempts)],
            "hedges": self.hedges,
            "provider": served.provider if served else None,
            "model": served.model[:_LONGEST] if served else None,
        }
        while len(text := json.dumps(_known(told), separators=(",", ":"))) > _MOST and candidates:
            del candidates[len(candidates) // 2 :]
            told["more_candidates"] = len(self.candidates) - len(candidates)
        return text

    def _attempt(self, index: int, attempt: Attempt) -> dict[str, Any]:
        # What ran before it: a hedge begins while an earlier attempt still runs, and has not waited.
        before = self.attempts[index - 1].ended if index else self.began
        waited = 0.0 if before is None else max(0.0, attempt.started - before)
        return _known(
            {
                "target": f"{attempt.provider}/{attempt.model[:_LONGEST]}",
                "waited_ms": _milliseconds(waited),
                "first_ms": None if attempt.first is None else _milliseconds(attempt.first - attempt.started),
                "took_ms": None if attempt.ended is None else _milliseconds(attempt.ended - attempt.started),
                "error": None if attempt.error is None else _kind(attempt.error),
            }
        )


def _considered(each: Considered) -> dict[str, Any]:
    score = None if each.score is None else float(f"{each.score:.4g}")
    return _known({"target": each.name, "score": score, "excluded": each.excluded})


def _kind(error: BaseException) -> str:
    # Names of classes are not for clients.
    return error_type(error) if isinstance(error, (XRouterError, CancelledError)) else "defect"


def _known(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
