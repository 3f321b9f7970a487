"""The settings in force, and reading them again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.types import Receive, Scope

from ...asgi.sending import Outgoing
from ...context import RequestContext
from ...errors import NotFound
from ...inspection import find_risks, layers_of
from ...reloading import Reloaded
from ...settings import Settings
from ...settings.references import with_references
from .answers import ReloadOutcome, SettingsInForce
from .operation import AdminOperation, answer


@dataclass(frozen=True, slots=True)
class SettingsAPI:
    """`/api/settings` and `/api/reload`.

    Args:
        settings: Those in force; None where a host wired the parts itself.
        reload: Reads them again; None where nobody can.
    """

    settings: Callable[[], Settings] | None
    reload: Callable[[], Awaitable[Reloaded]] | None

    def operations(self) -> list[AdminOperation]:
        shown = AdminOperation("/api/settings", self._show, "The settings in force.", answer=SettingsInForce)
        reloading = AdminOperation(
            "/api/reload",
            self._reload,
            "Read the settings again, as SIGHUP does.",
            answer=ReloadOutcome,
            method="POST",
        )
        return [*([shown] if self.settings is not None else []), *([reloading] if self.reload is not None else [])]

    def version(self) -> str | None:
        """Of the settings in force."""
        return None if self.settings is None else self.settings().version

    async def _show(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        await answer(send, context, self.in_force())

    async def _reload(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        await answer(send, context, await self.reloaded())

    def in_force(self) -> SettingsInForce:
        """The settings in force. Raises NotFound where a host wired the parts itself."""
        if self.settings is None:
            raise NotFound("This host has no file of settings.")
        return _in_force(self.settings())

    async def reloaded(self) -> ReloadOutcome:
        """What came of reading them again. Raises NotFound where nobody can."""
        if self.reload is None:
            raise NotFound("These settings cannot be read again without a restart.")
        return _outcome(await self.reload())


def _in_force(settings: Settings) -> SettingsInForce:
    return {
        "source": settings.source,
        "version": settings.version,
        "settings": with_references(settings.model_dump(mode="json"), settings.model_dump()),
        "layers": [list(row) for row in layers_of(settings)],
        "warnings": list(find_risks(settings)),
    }


def _outcome(reloaded: Reloaded) -> ReloadOutcome:
    return {
        "reloaded": not reloaded.problems,
        "version": reloaded.version,
        "before": reloaded.before,
        "problems": list(reloaded.problems),
        "restart": list(reloaded.restart),
    }
