"""`xrouter_asgi.testing` is for users: it needs nothing but public names, and is needed by nothing of the gateway."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from tests.package import FILES, PACKAGE, imports, own_imports, tree
from tests.test_public_api import PUBLIC, exports

WING = [file for file in FILES if file.parts[0] == "testing"]


def private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def is_public(name: tuple[str, ...]) -> bool:
    """Whether this is no name of the gateway, or a public one."""
    whole, module = ".".join(name), ".".join(name[:-1])
    return (
        name[0] != "xrouter_asgi"
        or name[1:2] == ("testing",)
        or whole in PUBLIC
        or (module in PUBLIC and name[-1] in exports(module))
    )


def test_it_imports_public_names_only() -> None:
    assert [(str(file), name) for file in WING for name in imports(file) if not is_public(name)] == []


def test_it_looks_into_no_object_but_its_own() -> None:
    assert [
        f"{file}:{node.lineno}: {node.attr}"
        for file in WING
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Attribute) and private(node.attr)
        if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
    ] == []


def test_it_needs_no_part_of_the_tests_and_no_more_than_pytest() -> None:
    known = sys.stdlib_module_names | {"pytest", "xrouter_asgi", "starlette"}
    assert [(str(file), name) for file in WING for name in imports(file) if name[0] not in known] == []


def test_the_gateway_does_not_import_it() -> None:
    others = [file for file in FILES if file not in WING]
    assert [str(file) for file in others for name in own_imports(file) if name[0] == "testing"] == []


def test_without_pytest_all_can_be_used_but_the_contracts() -> None:
    program = "import sys, xrouter_asgi.testing; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_page_names_every_module_of_it() -> None:
    page = (Path(__file__).parents[2] / "docs/testing.md").read_text("utf-8")
    modules = {".".join(("xrouter_asgi", *file.with_suffix("").parts)) for file in WING if file.name != "__init__.py"}
    packages = {".".join(("xrouter_asgi", *file.parent.parts)) for file in WING if file.name == "__init__.py"}
    assert [name for name in sorted(modules | packages) if f"`{name}`" not in page] == []
    assert PACKAGE.is_dir()
