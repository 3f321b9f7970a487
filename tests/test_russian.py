"""The pages in Russian say what those in English say: the same programs, the same rows, the same codes and numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RUSSIAN = sorted([*(ROOT / "docs").glob("*.ru.md"), ROOT / "README.ru.md"])

_BLOCK = re.compile(r"^```(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`]+)`")


def english(page: Path) -> Path:
    return page.with_name(page.name.replace(".ru", ""))


def prose(page: Path) -> str:
    """A page without its programs."""
    return _BLOCK.sub("", page.read_text("utf-8"))


def code(text: str) -> set[str]:
    return {" ".join(found.split()) for found in _CODE.findall(text)}


def rows(page: Path) -> list[str]:
    return [line for line in prose(page).splitlines() if line.startswith("|")]


def numbers(text: str) -> list[str]:
    """The numbers outside of code, as English writes them."""
    plain = re.sub(r"\]\([^)]*\)", "]", _CODE.sub("", text))
    plain = re.sub(r"(?<=\d)[ ,](?=\d{3}\b)", "", plain)  # thousands
    return sorted(re.findall(r"(?<!\w)\d+(?:\.\d+)?", re.sub(r"(?<=\d),(?=\d)", ".", plain)))


@pytest.mark.parametrize("page", RUSSIAN, ids=lambda page: page.name)
def test_both_languages_show_the_same_programs(page: Path) -> None:
    assert _BLOCK.findall(page.read_text("utf-8")) == _BLOCK.findall(english(page).read_text("utf-8"))


@pytest.mark.parametrize("page", RUSSIAN, ids=lambda page: page.name)
def test_both_languages_have_the_same_headings_and_rows(page: Path) -> None:
    shape = [
        (re.findall(r"^#+ ", prose(each), re.MULTILINE), [row.count("|") for row in rows(each)])
        for each in (page, english(page))
    ]
    assert shape[0] == shape[1]


@pytest.mark.parametrize("page", RUSSIAN, ids=lambda page: page.name)
def test_each_row_names_the_same_code_and_the_same_numbers_in_both_languages(page: Path) -> None:
    different = [
        (ours, theirs)
        for ours, theirs in zip(rows(page), rows(english(page)), strict=True)
        if code(ours) != code(theirs) or numbers(ours) != numbers(theirs)
    ]
    assert different == []


@pytest.mark.parametrize("page", RUSSIAN, ids=lambda page: page.name)
def test_both_languages_name_the_same_code(page: Path) -> None:
    ours, theirs = (code(prose(each)) for each in (page, english(page)))
    assert (theirs - ours, ours - theirs) == (set(), set())


@pytest.mark.parametrize("page", RUSSIAN, ids=lambda page: page.name)
def test_each_language_leads_to_the_other(page: Path) -> None:
    other = english(page)
    assert re.search(rf"\*In English:\s\[{other.name}\]\({other.name}\)\.\*", prose(page))
    assert re.search(rf"По-русски(?::\s\[{page.name}\]\({page.name}\)|\]\[{page.name}\])\.", prose(other))


@pytest.mark.parametrize("page", RUSSIAN, ids=lambda page: page.name)
def test_a_page_in_russian_leads_to_pages_in_russian_where_there_are_some(page: Path) -> None:
    text = re.sub(r"\*In English:\s\[[^*]*\*", "", prose(page))
    links = re.findall(r"\]\(((?!https?:)[\w./]+)\.md(?:#[^)]*)?\)", text)
    assert [link for link in links if (page.parent / f"{link}.ru.md").exists()] == []
