"""That what is measured finds its place in docs/performance.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .report import PAGE, save, table

HERE = Path(__file__).parent
NAMES = sorted(
    {
        name
        for file in HERE.rglob("*.py")
        for name in re.findall(r'\b(?:save|report)\(\s*"(\w+)"', file.read_text())
        if not file.name.startswith("test_")
    }
)


@pytest.mark.parametrize("name", NAMES)
def test_the_page_has_one_place_for_what_a_command_saves(name: str) -> None:
    assert len(re.findall(f"<!-- {name} -->\n.+?\n<!-- end of {name} -->", PAGE.read_text(), re.DOTALL)) == 1


def test_what_is_saved_stands_in_place_of_the_last_and_changes_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- one -->\nold\n<!-- end of one -->\nafter\n")
    monkeypatch.setattr("benchmarks.report.PAGE", page)
    save("one", table(("", "found"), [("a", r"\1")]))
    assert page.read_text() == "before\n<!-- one -->\n| | found |\n|---|---|\n| a | \\1 |\n<!-- end of one -->\nafter\n"
    with pytest.raises(ValueError, match="0 places for two"):
        save("two", "")
