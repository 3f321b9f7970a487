"""Fakes and contracts are for users as well: they need nothing but public names, and no other part of the tests."""

from __future__ import annotations

import ast
from pathlib import Path

from .test_public_api import PUBLIC, exports

TESTS = Path(__file__).parent
SHARED = [
    *(TESTS / name for name in ("scripted.py", "policies/upstream.py", "policies/virtual.py")),
    *(file for file in sorted(TESTS.glob("fakes/*.py")) if not file.name.startswith("test_")),
    *(
        file for file in sorted(TESTS.glob("*/contract.py")) if file.parent.name != "clients"
    ),  # of programs, not of parts
]


def private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def imported(file: Path) -> list[str]:
    """Absolute names, dotted."""
    folder = ("tests", *file.relative_to(TESTS).parent.parts)
    names = []
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else ()
            names += [".".join((*base, *filter(None, [node.module]), name.name)) for name in node.names]
    return names


def is_public(name: str) -> bool:
    """Whether this is no name of the package, or a public one."""
    module, _, last = name.rpartition(".")
    return name.split(".")[0] != "xrouter_asgi" or name in PUBLIC or (module in PUBLIC and last in exports(module))


def test_fakes_and_contracts_import_public_names_only() -> None:
    assert [(file.name, name) for file in SHARED for name in imported(file) if not is_public(name)] == []


def test_fakes_and_contracts_look_into_no_object_but_themselves() -> None:
    assert [
        f"{file.name}:{node.lineno}: {node.attr}"
        for file in SHARED
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and private(node.attr)
        if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
    ] == []


def test_fakes_and_contracts_need_no_other_part_of_the_tests() -> None:
    own = tuple(str(file.relative_to(TESTS.parent).with_suffix("")).replace("/", ".") for file in SHARED)
    assert [
        (file.name, name)
        for file in SHARED
        for name in imported(file)
        if name.startswith("tests.")
        and not f"{name}.".startswith(tuple(f"{module}." for module in (*own, "tests.fakes")))
    ] == []
