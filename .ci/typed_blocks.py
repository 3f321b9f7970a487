"""Write the programs of the documents to a folder, a file each, for mypy to read: typed_blocks.py FOLDER"""

from __future__ import annotations

import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"

# What the pages take for granted.
_GIVEN = "from xrouter_asgi import *\n\nrouter = LLMRouter({})\n"
_NOT_TYPED = {
    "agents llamaindex": "the package is not installed",
    "authentication": "parts of a program",
    "developing contract": "a part of tests/providers/test_contract.py",
    "embedding blacksheep": "its decorator has no types",
    "embedding django": "Django has no types",
    "embedding quart": "hypercorn's dispatcher wants its own types of ASGI",
}


def main(folder: str) -> None:
    into = Path(folder)
    into.mkdir(parents=True, exist_ok=True)
    for file in into.glob("*.py"):
        file.unlink()
    for page in sorted(DOCS.glob("*.md")):
        if ".ru" in page.name:
            continue
        blocks = re.findall(r"^```python ?(\w*)\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
        for number, (title, text) in enumerate(blocks):
            if page.stem not in _NOT_TYPED and f"{page.stem} {title}" not in _NOT_TYPED:
                given = "" if "router = LLMRouter(" in text and "import LLMRouter" in text else _GIVEN
                (into / f"{page.stem}_{title or number}.py").write_text(given + text, "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
