"""How the gateway is, at a glance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from starlette.types import Receive, Scope

from ...asgi.sending import Outgoing
from ...context import RequestContext
from ...limits.prices import in_units
from ...live import BOUNDS, quantile
from ..watched import MinuteFacts, ProcessStatus
from .answers import MinuteSums, Overview, ProblemEntry, Quantiles
from .asking import Processes
from .operation import AdminOperation, answer, at


class OverviewAPI:
    """`/api/overview`.

    Args:
        settings_version: Of the settings in force; None if nobody knows.
    """

    def __init__(self, processes: Processes, *, settings_version: Callable[[], str | None]) -> None:
        self._processes = processes
        self._settings_version = settings_version

    def operations(self) -> list[AdminOperation]:
        summary = "How the gateway is: sums of the last hour, and what is wrong."
        return [AdminOperation("/api/overview", self._answer, summary, answer=Overview)]

    async def overview(self) -> Overview:
        """The document. Raises NotReady."""
        told = await self._processes.ask(lambda process: process.status())
        minutes, problems = _minutes(status for _, status in told), _problems(told)
        started = min(status["started"] for _, status in told)
        return {
            "well": not problems,
            "workers": self._processes.answering(told),
            "release": version("xrouter-asgi"),
            "settings": self._settings_version(),
            "started": started,
            "uptime": max(0.0, (datetime.now(UTC) - started).total_seconds()),
            "currency": told[0][1]["currency"],
            "in_flight": sum(status["in_flight"] for _, status in told),
            "first_token": _quantiles(_sum([minute["first_bytes"] for minute in minutes])),
            "duration": _quantiles(_sum([minute["durations"] for minute in minutes])),
            "minutes": [_sums(minute) for minute in minutes],
            "problems": problems,
        }

    async def _answer(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        await answer(send, context, await self.overview())


def _minutes(told: Iterable[ProcessStatus]) -> list[MinuteFacts]:
    """The minutes of all together, the oldest first."""
    found: dict[int, list[MinuteFacts]] = {}
    for status in told:
        for minute in status["minutes"]:
            found.setdefault(minute["number"], []).append(minute)
    return [_together(found[number]) for number in sorted(found)]


def _together(minutes: Sequence[MinuteFacts]) -> MinuteFacts:
    return {
        "number": minutes[0]["number"],
        "requests": sum(minute["requests"] for minute in minutes),
        "failed": sum(minute["failed"] for minute in minutes),
        "refused": sum(minute["refused"] for minute in minutes),
        "prompt_tokens": sum(minute["prompt_tokens"] for minute in minutes),
        "completion_tokens": sum(minute["completion_tokens"] for minute in minutes),
        "cost": sum(minute["cost"] for minute in minutes),
        "in_flight": sum(minute["in_flight"] for minute in minutes),
        "durations": _sum([minute["durations"] for minute in minutes]),
        "first_bytes": _sum([minute["first_bytes"] for minute in minutes]),
    }


def _problems(told: Iterable[tuple[int, ProcessStatus]]) -> list[ProblemEntry]:
    """What is wrong in any of them, since it began in the first and until it may be over in the last."""
    found: dict[tuple[str, str], ProblemEntry] = {}
    for number, status in told:
        for facts in status["problems"]:
            known = found.setdefault((facts["kind"], facts["subject"]), {**facts, "workers": []})
            known["workers"].append(number)
            known["since"] = min(known["since"], facts["since"])
            ends = (known["until"], facts["until"])
            known["until"] = None if None in ends else max(filter(None, ends))
    return sorted(found.values(), key=lambda problem: problem["since"])


def _sums(minute: MinuteFacts) -> MinuteSums:
    return {
        "at": at(minute["number"] * 60),
        "requests": minute["requests"],
        "failed": minute["failed"],
        "refused": minute["refused"],
        "prompt_tokens": minute["prompt_tokens"],
        "completion_tokens": minute["completion_tokens"],
        "cost": in_units(minute["cost"]),
        "in_flight": minute["in_flight"],
        "first_token_p95": quantile(minute["first_bytes"], 0.95),
        "duration_p95": quantile(minute["durations"], 0.95),
    }


def _sum(many: Iterable[Sequence[int]]) -> list[int]:
    sums = [0] * (len(BOUNDS) + 1)
    for counts in many:
        sums = [one + other for one, other in zip(sums, counts, strict=True)]
    return sums


def _quantiles(counts: Sequence[int]) -> Quantiles:
    return {"p50": quantile(counts, 0.5), "p95": quantile(counts, 0.95)}
