"""How large files and functions may grow, and that no class name has two meanings."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

from .package import ARCHITECTURE, FILES, PACKAGE, lines, tree


def test_the_root_has_at_most_12_modules() -> None:
    assert len([file for file in FILES if len(file.parts) == 1 and file.name != "__init__.py"]) <= 12


def test_a_file_has_at_most_300_lines() -> None:
    assert {str(file): lines(file) for file in FILES if lines(file) > 300} == {}


def test_a_function_has_at_most_40_lines() -> None:
    assert {
        f"{file}: {node.name}": length
        for file in FILES
        for node in ast.walk(tree(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.end_lineno is not None and (length := node.end_lineno - node.lineno + 1) > 40
    } == {}


def test_no_class_name_is_used_twice() -> None:
    homes = defaultdict(list)
    for file in FILES:
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(str(file))
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}


def test_the_core_is_as_long_as_the_architecture_says() -> None:
    """Each path of the section is there, and their lines are what it says within 10 %."""
    section = ARCHITECTURE.split("\n## The core", 1)[1].split("\n## ", 1)[0]
    paths = re.findall(r"`([\w/]+(?:\.py|/))`", section)
    assert [path for path in paths if not (PACKAGE / path).exists()] == []
    files = [PACKAGE / path for path in paths]
    core = {inner for file in files for inner in (file.rglob("*.py") if file.is_dir() else [file])}
    said = re.search(r"about ([\d,]+) lines", section)
    assert said is not None
    assert 0.9 <= sum(lines(Path(file)) for file in core) / int(said[1].replace(",", "")) <= 1.1
