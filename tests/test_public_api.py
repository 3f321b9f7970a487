from __future__ import annotations

import inspect
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import xrouter_asgi
from xrouter_asgi import errors, settings


@pytest.mark.parametrize("module", [xrouter_asgi, settings])
def test_exports_are_sorted_and_there(module: object) -> None:
    names = module.__all__  # type: ignore[attr-defined]  # a module that exports
    assert names == sorted(names)
    assert [name for name in names if not hasattr(module, name)] == []


def test_nothing_public_is_left_out_of_the_exports() -> None:
    submodules = {path.stem for path in Path(xrouter_asgi.__file__).parent.iterdir()}
    imported = {"TYPE_CHECKING", "import_module"}  # by the package, for what is lazy
    public = {name for name in vars(xrouter_asgi) if not name.startswith("_")} - submodules - imported
    assert public <= set(xrouter_asgi.__all__)


def options_of(exported: object) -> set[str]:
    """The keyword options of a class or function. Errors and documents are what comes out, not what one sets up."""
    documents = ("errors", "wire", "context", "decision")
    if not callable(exported) or exported.__module__.split(".")[1] in documents:
        return set()
    parameters = inspect.signature(exported).parameters.values()
    return {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}


def test_there_are_no_more_options_than_people_can_read() -> None:
    options = {name: options_of(getattr(xrouter_asgi, name)) for name in xrouter_asgi.__all__}
    assert sum(map(len, options.values())) <= 178, options


def test_every_error_is_exported() -> None:
    family = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert family <= set(xrouter_asgi.__all__)


def test_importing_the_package_loads_nothing_that_a_mounted_router_does_not_need() -> None:
    heavy = ("uvicorn", "sqlalchemy", "opentelemetry", "limits", "xrouter_asgi.settings")
    program = f"import sys, xrouter_asgi; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


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
