"""Imports only go down: the rules of docs/architecture.md, "Layers", on the syntax trees of the package."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import xrouter_asgi

PACKAGE = Path(xrouter_asgi.__file__).parent
PICTURE = (Path(__file__).parent.parent / "docs/architecture.md").read_text("utf-8")
LAYERS = {
    level: names.split(", ") for level, names in re.findall(r"^L(\d)  \w+ +(.+?)(?: +←.*)?$", PICTURE, re.MULTILINE)
}
RANK = {name: (int(level), place) for level, names in LAYERS.items() for place, name in enumerate(names)}
FILES = sorted(file.relative_to(PACKAGE) for file in PACKAGE.rglob("*.py"))
MODULES = [file for file in FILES if file != Path("__init__.py")]


def tree(file: Path) -> ast.Module:
    return ast.parse((PACKAGE / file).read_text("utf-8"))


def imports(file: Path) -> Iterator[tuple[str, ...]]:
    """What a file imports, each as the parts of an absolute name."""
    folder = ("xrouter_asgi", *file.parent.parts)
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from (tuple(name.name.split(".")) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else ()
            module = tuple(node.module.split(".")) if node.module else ()
            yield from ((*base, *module, name.name) for name in node.names)


def ours(file: Path) -> Iterator[tuple[str, ...]]:
    """The same, of this package, without its name."""
    return (name[1:] for name in imports(file) if name[0] == "xrouter_asgi")


def unit(file: Path) -> str:
    return file.parts[0].removesuffix(".py")


def test_the_picture_shows_every_module_once() -> None:
    assert sorted(name for names in LAYERS.values() for name in names) == sorted({unit(file) for file in MODULES})


@pytest.mark.parametrize("file", MODULES, ids=str)
def test_a_module_imports_only_from_below_or_from_its_left(file: Path) -> None:
    here = unit(file)
    assert [name for name in ours(file) if name[0] != here and not RANK[name[0]] < RANK[here]] == []


@pytest.mark.parametrize("file", [file for file in MODULES if unit(file) in LAYERS["0"]], ids=str)
def test_words_need_nothing_but_pydantic(file: Path) -> None:
    known = sys.stdlib_module_names | {"pydantic", "pydantic_core", "xrouter_asgi"}
    assert [name for name in imports(file) if name[0] not in known] == []


def test_the_router_knows_no_provider() -> None:
    assert {name[:2] for name in ours(Path("router/router.py")) if name[0] == "providers"} == {("providers", "base")}


@pytest.mark.parametrize("file", [file for file in MODULES if unit(file) == "providers"], ids=str)
def test_a_provider_knows_no_other(file: Path) -> None:
    here = file.parts[1].removesuffix(".py")
    others = {name[1] for name in ours(file) if name[0] == "providers"}
    assert others - {here} <= ({"base", "http"} if here != "http" else set())


@pytest.mark.parametrize("file", [file for file in MODULES if unit(file) == "middleware"], ids=str)
def test_a_middleware_knows_no_other(file: Path) -> None:
    here = file.parts[1].removesuffix(".py")
    known = {name[:2] for name in ours(file) if name[0] in ("middleware", "providers")}
    assert known <= {("middleware", here)}


POLICIES = {"breaker", "concurrency", "fallback", "hedge", "prebuffer", "retry", "timeout"}


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_a_policy_knows_no_other_and_no_provider(policy: str) -> None:
    known = {name[:2] for name in ours(Path(f"policies/{policy}.py")) if name[0] in ("policies", "providers")}
    assert known & {("policies", other) for other in POLICIES - {policy}} == set()
    assert {name for name in known if name[0] == "providers"} <= {("providers", "base")}


@pytest.mark.parametrize("file", FILES, ids=str)
def test_only_settings_read_the_environment_or_files(file: Path) -> None:
    read = {node.attr for node in ast.walk(tree(file)) if isinstance(node, ast.Attribute)}
    called = {node.id for node in ast.walk(tree(file)) if isinstance(node, ast.Name)}
    environment = read & {"environ", "environb", "getenv"}
    files = (read & {"read_text", "read_bytes"}) | (called & {"open"})
    match file.as_posix():
        case "cli/main.py":  # NO_COLOR, which is the terminal's matter
            environment -= {"environ"}
        case "limits/scripts.py":  # Lua files that belong to the package
            files -= {"read_text"}
        case "providers/http/tls.py":  # certificates
            files -= {"read_bytes"}
    assert unit(file) == "settings" or (environment | files) == set()


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.name not in ("answers.py", "protocol.py", "server.py")], ids=str
)
def test_only_the_server_knows_uvicorn(file: Path) -> None:
    assert "uvicorn" not in {name[0] for name in imports(file)}
