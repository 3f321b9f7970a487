"""Programs of others that check what examples/deploy holds. A test skips where one is missing, and says which."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
DEPLOY = EXAMPLES / "deploy"
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


def tool(name: str) -> str:
    """The path of a program; skips the test if there is none."""
    path = shutil.which(name) or shutil.which(name, path=SBIN)
    if path is None:
        pytest.skip(f"{name} is not installed here")
    return path


def check(name: str, *arguments: str | Path, cwd: Path | None = None) -> str:
    """Run a program that must find nothing wrong. Returns what it says."""
    command = [tool(name), *map(str, arguments)]
    ran = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout
    return ran.stdout
