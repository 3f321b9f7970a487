"""Fail if a page of the built site asks a foreign host or shows a fence, and list the links that lead elsewhere.

site_links.py FOLDER
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_ELSEWHERE = r"[\"']?\s*((?:https?:)?//[^\"'\s>)]+)"
# What a browser fetches by itself: scripts, pictures, frames, styles, and what styles name.
_FETCHED = re.compile(
    rf"<(?:script|img|iframe|source|video|audio|embed|track)\b[^>]*?\ssrc=\s*{_ELSEWHERE}"
    rf"|<link\b(?![^>]*\brel=[\"']?(?:canonical|alternate|next|prev|edit)\b)[^>]*?\shref=\s*{_ELSEWHERE}"
    rf"|\burl\({_ELSEWHERE}"
    rf"|@import\s*{_ELSEWHERE}",
    re.IGNORECASE,
)
# What the theme's script fetches where such an element is there: GitHub's stars, and a program for diagrams.
_FETCHED_BY_SCRIPT = re.compile(r"data-md-component=[\"']?source\b|class=[\"']?mermaid\b")
_FENCE = re.compile(r"<p>```|^```\w", re.MULTILINE)
_LINK = re.compile(r"<a\b[^>]*?\shref=[\"']?(https?://[^\"'\s>]+)")


def fetched(text: str) -> list[str]:
    """What a browser that shows this page or style fetches from foreign hosts."""
    addresses = [next(filter(None, found.groups())) for found in _FETCHED.finditer(text)]
    return addresses + _FETCHED_BY_SCRIPT.findall(text)


def main(folder: str) -> int:
    files = [file for file in sorted(Path(folder).rglob("*")) if file.suffix in {".html", ".css", ".svg"}]
    texts = {file: file.read_text("utf-8") for file in files}
    wrong = [f"{file} fetches {address}" for file, text in texts.items() for address in fetched(text)]
    wrong += [f"{file} shows the fence of a block" for file, text in texts.items() if _FENCE.search(text)]
    links = sorted({link for text in texts.values() for link in _LINK.findall(text)})
    print("\n".join([f"{len(texts)} files have {len(links)} links that lead elsewhere:", *links]))
    if wrong or not texts:
        print("\n".join(wrong or [f"There is no site in {folder}."]), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
