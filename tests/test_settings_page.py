"""docs/settings.md is what .ci/settings_page.py writes, tells of every setting, and shows what can be used."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path

import pytest

from xrouter_asgi.settings import Settings

from .settings.reading import settings_below

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/settings.md"
SCRIPT = ROOT / ".ci/settings_page.py"
EXAMPLES = ROOT / "examples/settings.toml"

ENVIRONMENT = {
    **dict.fromkeys(re.findall(r'"env:(\w+)"', EXAMPLES.read_text("utf-8")), "a secret of 32 characters or more"),
    "GIGACHAT_CREDENTIALS": "YTpi",
    "KEYS_URL": "postgresql://ann@db.example/keys",
    "REDIS_URL": "redis://redis.example/0",
    "SLACK_URL": "https://slack.example/hook",
}

pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="there is no source tree here")


def rows() -> list[list[str]]:
    """The cells of the rows about keys."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    return [cells for line in lines if len(cells := re.split(r" \| ", line.strip("| "))) > 2]


def test_the_page_is_what_the_script_writes() -> None:
    written = runpy.run_path(str(SCRIPT))["page"]()
    assert PAGE.read_text("utf-8") == written, "run: python .ci/settings_page.py"


def test_every_setting_has_a_row() -> None:
    keys = {name.rpartition(".")[2] for name in settings_below()}
    assert keys - {cells[0].strip("`") for cells in rows()} == set()


def test_every_setting_is_described_and_none_by_the_name_of_a_class() -> None:
    said = {cells[0]: cells[-1] for cells in rows()}
    assert [key for key, text in said.items() if len(text) < 8 or text.startswith("See `") or "None" in text] == []


def test_every_table_has_an_example() -> None:
    namespace = runpy.run_path(str(SCRIPT))
    shared = {above for section in namespace["sections"]() for above in namespace["shared"](section.table)}
    titles = {section.title for section in namespace["sections"]() if section.table not in shared}
    assert set(namespace["examples"]()) == titles


def test_the_examples_are_one_file_that_can_be_used() -> None:
    settings = Settings.parse(tomllib.loads(EXAMPLES.read_text("utf-8")), environment=ENVIRONMENT)
    assert set(Settings.model_fields) == settings.model_fields_set
