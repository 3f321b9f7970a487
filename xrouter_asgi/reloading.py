"""New settings for a running server. Running requests keep the old ones, and no request is lost.

A reload replaces only `[providers]`, `[models]` and prices. The other tables belong to the layers around the router, or
to the server.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from starlette.types import Receive, Scope, Send

from .asgi.routes import Routes
from .context import tell
from .events import Observer, ProviderReplaced
from .router.router import LLMRouter
from .router.table import ModelTable
from .settings import Settings, SettingsError

_OUTLASTED = "The settings of this gateway have changed since this request began."
_AGAIN = 1.0  # seconds between two calls of `stop`, which does not reach a request that is still being received

logger = logging.getLogger("xrouter.settings")


class ReloadableRouter:
    """A router that can be replaced by one of newer settings while requests run.

    A request stays on the router on which it began. A replaced router is closed when its last request has ended;
    requests that still run there after `server.drain` seconds are stopped.

    Args:
        build: Makes the router of settings. It runs in a thread, except for the first router.
        observers: Receive a `ProviderReplaced` for each provider of a replaced router, once that router is closed.
    """

    def __init__(
        self, settings: Settings, *, build: Callable[[Settings], LLMRouter], observers: Iterable[Observer] = ()
    ) -> None:
        self.settings = settings
        self._build = build
        self._observers = observers
        self._current = _Generation(build(settings))
        self._retiring: dict[_Generation, asyncio.Task[None]] = {}
        self._draining = False

    @property
    def models(self) -> ModelTable:
        """The table for new requests."""
        return self._current.router.models

    def entry(self, name: str) -> str | None:
        """The name or pattern of that table that serves a model; None if none does."""
        return self._current.router.models.entry(name)

    @property
    def in_flight(self) -> int:
        """See `LLMRouter.in_flight`. Those on replaced routers are among them."""
        return sum(generation.router.in_flight for generation in (self._current, *self._retiring))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] == "lifespan":
            await Routes({}, lifespan=self.lifespan)(scope, receive, send)
            return
        current = self._current
        current.running += 1
        try:
            await current.router(scope, receive, send)
        finally:
            current.running -= 1
            if not current.running and current.idle is not None:
                current.idle.set()

    def drain(self) -> None:
        """See `LLMRouter.drain`. Later routers drain as well."""
        self._draining = True
        self._current.router.drain()

    def stop(self) -> None:
        """See `LLMRouter.stop`."""
        for generation in (self._current, *self._retiring):
            generation.router.stop()

    async def replace(self, settings: Settings) -> None:
        """Serve these settings from the next request on. If building them raises, the old settings stay."""
        new = _Generation(await asyncio.to_thread(self._build, settings))
        await new.open()
        if self._draining:
            new.router.drain()
        old, self._current = self._current, new
        replaced, self.settings = self.settings, settings
        self._retiring[old] = asyncio.create_task(self._retire(old, tuple(replaced.providers)))

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Close every router at shutdown."""
        await self._current.open()
        try:
            yield
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Close every router, even if requests run there."""
        await asyncio.sleep(0)  # a task that is cancelled before it has begun would close nothing
        for old, task in self._retiring.items():
            if old.running:  # otherwise it is closing already
                task.cancel()
        await asyncio.gather(self._current.close(), *self._retiring.values(), return_exceptions=True)

    async def _retire(self, old: _Generation, providers: Iterable[str]) -> None:
        grace = self.settings.server.drain
        try:
            while not await old.ends_within(grace):
                old.router.stop(_OUTLASTED)
                grace = _AGAIN
        finally:
            await old.close()
            del self._retiring[old]
        for name in providers:
            tell(self._observers, ProviderReplaced(name))


class _Generation:
    """A router and the number of its running requests."""

    def __init__(self, router: LLMRouter) -> None:
        self.router = router
        self.running = 0
        self.idle: asyncio.Event | None = None  # set by the last request; None while nobody waits for it
        self.close = router.aclose

    async def open(self) -> None:
        """Enter the router's lifespan, which `close` leaves."""
        stack = AsyncExitStack()
        await stack.enter_async_context(self.router.lifespan())
        self.close = stack.aclose

    async def ends_within(self, seconds: float) -> bool:
        """Wait until no request runs; False if one still runs after so many seconds."""
        if not self.running:
            return True
        self.idle = asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.idle.wait()
        return not self.running


class FileWatch:
    """Notices that a file has changed, once the change is complete. A missing file counts as unchanged."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.note()

    def note(self) -> None:
        """Take the present state of the file as known."""
        self._known = self._seen = self._stamp()

    def changed(self) -> bool:
        """Whether the file differs from the known one, and is the same as at the last call: its writer has finished."""
        before, self._seen = self._seen, self._stamp()
        return self._seen is not None and self._seen == before and self._seen != self._known

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            stat = self._file.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What came of a reload.

    Attributes:
        version: Of the settings that are in force now.
        before: Of those that were in force.
        problems: Why the old settings stay, in sentences without secrets; empty if new ones are in force.
        restart: Tables that have changed in the file, and take effect with a restart.
    """

    version: str
    before: str
    problems: Sequence[str] = ()
    restart: Sequence[str] = ()


class Replaceable(Protocol):
    """What serves settings, and can go on with others."""

    settings: Settings

    async def replace(self, settings: Settings) -> None:
        """Serve these settings from the next request on. If it raises, the old ones stay."""


class Reload:
    """Reads the settings again and puts them in force, or tells why not.

    Args:
        load: Reads the settings. It runs in a thread.
        watch: The file of the settings; None to ignore its changes.
    """

    def __init__(self, served: Replaceable, *, load: Callable[[], Settings], watch: FileWatch | None = None) -> None:
        self._served = served
        self._load = load
        self._watch = watch
        self._one = asyncio.Lock()  # SIGHUP and an operator may ask at the same time

    def due(self) -> bool:
        """Whether the file has changed. Call it about once a second."""
        return self._watch is not None and self._watch.changed()

    async def run(self) -> Reloaded:
        """Reload once. What came of it goes to the log, too."""
        async with self._one:
            if self._watch is not None:
                self._watch.note()
            return await self._run(self._served.settings)

    async def _run(self, old: Settings) -> Reloaded:
        try:
            read = await asyncio.to_thread(self._load)
            new = old.reloaded(read)
            await self._served.replace(new)
        except SettingsError as error:
            for problem in error.problems:
                logger.error("%s", problem)
            logger.error("The settings are not reloaded. Version %s stays in force.", old.version)
            return Reloaded(old.version, old.version, error.problems)
        except Exception:
            logger.exception("The settings cannot be reloaded. Version %s stays in force.", old.version)
            return Reloaded(old.version, old.version, ["The settings cannot be used. The log says why."])
        logger.info("The settings are reloaded: version %s, before it %s.", new.version, old.version)
        changed = [name for name in Settings.model_fields if getattr(new, name) != getattr(read, name)]
        if changed:
            fixed = ", ".join(f"[{name}]" for name in changed)
            logger.warning("Restart to change %s. Until then the old values stay.", fixed)
        return Reloaded(new.version, old.version, restart=changed)
