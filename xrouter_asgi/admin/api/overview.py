"""How the process is, at a glance."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version

from starlette.types import Receive, Scope

from ...asgi.sending import Outgoing
from ...context import RequestContext
from ...live import BOUNDS, Live, Minute, Problem, quantile
from .answers import MinuteSums, Overview, ProblemEntry, Process, Quantiles
from .operation import AdminOperation, answer, at

_SHOWN = 60  # minutes


class OverviewAPI:
    """`/api/overview`.

    Args:
        settings_version: Of the settings in force; None if nobody knows.
    """

    def __init__(self, live: Live, process: Process, *, settings_version: Callable[[], str | None]) -> None:
        self._live = live
        self._process = process
        self._settings_version = settings_version

    def operations(self) -> list[AdminOperation]:
        summary = "How this process is: sums of the last hour, and what is wrong."
        return [AdminOperation("/api/overview", self._answer, summary, answer=Overview)]

    async def overview(self) -> Overview:
        """The document."""
        minutes, problems = self._live.minutes(_SHOWN), self._live.problems.present
        return {
            "well": not problems,
            "process": self._process,
            "release": version("xrouter-asgi"),
            "settings": self._settings_version(),
            "started": at(self._live.started),
            "uptime": max(0.0, time.time() - self._live.started),
            "in_flight": self._live.in_flight,
            "first_token": _quantiles(_sum(minute.first_bytes for minute in minutes)),
            "duration": _quantiles(_sum(minute.durations for minute in minutes)),
            "minutes": [_sums(minute) for minute in minutes],
            "problems": [problem_entry(each) for each in problems],
        }

    async def _answer(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        await answer(send, context, await self.overview())


def problem_entry(problem: Problem) -> ProblemEntry:
    return {
        "kind": problem.kind,
        "subject": problem.subject,
        "since": at(problem.since),
        "until": None if problem.until is None else at(problem.until),
        "text": problem.text,
    }


def _sums(minute: Minute) -> MinuteSums:
    return {
        "at": at(minute.number * 60),
        "requests": minute.requests,
        "failed": minute.failed,
        "refused": minute.refused,
        "prompt_tokens": minute.prompt_tokens,
        "completion_tokens": minute.completion_tokens,
        "first_token_p95": quantile(minute.first_bytes, 0.95),
        "duration_p95": quantile(minute.durations, 0.95),
    }


def _sum(many: Iterable[array[int]]) -> Sequence[int]:
    sums = [0] * (len(BOUNDS) + 1)
    for counts in many:
        sums = [one + other for one, other in zip(sums, counts, strict=True)]
    return sums


def _quantiles(counts: Sequence[int]) -> Quantiles:
    return {"p50": quantile(counts, 0.5), "p95": quantile(counts, 0.95)}
