"""The package as text: its files, their syntax trees and what they import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import xrouter_asgi

PACKAGE = Path(xrouter_asgi.__file__).parent
ARCHITECTURE = (Path(__file__).parent.parent / "docs/architecture.md").read_text("utf-8")
FILES = sorted(file.relative_to(PACKAGE) for file in PACKAGE.rglob("*.py"))
"""Below the package."""


@cache
def tree(file: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse((PACKAGE / file).read_text("utf-8"))


def lines(file: Path) -> int:
    """How many lines a file has."""
    return len((PACKAGE / file).read_text("utf-8").splitlines())


@cache
def imports(file: Path) -> tuple[tuple[str, ...], ...]:
    """All that a file imports, wherever the import stands, each as the parts of an absolute name."""
    return tuple(_imports(file))


def _imports(file: Path) -> Iterator[tuple[str, ...]]:
    folder = ("xrouter_asgi", *file.parent.parts)
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from (tuple(name.name.split(".")) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else ()
            module = tuple(node.module.split(".")) if node.module else ()
            yield from ((*base, *module, name.name) for name in node.names)


def own_imports(file: Path) -> list[tuple[str, ...]]:
    """What a file imports of the package, without the package's name."""
    return [name[1:] for name in imports(file) if name[0] == "xrouter_asgi"]


def file_of(name: tuple[str, ...]) -> Path:
    """The file that a name is imported from: a module, or the one that defines the name."""
    for length in range(len(name), -1, -1):
        for file in (Path(*name[:length], "__init__.py"), Path(*name[:length]).with_suffix(".py") if length else None):
            if file in FILES:
                return file
    raise LookupError(name)
