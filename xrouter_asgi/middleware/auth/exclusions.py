"""Paths that need no key."""

from __future__ import annotations

from collections.abc import Iterable


class Exclusions:
    """Exact paths, and everything below a path that ends in `/*`. Nothing else is a pattern.

    Raises:
        ValueError: A path that does not start with `/`, ends in one, or has a `*` elsewhere; or `/*`, which is all.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        paths = (paths,) if isinstance(paths, str) else tuple(paths)
        for path in paths:
            plain = path.removesuffix("/*")
            if not plain.startswith("/") or "*" in plain or (plain.endswith("/") and path != "/"):
                raise ValueError(f"The path {path!r} cannot be excluded. Write it as '/health' or '/docs/*'.")
        self._exact = frozenset(path for path in paths if not path.endswith("/*"))
        self._below = tuple(path.removesuffix("*") for path in paths if path.endswith("/*"))

    def __contains__(self, path: object) -> bool:
        if path in self._exact:
            return True
        return bool(self._below) and isinstance(path, str) and path.startswith(self._below) and not _climbs(path)


def _climbs(path: str) -> bool:
    """Whether an application that cleans paths could end up elsewhere: `/docs/../secret` is not below `/docs`."""
    return ".." in path or "\\" in path or "//" in path
