"""The rules of docs/architecture.md, "Layers", kept on the syntax trees of the package: one case for each rule."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from .package import ARCHITECTURE, FILES, file_of, imports, own_imports, tree

LAYERS = {
    int(level): names.split(", ")
    for level, names in re.findall(r"^L(\d)  \w+ +(.+?)(?: +←.*)?$", ARCHITECTURE, re.MULTILINE)
}
RANK = {name: (level, place) for level, names in LAYERS.items() for place, name in enumerate(names)}
SHARED = {
    folder: {"base", *re.split(r",\s+", names)} for folder, names in re.findall(r"`(\w+)/\{([\w,\s]+)\}`", ARCHITECTURE)
} | {"middleware": set(), "dialects": {"base"}}
"""What the members of a folder may import of it."""

ASSEMBLING = (Path("policies/stack.py"), Path("providers/presets.py"))

MODULES = [file for file in FILES if file not in (Path("__init__.py"), Path("__main__.py"))]


def unit(file: Path) -> str:
    """What stands in the picture: a folder, or a module of the root."""
    return file.parts[0].removesuffix(".py")


def member(file: Path) -> str:
    """What is a stranger to its neighbours: a folder in the unit, or a module of it."""
    return file.parts[1].removesuffix(".py")


def inside(folder: str) -> list[Path]:
    return [file for file in MODULES if unit(file) == folder]


def told(file: Path, name: Iterable[str]) -> str:
    return f"{file} imports {'.'.join(name)}"


def test_the_picture_shows_every_module_once() -> None:
    assert sorted(name for names in LAYERS.values() for name in names) == sorted({unit(file) for file in MODULES})


def test_a_module_imports_only_from_below_or_from_its_left() -> None:
    assert [
        told(file, name)
        for file in MODULES
        for name in own_imports(file)
        if name[0] != unit(file) and not RANK[name[0]] < RANK[unit(file)]
    ] == []


def test_members_of_a_folder_are_strangers_to_each_other() -> None:
    def strangers(folder: str) -> Iterator[str]:
        for file in inside(folder):
            if (file.name == "__init__.py" and len(file.parts) == 2) or file in ASSEMBLING:
                continue  # assembling is their job
            for name in own_imports(file):
                if name[0] == folder and name[1] != member(file) and name[1] not in SHARED[folder]:
                    yield told(file, name)

    assert [line for folder in SHARED for line in strangers(folder)] == []


def test_a_middleware_knows_no_provider_and_no_policy() -> None:
    files = inside("middleware")
    assert [told(file, n) for file in files for n in own_imports(file) if n[0] in ("providers", "policies")] == []


def test_the_router_knows_no_provider_no_policy_and_no_middleware() -> None:
    assert [
        told(file, name)
        for file in inside("router")
        for name in own_imports(file)
        if name[0] in ("policies", "middleware")
        or (name[0] == "providers" and name[1:2] not in (("base",), ("target",)))
    ] == []


def test_a_provider_needs_words_a_queue_and_what_providers_share() -> None:
    known = {*LAYERS[0], "queueing", "providers"}
    assert [told(file, n) for file in inside("providers") for n in own_imports(file) if n[0] not in known] == []


def test_a_dialect_needs_nothing_but_words() -> None:
    known = {*LAYERS[0], "dialects"}
    assert [told(file, n) for file in inside("dialects") for n in own_imports(file) if n[0] not in known] == []


def test_words_need_nothing_but_pydantic() -> None:
    known = sys.stdlib_module_names | {"annotated_types", "pydantic", "pydantic_core", "xrouter_asgi"}
    words = [file for file in MODULES if unit(file) in LAYERS[0]]
    assert [told(file, name) for file in words for name in imports(file) if name[0] not in known] == []


READERS = {
    "admin/pages/files.py": {"read_bytes"},  # the style and the script, which belong to the package
    "admission/memory.py": {"read_text"},  # what the kernel says of memory
    "cli/keys/rows.py": {"read_text"},  # the keys that somebody wants
    "cli/main.py": {"environ"},  # which it hands to the commands
    "limits/scripts.py": {"read_text"},  # Lua files that belong to the package
    "middleware/docs/docs.py": {"read_bytes"},  # the page, which belongs to the package
    "providers/http/tls.py": {"read_bytes"},  # the certificates it is told to read
}


def test_only_settings_read_the_environment_or_files() -> None:
    def reads(file: Path) -> Iterator[str]:
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Attribute) and node.attr in {
                "environ", "environb", "getenv", "read_text", "read_bytes"
            }:  # fmt: skip
                yield node.attr
            elif isinstance(node, ast.Name) and node.id == "open":
                yield node.id

    assert [
        f"{file} uses {name}"
        for file in MODULES
        if unit(file) != "settings"
        for name in reads(file)
        if name not in READERS.get(file.as_posix(), ())
    ] == []


def test_only_the_server_and_the_command_line_know_uvicorn() -> None:
    others = [file for file in FILES if unit(file) not in ("server", "cli")]
    assert [told(file, name) for file in others for name in imports(file) if name[0] == "uvicorn"] == []


def test_no_imports_go_in_a_circle() -> None:
    graph = {file: {file_of(name) for name in own_imports(file)} - {file} for file in FILES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" → ".join(map(str, error.args[1]))) from None
