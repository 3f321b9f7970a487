"""The end of a worker on the line to its supervisor.

Both send lines of JSON over a pair of UNIX sockets. The worker says `"ready"` once it serves. Asked with `"measured"`,
it answers with what it measured so far. When the line ends, the supervisor is gone, and the worker shuts down.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from contextlib import closing, suppress

from ..telemetry.instruments import Snapshot
from ..telemetry.summing import encode

READY = b'"ready"\n'
MEASURED = b'"measured"\n'
LIMIT = 64 << 20  # bytes of one line


class WorkerLine:
    """Answers the supervisor of this process.

    Args:
        line: This process' end.
        measured: What this process measured so far; called in a thread.
    """

    def __init__(self, line: socket.socket, *, measured: Callable[[], Snapshot]) -> None:
        self._line = line
        self._measured = measured
        self._task: asyncio.Task[None] | None = None

    def open(self, address: str) -> None:
        """Say that this process serves, and answer from now on. Needs a running loop."""
        self._task = asyncio.get_running_loop().create_task(self._answer())

    async def _answer(self) -> None:
        reader, writer = await asyncio.open_connection(sock=self._line)
        writer.write(READY)
        with suppress(ConnectionError), closing(writer):
            while await reader.readline():
                writer.write(await asyncio.to_thread(lambda: encode(self._measured())))
                await writer.drain()
        os.kill(os.getpid(), signal.SIGTERM)
