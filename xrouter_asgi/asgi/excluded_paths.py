"""The paths that a middleware leaves alone: what `exclude_paths` means everywhere."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import Scope

from .scope import local_path


class ExcludedPaths:
    """Exact paths, and everything below a path that ends in `/*`. Nothing else is a pattern.

    Paths are those below the mount. `/docs/*` does not include `/docs` itself. A path that an application could clean
    up to another one, such as `/docs/../secret`, is below nothing.

    Args:
        paths: Such as `/health` or `/docs/*`; one text is one path.

    Raises:
        ValueError: A path does not start with `/`, ends in `/`, has a `*` elsewhere, or is `/*`.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        paths = (paths,) if isinstance(paths, str) else tuple(paths)
        for path in paths:
            plain = path.removesuffix("/*")
            if not plain.startswith("/") or "*" in plain or (plain.endswith("/") and path != "/"):
                raise ValueError(f"The path {path!r} cannot be excluded. Write it as '/health' or '/docs/*'.")
        self._exact = frozenset(path for path in paths if not path.endswith("/*"))
        self._below = tuple(path.removesuffix("*") for path in paths if path.endswith("/*"))
        # Nearly no path ends so, and to find out what is below the mount takes longer.
        self._ends = ("",) if self._below else tuple(end for path in paths for end in (path[1:], f"{path[1:]}/"))

    def match(self, scope: Scope) -> bool:
        """Whether the path of this request or WebSocket is excluded."""
        return scope["path"].endswith(self._ends) and self.cover(local_path(scope))

    def cover(self, path: str) -> bool:
        """Whether this path is excluded."""
        return path in self._exact or (path.startswith(self._below) and not _climbs(path))


def _climbs(path: str) -> bool:
    return ".." in path or "\\" in path or "//" in path
