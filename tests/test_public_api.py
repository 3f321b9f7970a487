"""What is public: where it is, that all of it can be had there, and what it may cost."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import xrouter_asgi
from xrouter_asgi import errors

from .signatures import is_own, mentioned

DOCS = Path(__file__).parent.parent / "docs"
PUBLIC = [
    "xrouter_asgi",
    *re.findall(r"^\| `(xrouter_asgi\.[\w.]+)` \|", (DOCS / "embedding.md").read_text("utf-8"), re.MULTILINE),
    *re.findall(r"`(xrouter_asgi\.testing\.[\w.]+)`", (DOCS / "testing.md").read_text("utf-8")),
]
"""The root, and the modules of the tables in docs/embedding.md and docs/testing.md."""


def exports(module: str) -> dict[str, object]:
    """What `__all__` of a package lists; of a plain module what it defines."""
    found = import_module(module)
    names = getattr(found, "__all__", None) or defined(inspect.getsource(found))
    return {name: getattr(found, name) for name in names}


def defined(source: str) -> list[str]:
    names = []
    for node in ast.parse(source).body:
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                names.append(node.name)
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                names.append(name)
    return [name for name in names if name[0] != "_"]


@pytest.mark.parametrize("module", [*PUBLIC, "xrouter_asgi.settings"])
def test_exports_are_there(module: str) -> None:
    assert exports(module)


def test_what_the_root_holds_is_exported() -> None:
    imported = {name for name, value in vars(xrouter_asgi).items() if not inspect.ismodule(value) and name[0] != "_"}
    assert imported - {"TYPE_CHECKING"} <= set(xrouter_asgi.__all__)


def test_the_root_exports_what_one_mounts_with_and_no_more() -> None:
    assert len(xrouter_asgi.__all__) <= 46


@pytest.mark.parametrize("module", PUBLIC)
def test_every_type_in_a_public_signature_is_public(module: str) -> None:
    public = {id(value) for place in PUBLIC for value in exports(place).values()}
    assert [
        f"{name} mentions {other}"
        for name, value in exports(module).items()
        for other, type_ in mentioned(value)
        if id(type_) not in public
    ] == []


def test_every_class_is_exported_under_its_own_name() -> None:
    assert [
        f"{module}.{name} is {value.__name__}"
        for module in PUBLIC
        for name, value in exports(module).items()
        if inspect.isclass(value) and is_own(value) and value.__name__ != name
    ] == []


def test_every_error_is_exported() -> None:
    family = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert family <= set(exports("xrouter_asgi.errors"))


def options_of(exported: object) -> set[str]:
    """The keyword options of a class or a function. What comes out of the package is not what one sets up."""
    if not callable(exported) or exported.__module__.split(".")[1] in ("errors", "context", "decision"):
        return set()
    parameters = inspect.signature(exported).parameters.values()
    return {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}


def test_there_are_no_more_options_than_people_can_read() -> None:
    options = {name: options_of(value) for name, value in exports("xrouter_asgi").items()}
    assert sum(map(len, options.values())) <= 160, options


def test_importing_the_package_loads_nothing_that_a_mounted_router_does_not_need() -> None:
    heavy = ("uvicorn", "sqlalchemy", "opentelemetry", "xrouter_asgi.settings")
    program = f"import sys, xrouter_asgi; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_keys_in_sqlite_load_nothing_for_other_databases_migrations_or_the_orm() -> None:
    heavy = ("sqlalchemy.orm", "sqlalchemy.dialects.postgresql", "asyncpg", "alembic")
    program = "import sys; from xrouter_asgi.keys import SQLKeyStore; SQLKeyStore('sqlite:///keys.db')\n"
    program += f"print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_gateway_loads_the_api_of_operators_only_if_it_serves_it() -> None:
    program = "import sys, xrouter_asgi.cli.serve; print('xrouter_asgi.admin' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_package_is_typed() -> None:
    assert (Path(xrouter_asgi.__file__).parent / "py.typed").is_file()


def test_the_core_needs_at_most_25_distributions() -> None:
    needed: set[str] = set()
    left = ["xrouter-asgi"]
    while left:
        name = left.pop()
        if name in needed:
            continue
        needed.add(name)
        try:
            requirements = map(Requirement, distribution(name).requires or [])
        except PackageNotFoundError:  # what only another platform needs
            continue
        left += [each.name for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})]
    assert len(needed) <= 25
