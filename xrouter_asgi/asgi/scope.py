"""The path inside a mount."""

from __future__ import annotations

from starlette.types import Scope


def local_path(scope: Scope) -> str:
    """The path below the mount, without a trailing slash; `/` for the mount itself.

    Hosts differ: Starlette, FastAPI and BlackSheep hand the full path and `root_path`; a proxy may have stripped the
    part that `app_root_path` names; Litestar strips the prefix, leaves `root_path` empty, appends a slash, and mounted
    at `/` takes off the first one. Only `path` and these two decide, never a URL made from the Host header.
    """
    path: str = scope["path"]
    if not path.startswith("/"):
        path = "/" + path
    root: str = scope.get("root_path", "")
    for prefix in (root, root.removeprefix(scope.get("app_root_path", ""))):
        prefix = prefix.rstrip("/")
        if prefix and path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/"):
            path = path[len(prefix) :]
            break
    return path.rstrip("/") or "/"
