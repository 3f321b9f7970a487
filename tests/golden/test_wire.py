"""What goes over the wire is what was recorded."""

from __future__ import annotations

import logging
from difflib import unified_diff

import pytest

from .all_cases import CASES
from .recording import FOLDER, record

AGAIN = (
    "If this change is meant, record it with `python -m tests.golden`, and read the difference before you commit it."
)


@pytest.mark.parametrize("name", CASES)
def test_every_byte_is_as_it_was_recorded(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)  # what goes wrong here is meant to
    case = CASES[name]
    recorded = case.file.read_bytes().decode() if case.file.exists() else ""
    if (told := record(case)) != recorded:
        # Not by `assert`: pytest takes a minute to compare long lines.
        difference = unified_diff(recorded.split("\n"), told.split("\n"), "recorded", "now", lineterm="")
        pytest.fail("\n".join([AGAIN, *difference]), pytrace=False)


def test_every_recorded_file_belongs_to_a_case() -> None:
    assert set(FOLDER.rglob("*.txt")) == {case.file for case in CASES.values()}, AGAIN
