"""How far the limits of keys are used up, in all processes."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import NotReady
from ...keys import APIKey
from ...keys.secret import ADMIN
from ...limits.rules import Subject
from ..limits_used import LimitsUsed
from .asking import Processes
from .key_answers import LimitEntry, LimitUse


class KeyLimits:
    """Asks the store that all processes share, or else each process.

    Args:
        shared: None if each process counts for itself.
    """

    def __init__(self, processes: Processes, shared: LimitsUsed | None) -> None:
        self._processes = processes
        self._shared = shared

    async def used(self, keys: Sequence[APIKey]) -> list[list[LimitEntry] | None]:
        """What is used up of the limits of each key; None if nobody can tell. Those of admin keys open no model."""
        subjects = [Subject(key.id, key.owner, "", key.limits, key.groups) for key in keys if key.kind != ADMIN]
        found = iter(await self._of(subjects))
        return [[] if key.kind == ADMIN else next(found) for key in keys]

    async def _of(self, subjects: Sequence[Subject]) -> list[list[LimitEntry] | None]:
        told = [(worker, uses) for worker, uses in await self._told(subjects) if uses is not None]
        if not told:
            return [None for _ in subjects]
        return [
            [{**use, "worker": worker} for worker, uses in told for use in uses[place]]
            for place in range(len(subjects))
        ]

    async def _told(self, subjects: Sequence[Subject]) -> list[tuple[int | None, list[list[LimitUse]] | None]]:
        """What counts, by the number of its worker; None for what counts for all of them."""
        if self._shared is not None:
            return [(None, await self._shared.of(subjects))]
        try:
            told = await self._processes.ask(lambda process: process.limits(subjects))
        except NotReady:
            return []
        alone = self._processes.answering(told)["of"] == 1
        return [(None if alone else number, uses) for number, uses in told]
