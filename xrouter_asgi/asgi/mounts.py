"""Applications side by side: one at a path, or below it, and another everywhere else."""

from __future__ import annotations

from collections.abc import Awaitable

from starlette.types import ASGIApp, Receive, Scope, Send

from .scope import local_path


def exactly_at(path: str, app: ASGIApp, *, otherwise: ASGIApp) -> ASGIApp:
    """Serve an app at one path below the mount, and another app everywhere else."""
    ends = (path, f"{path}/")  # nearly no path ends so, and to find out what is below the mount takes longer

    def switch(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        here = scope["type"] == "http" and scope["path"].endswith(ends) and local_path(scope) == path
        return (app if here else otherwise)(scope, receive, send)

    return switch


def below(path: str, app: ASGIApp, *, otherwise: ASGIApp) -> ASGIApp:
    """Mount an app at a path below the mount, and serve another app everywhere else."""

    def switch(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or path not in scope["path"] or not f"{local_path(scope)}/".startswith(f"{path}/"):
            return otherwise(scope, receive, send)
        root = scope.get("root_path", "").rstrip("/")
        return app({**scope, "root_path": f"{root}{path}"}, receive, send)

    return switch
