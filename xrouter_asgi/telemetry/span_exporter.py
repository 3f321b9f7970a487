"""Finished spans on their way to a collector."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence

from .collector import Collector, ExportFailed
from .otlp_json import SCOPE, attributes

QUEUE = 2048
"""Spans that may wait."""
DELAY = 1.0
"""Seconds that a span waits for others."""
FLUSH = 3.0
"""Seconds that the end of the process waits for a collector."""

_BATCH = 256  # spans of one document: some 200 KiB, which are put together in a tenth of a millisecond
_END = "The process ends before the collector takes them"

logger = logging.getLogger("xrouter")


class SpanExporter:
    """Sends spans to a collector, many at a time, from the event loop of the requests.

    Each span comes as the JSON that it is sent as, so an export only puts texts together: no request waits for it.
    What a collector is too slow for, or does not take, is lost; the log tells when that begins and when it is over.

    Args:
        collector: Where spans go. Closed by `aclose()`.
        resource: The attributes of this process.

    Attributes:
        waiting: The spans that are not sent yet.
        lost: How many spans did not come to the collector.
    """

    def __init__(self, collector: Collector, resource: Mapping[str, str]) -> None:
        self.waiting: list[str] = []
        self.lost = 0
        self._collector = collector
        self._resource = resource
        self._loop: asyncio.AbstractEventLoop | None = None  # where `_timer` or `_task` is due
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._burst = 0  # spans lost since all was well

    def add(self, spans: Sequence[str]) -> None:
        """Take the spans of a request, or lose them. Needs a running event loop."""
        if len(self.waiting) + len(spans) > QUEUE:
            self._lose(len(spans), f"{QUEUE} wait for the collector already")
            return
        self.waiting += spans
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # an earlier loop may have ended before its call was due
            self._loop = loop
            self._timer = loop.call_later(DELAY, self._begin)
        elif self._timer is not None and len(self.waiting) >= _BATCH:
            self._timer.cancel()
            self._begin()

    async def aclose(self) -> None:
        """Send what waits, within 3 s, and close the collector."""
        clock = asyncio.get_running_loop().time
        until = clock() + FLUSH
        if (task := self._task) is not None:
            await asyncio.wait({task}, timeout=FLUSH)
            task.cancel()
            await asyncio.wait({task})
        if self._timer is not None:
            self._timer.cancel()
        while self.waiting and clock() < until:
            await self._send(within=until - clock())
        if self.waiting:
            self._lose(len(self.waiting), _END)
            self.waiting.clear()
        await self._collector.aclose()

    def _begin(self) -> None:
        self._timer = None
        self._task = asyncio.get_running_loop().create_task(self._export())

    async def _export(self) -> None:
        try:
            await self._send()
            while len(self.waiting) >= _BATCH:
                await self._send()
        finally:
            self._task = self._loop = None
            if self.waiting:
                self.add(())

    async def _send(self, *, within: float = math.inf) -> None:
        """Send the spans that have waited longest."""
        batch = self.waiting[:_BATCH]
        del self.waiting[:_BATCH]
        resource = f'{{"attributes":{attributes(self._resource)}}}'
        scope = f'{{"scope":{SCOPE},"spans":[{",".join(batch)}]}}'
        document = f'{{"resourceSpans":[{{"resource":{resource},"scopeSpans":[{scope}]}}]}}'.encode("ascii")
        try:
            rejected = await self._collector.post("/v1/traces", document, within=within)
        except ExportFailed as error:
            self._lose(len(batch), str(error))
        except BaseException:
            self._lose(len(batch), _END)
            raise
        else:
            self._delivered(rejected)

    def _lose(self, count: int, why: str) -> None:
        if not self._burst:
            logger.warning("Spans are lost. %s.", why)
        self._burst += count
        self.lost += count

    def _delivered(self, rejected: int) -> None:
        self.lost += rejected
        if self._burst and len(self.waiting) < _BATCH:
            logger.warning("The collector takes spans again. %d were lost.", self._burst)
            self._burst = 0
