"""The settings in force, and reading them again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.types import Receive, Scope

from ...asgi.sending import Outgoing
from ...context import RequestContext
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
        if self.settings is not None:
            await answer(send, context, settings_in_force(self.settings()))

    async def _reload(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        if self.reload is not None:
            await answer(send, context, _outcome(await self.reload()))


def settings_in_force(settings: Settings) -> SettingsInForce:
    return {
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
