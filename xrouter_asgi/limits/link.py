"""One connection to one Redis, on which no command waits for the answer to another."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

Word: TypeAlias = str | int


class Link:
    """Sends commands as they come, many in one write, and hands out the answers as they come back.

    The server runs the commands in the order of the calls of `send()`. So a reservation sees every settlement that
    was sent before it, however long the round trip is.

    Args:
        connection: One that nobody else uses.
        scripts: Lua that is loaded when the link opens.
    """

    def __init__(self, connection: AbstractConnection, scripts: tuple[str, ...]) -> None:
        self._connection = connection
        self._scripts = scripts
        self._unsent: list[bytes] = []
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.is_open = False

    async def open(self) -> None:
        """Connect, and load the scripts. Raises what redis-py raises."""
        try:
            await self._connection.connect()  # type: ignore[no-untyped-call]  # redis-py's
            self.is_open = True
            self._tasks = [in_background(self._run(self._write())), in_background(self._run(self._read()))]
            await asyncio.gather(*(self.send("SCRIPT LOAD", script) for script in self._scripts))
        except BaseException:
            self.close()
            await self._connection.disconnect(nowait=True)
            raise

    def send(self, *command: Word) -> asyncio.Future[Any]:
        """Send a command. Returns its answer, or what redis-py raises for it. Raises ConnectionError when closed."""
        if not self.is_open:
            from redis.exceptions import ConnectionError

            raise ConnectionError("The connection is closed.")
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._unsent += self._connection.pack_command(*command)
        self._waiting.append(answer)
        self._wake.set()
        return answer

    def close(self) -> None:
        """Close at once. Commands without an answer fail; whether the server ran them, nobody knows."""
        from redis.exceptions import ConnectionError

        self._break(ConnectionError("The connection was closed."))

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            self._break(error)
        finally:
            await self._connection.disconnect(nowait=True)

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            unsent, self._unsent = self._unsent, []
            await self._connection.send_packed_command(unsent, check_health=False)

    async def _read(self) -> None:
        from redis.exceptions import ResponseError

        while True:
            try:
                told, refusal = await self._connection.read_response(), None
            except ResponseError as error:
                told, refusal = None, error
            answer = self._waiting.popleft()
            if answer.done():  # nobody waits for it any more
                continue
            if refusal is None:
                answer.set_result(told)
            else:
                answer.set_exception(refusal)

    def _break(self, error: Exception) -> None:
        if not self.is_open:
            return
        self.is_open = False
        for task in self._tasks:
            task.cancel()
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(error)


def in_background(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run it in a task that inherits no context variables, because it belongs to no request."""
    return asyncio.create_task(work, context=contextvars.Context())
