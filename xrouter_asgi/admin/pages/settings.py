"""Settings: what is in force, where it comes from, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from starlette.types import Receive, Scope

from ...asgi.routes import Endpoint
from ...asgi.sending import Outgoing
from ...context import RequestContext
from ..api.answers import ReloadOutcome
from ..api.settings import SettingsAPI
from .frame import Frame


class SettingsPage:
    """`/settings`, and reading them again."""

    def __init__(self, frame: Frame, settings: SettingsAPI) -> None:
        self._frame = frame
        self._settings = settings

    def paths(self) -> dict[str, dict[str, Endpoint]]:
        paths: dict[str, dict[str, Endpoint]] = {"/settings": {"GET": self._show, "HEAD": self._show}}
        if self._settings.reload is not None:
            paths["/settings/reload"] = {"POST": self._reload}
        return paths

    async def _show(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        await self._render(scope, send, context, None)

    async def _reload(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        await self._render(scope, send, context, await self._settings.reloaded())

    async def _render(
        self, scope: Scope, send: Outgoing, context: RequestContext, outcome: ReloadOutcome | None
    ) -> None:
        shown = self._settings.in_force()
        tables = {name: list(rows(table)) for name, table in shown["settings"].items() if table not in (None, [], {})}
        may_reload = self._settings.reload is not None
        await self._frame.show(
            scope, send, context, "settings", shown=shown, tables=tables, outcome=outcome, may_reload=may_reload
        )


def rows(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Each setting of a table, by its path, and its value as in TOML; those that are not set are left out."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from rows(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        for number, inner in enumerate(value):
            yield from rows(inner, f"{path}[{number}]")
    elif value is not None:
        yield path, _in_toml(value)


def _in_toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return f"[{', '.join(map(_in_toml, value))}]"
    return str(value)
