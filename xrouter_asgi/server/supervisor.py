"""Several processes that serve the same address, and the one that keeps them."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from ..reloading import FileWatch, Reload
from ..settings import Settings
from ..telemetry.summing import SummedMetrics, decode
from .listener import address_of, listener_at
from .server import config_of, start_beside
from .worker import LIMIT, PATIENCE, READY, Questions

_LOOK = 1.0  # seconds between two looks at the file of the settings
_COLLECT = 5.0  # seconds between two collections: what a process that is killed loses of its counts
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 10.0  # seconds before a process that ended is replaced

logger = logging.getLogger("xrouter.server")


class WorkerFailed(Exception):
    """A worker ended before it served."""


class Supervisor:
    """Owns the sockets, and keeps a number of worker processes that serve them.

    A worker that ends by itself is replaced. SIGTERM and SIGINT end all workers as `Server` ends, a second one at
    once. SIGHUP, or a change of the settings' file, is passed on if the settings can be used.

    Args:
        command: Starts a worker. The numbers of two descriptors, of its line and of the listening socket, follow.
        settings: In force. They say how many workers there are.
        listening: Called with the address once all of them serve.
        scheme: Of that address.
        load: Reads the settings, to find out whether they can be used. Runs in a thread.
        watch: The file of the settings; None to ignore its changes.

    Attributes:
        settings: In force.
        workers: The places of the workers.
        reload: Has the workers read the settings again, if they can be used.
    """

    def __init__(
        self,
        command: Sequence[str],
        settings: Settings,
        *,
        listening: Callable[[str], None],
        load: Callable[[], Settings],
        watch: FileWatch | None = None,
        scheme: str = "http",
    ) -> None:
        self.sums = SummedMetrics()
        self._command = command
        self._listening = listening
        self._scheme = scheme
        self.settings = settings
        self.workers = [WorkerPlace(number + 1, self.sums) for number in range(settings.server.workers)]
        self.reload = Reload(self, load=load, watch=watch)
        self._beside: list[tuple[uvicorn.Server, socket.socket]] = []
        self._signals = 0

    def show_metrics(self, app: ASGIApp, host: str, port: int) -> str:
        """Serve an app that shows `sums`, at an address of its own. Returns the address. Raises OSError."""

        async def show(scope: Scope, receive: Receive, send: Send) -> None:
            await self._collect()
            await app(scope, receive, send)

        return self.beside(show, host, port, lifespan="off")

    def beside(self, app: ASGIApp, host: str, port: int, *, lifespan: Literal["on", "off"]) -> str:
        """Serve an app in this process, at an address of its own. Returns the address. Raises OSError."""
        listener = listener_at(host, port)
        self._beside.append((uvicorn.Server(config_of(app, lifespan=lifespan)), listener))
        return address_of(listener)

    async def replace(self, settings: Settings) -> None:
        """Have all workers read the settings again, which these are."""
        self.settings = settings
        for worker in self.workers:
            worker.signal(signal.SIGHUP)

    def serve_at(self, listener: socket.socket) -> None:
        """Serve at this socket, which is bound, until a signal comes.

        Raises:
            WorkerFailed: A worker does not come up.
        """
        listener.listen(2048)
        asyncio.run(self._run(listener))

    async def _run(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for sig in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sig, self._end)
        hung_up = asyncio.Event()
        loop.add_signal_handler(signal.SIGHUP, hung_up.set)
        for server, own in self._beside:
            await start_beside(server, own)
        keeping = [loop.create_task(worker.keep(self._command, listener)) for worker in self.workers]
        try:
            await self._come_up(keeping)
            if not self._signals:
                self._listening(address_of(listener, scheme=self._scheme))
            tending = [loop.create_task(self._reload(hung_up)), loop.create_task(self._collect_often())]
            await asyncio.wait(keeping)
            for task in tending:
                task.cancel()
        finally:
            for worker in self.workers:
                worker.end(signal.SIGTERM)
            await asyncio.wait(keeping)
            for server, own in self._beside:
                await server.shutdown(sockets=[own])

    async def _come_up(self, keeping: Sequence[asyncio.Task[None]]) -> None:
        ready = [asyncio.create_task(worker.ready.wait()) for worker in self.workers]
        for task, kept in zip(ready, keeping, strict=True):
            await asyncio.wait({task, kept}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and not self._signals:
                raise WorkerFailed

    def _end(self) -> None:
        self._signals += 1
        for worker in self.workers:
            worker.end(signal.SIGTERM)

    async def _reload(self, hung_up: asyncio.Event) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(hung_up.wait(), _LOOK)
            if hung_up.is_set() or self.reload.due():
                hung_up.clear()
                await self.reload.run()

    async def _collect_often(self) -> None:
        while True:
            await self._collect()
            await asyncio.sleep(_COLLECT)

    async def _collect(self) -> None:
        """Ask all workers what they measured. What does not come within 2 s stays as it was."""
        await asyncio.gather(*(worker.collect() for worker in self.workers))


class WorkerPlace:
    """One place for a worker: whatever process has it at present."""

    def __init__(self, number: int, sums: SummedMetrics) -> None:
        self.ready = asyncio.Event()
        self.number = number
        self._sums = sums
        self._process: Process | None = None
        self._questions: Questions | None = None
        self._ending = False

    async def keep(self, command: Sequence[str], listener: socket.socket) -> None:
        """Run a process, and another one when it ends, until `end`. Returns early if none ever became ready."""
        wait = _FIRST_WAIT
        while not self._ending:
            served, status = await self._serve(command, listener)
            if not self.ready.is_set():
                return
            if self._ending:
                break
            logger.error("Worker %d ended by itself (%d). Another one takes its place.", self.number, status)
            wait = _FIRST_WAIT if served else min(2 * wait, _LONGEST_WAIT)
            await asyncio.sleep(wait)

    async def _serve(self, command: Sequence[str], listener: socket.socket) -> tuple[bool, int]:
        """Run one process until it ends. Returns whether it served, and its status."""
        ours, theirs = socket.socketpair()
        with theirs:
            descriptors = (theirs.fileno(), listener.fileno())
            self._process = process = await asyncio.create_subprocess_exec(
                *command,
                ",".join(map(str, descriptors)),
                pass_fds=descriptors,
                start_new_session=True,  # Ctrl+C is for the supervisor alone
            )
        if self._ending:
            process.terminate()
        reader, writer = await asyncio.open_connection(sock=ours, limit=LIMIT)
        questions = Questions(writer)
        try:
            with suppress(ConnectionError):
                async for line in reader:
                    if line == READY:
                        self.ready.set()
                        self._questions = questions
                    else:
                        questions.take(line)
            return self._questions is not None, await process.wait()
        finally:
            self._questions = None
            questions.close()
            self._sums.end(process.pid)
            writer.close()

    async def ask(self, method: str, params: Any = None, /, *, patience: float = PATIENCE) -> Any:
        """Ask the process. Raises ConnectionError if it is away, and TimeoutError if its answer is late."""
        if self._questions is None:
            raise ConnectionError("The worker does not serve.")
        return await self._questions.ask(method, params, patience=patience)

    async def collect(self) -> None:
        """Ask the process what it measured, and wait a moment for it."""
        process = self._process
        with suppress(ConnectionError, TimeoutError):
            measured = decode(await self.ask("measured"))
            if process is not None and process is self._process:
                self._sums.put(process.pid, measured)

    def end(self, sig: signal.Signals) -> None:
        """Have the process end, and no other one follow."""
        self._ending = True
        self.signal(sig)

    def signal(self, sig: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(sig)
