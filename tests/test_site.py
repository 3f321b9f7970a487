"""The site of docs/: what its build refuses, and that nobody forgets to build it. tox builds it (`tox -e docs`)."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CHECK = ROOT / ".ci/site_links.py"

pytestmark = pytest.mark.skipif(not CHECK.exists(), reason="there is no source tree here")


def checked(page: str, folder: Path) -> int:
    """The exit code for a site of one page."""
    (folder / "index.html").write_text(page, "utf-8")
    code: int = runpy.run_path(str(CHECK))["main"](str(folder))
    return code


@pytest.mark.parametrize(
    "page",
    [
        '<script async src="https://cdn.example/a.js"></script>',
        "<script src=//cdn.example/a.js></script>",
        '<link rel="preconnect" href="https://fonts.example" crossorigin>',
        '<link href="https://fonts.example/css?family=A" rel="stylesheet">',
        '<img alt="" src="http://img.example/a.png">',
        "<style>@font-face{src:url(https://fonts.example/a.woff)}</style>",
        '<a class="md-source" data-md-component="source" href="https://github.com/a/b"></a>',
        '<pre class="mermaid">graph</pre>',
        '<style>@import "//fonts.example/a.css";</style>',
        "<p>```sh backup\nls</p>",
    ],
)
def test_a_page_that_asks_a_foreign_host_or_shows_a_fence_fails_the_build(page: str, tmp_path: Path) -> None:
    assert checked(page, tmp_path) == 1


def test_a_link_that_a_reader_may_follow_is_listed_and_fails_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = '<script src="a.js"></script><a class="x" href="https://other.example/page">there</a>'
    assert checked(page, tmp_path) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["https://other.example/page"]


def test_a_site_that_was_not_built_is_no_good_site(tmp_path: Path) -> None:
    assert runpy.run_path(str(CHECK))["main"](str(tmp_path)) == 1


def test_every_page_has_its_place_in_the_menu_of_the_site() -> None:
    nav = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[2]
    english = {page.name for page in (ROOT / "docs").glob("*.md") if not page.name.endswith(".ru.md")}
    assert set(re.findall(r": ([\w.]+\.md)$", nav, re.MULTILINE)) == english


def test_the_reference_has_every_module_that_is_public() -> None:
    table = (ROOT / "docs/embedding.md").read_text("utf-8").partition("## What is public")[2]
    public = set(re.findall(r"^\| `(xrouter_asgi\.[\w.]+)` \|", table, re.MULTILINE)) - {"xrouter_asgi.testing"}
    reference = (ROOT / "docs/reference_modules.md").read_text("utf-8")
    assert set(re.findall(r"^::: (\S+)$", reference, re.MULTILINE)) == public


def test_every_picture_is_there_and_shown() -> None:
    shown = {
        name
        for page in (ROOT / "docs").glob("*.md")
        for name in re.findall(r"\]\(img/([\w.-]+)\)", page.read_text("utf-8"))
    }
    assert shown == {file.name for file in (ROOT / "docs/img").iterdir()}
