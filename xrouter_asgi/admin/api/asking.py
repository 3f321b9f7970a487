"""Asking all processes that serve, and putting together what they tell."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from ...errors import NotReady
from ..watched import Watched
from .answers import Workers

T = TypeVar("T")


class Processes:
    """The processes that serve: this one, or several workers."""

    def __init__(self, processes: Sequence[Watched]) -> None:
        self._processes = processes

    async def ask(self, question: Callable[[Watched], Awaitable[T]]) -> list[tuple[int, T]]:
        """What each of them answers, by its number. Those that are away are left out.

        Raises NotReady if none answers.
        """

        async def asked(process: Watched) -> list[tuple[int, T]]:
            try:
                return [(process.number, await question(process))]
            except (ConnectionError, TimeoutError):
                return []

        told = [each for answers in await asyncio.gather(*map(asked, self._processes)) for each in answers]
        if not told:
            raise NotReady("No worker answers: they are starting, or have no time. Ask again.", retry_after=1)
        return told

    def answering(self, told: Sequence[object]) -> Workers:
        """How many of them have told something."""
        return {"answering": len(told), "of": len(self._processes)}
