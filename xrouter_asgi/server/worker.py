"""The line between a worker and its supervisor: who asks, and who answers.

Both send lines of JSON over a pair of UNIX sockets. The worker says `"ready"` once it serves. A question has an `id`, a
`method` and `params`; its answer has the same `id`, and a `result` or an `error`, as in JSON-RPC. Many questions may be
under way. When the line ends, the supervisor is gone, and the worker shuts down.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from asyncio import Future, StreamWriter, Task
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing, suppress
from itertools import count
from typing import Any, Final, TypeAlias

from pydantic_core import from_json, to_json

READY: Final = b'"ready"\n'
LIMIT: Final = 64 << 20  # bytes of one line
PATIENCE: Final = 2.0  # seconds to wait for an answer

Answer: TypeAlias = Callable[[Any], Awaitable[bytes]]
"""From the parameters of a question to its answer in JSON."""

logger = logging.getLogger("xrouter.server")


class WorkerLine:
    """Answers the supervisor of this process.

    Args:
        line: This process' end.
        answers: By method.
    """

    def __init__(self, line: socket.socket, *, answers: Mapping[str, Answer]) -> None:
        self._line = line
        self._answers = answers
        self._tasks: set[Task[None]] = set()

    def open(self, address: str) -> None:
        """Say that this process serves, and answer from now on. Needs a running loop."""
        self._begin(self._read())

    def _begin(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self) -> None:
        reader, writer = await asyncio.open_connection(sock=self._line, limit=LIMIT)
        writer.write(READY)
        with suppress(ConnectionError), closing(writer):
            async for line in reader:
                self._begin(self._answer(line, writer))
        os.kill(os.getpid(), signal.SIGTERM)

    async def _answer(self, line: bytes, writer: StreamWriter) -> None:
        question = from_json(line)
        try:
            told = b'"result":' + await self._answers[question["method"]](question["params"])
        except Exception:
            logger.exception("A question of the supervisor could not be answered: %s", question["method"])
            told = b'"error":"The log of the worker says why."'
        writer.write(b'{"id":%d,%s}\n' % (question["id"], told))
        with suppress(ConnectionError):
            await writer.drain()


class Questions:
    """Asks the process at the other end of a line."""

    def __init__(self, writer: StreamWriter) -> None:
        self._writer = writer
        self._waiting: dict[int, Future[Any]] = {}
        self._ids = count()

    async def ask(self, method: str, params: Any, *, patience: float) -> Any:
        """Ask, and wait so many seconds. Raises TimeoutError, and ConnectionError if there is no answer."""
        id = next(self._ids)
        answer = self._waiting[id] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(to_json({"id": id, "method": method, "params": params}) + b"\n")
            async with asyncio.timeout(patience):
                return await answer
        finally:
            del self._waiting[id]

    def take(self, line: bytes) -> None:
        """Take an answer. One for which nobody waits any more is dropped."""
        told = from_json(line)
        answer = self._waiting.get(told["id"])
        if answer is None or answer.done():
            return
        if "error" in told:
            answer.set_exception(ConnectionError(told["error"]))
        else:
            answer.set_result(told["result"])

    def close(self) -> None:
        """Nobody answers any more."""
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ConnectionError("The worker has ended."))
