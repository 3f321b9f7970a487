"""The lines that `xrouter` logs."""

from __future__ import annotations

import logging

import pytest

from xrouter_asgi.cli.main import LineFormatter
from xrouter_asgi.context import Attempt, RequestContext


@pytest.mark.parametrize(
    ("extra", "line"),
    [
        ({}, "went wrong"),
        (RequestContext("r1").facts, "went wrong (r1)"),
        (
            RequestContext("r1", attempts=[Attempt("a", "m"), Attempt("b", "m")]).facts,
            "went wrong (r1, attempt 2 at b)",
        ),
    ],
)
def test_a_line_about_a_request_says_which_and_where_it_was(extra: dict[str, object], line: str) -> None:
    record = logging.makeLogRecord({"msg": "went wrong", **extra})
    assert LineFormatter("%(message)s").format(record) == line
