"""Copy what the tests read to the current directory, but the package, which must be the installed wheel."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> None:
    for folder in ("tests", "examples", "docs"):
        shutil.copytree(ROOT / folder, folder, dirs_exist_ok=True)
    for file in ("pyproject.toml", "README.md", "README.ru.md", "SECURITY.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(ROOT / file, file)
    spec = find_spec("xrouter_asgi")
    if spec is None or spec.origin is None or not Path(spec.origin).is_relative_to(sysconfig.get_path("purelib")):
        sys.exit("The package is not the installed wheel.")


if __name__ == "__main__":
    main()
