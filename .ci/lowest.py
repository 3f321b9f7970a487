"""Install the lowest versions that pyproject.toml allows for what the package and its extras depend on.

pip has no option for this. Development tools are as new as they can be. FastAPI is a host: its oldest
version that takes our Starlette has to work.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
HOSTS = ("fastapi",)
FLOOR = re.compile(r"(?P<name>[\w.-]+)(\[[\w,]+\])?>=(?P<version>[\w.]+)")


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    requirements = project["dependencies"] + [line for name in extras if name != "dev" for line in extras[name]]
    requirements += [line for line in extras["dev"] if line.startswith(HOSTS)]
    floors = {f"{floor['name']}=={floor['version']}" for floor in map(FLOOR.match, requirements) if floor}
    command = [sys.executable, "-m", "pip", "install", "--editable", f"{ROOT}[dev]", *sorted(floors)]
    return subprocess.call(command)  # noqa: S603 -- what it runs comes from this repository


if __name__ == "__main__":
    sys.exit(main())
