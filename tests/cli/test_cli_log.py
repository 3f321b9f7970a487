"""The lines that `xrouter` logs."""

from __future__ import annotations

import json
import logging
import re
import signal
import sys
from pathlib import Path

import pytest

from xrouter_asgi.cli.log import JSONFormatter, LineFormatter
from xrouter_asgi.context import Attempt, RequestContext

from .test_cli import SERVES, running, until


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


def record(**members: object) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "xrouter", "levelno": logging.WARNING, "levelname": "WARNING", **members})


def test_off_a_terminal_a_line_is_a_json_object() -> None:
    facts = RequestContext("r1", attempts=[Attempt("a", "m")]).facts
    line = json.loads(JSONFormatter().format(record(msg="%s went wrong", args=("ключ",), created=1.5, **facts)))
    assert line == {
        "time": "1970-01-01T00:00:01.500+00:00",
        "level": "warning",
        "logger": "xrouter",
        "message": "ключ went wrong",
        **facts,
    }


def test_a_traceback_is_one_member_of_one_line() -> None:
    try:
        raise ValueError("here")
    except ValueError:
        text = JSONFormatter().format(record(msg="failed", exc_info=sys.exc_info()))
    assert "\n" not in text
    assert json.loads(text)["exception"].endswith("ValueError: here")


@pytest.mark.parametrize(("arguments", "shown"), [(["--log-level", "warning"], False), ([], True)])
async def test_the_level_says_which_lines_are_written(arguments: list[str], shown: bool, tmp_path: Path) -> None:
    file = tmp_path / "xrouter.toml"
    file.write_text('providers.a.kind = "echo"\nserver.port = 0')
    async with running("serve", "--config", str(file), *arguments) as process:
        await until(process.stderr, SERVES)
        process.send_signal(signal.SIGHUP)
        if shown:
            assert "The settings are reloaded" in await until(process.stderr, "reloaded")
        process.terminate()
        _, said = await process.communicate()
    assert said == b""


async def test_as_text_a_line_has_its_time_and_level_and_what_is_served_is_a_table(tmp_path: Path) -> None:
    file = tmp_path / "xrouter.toml"
    file.write_text('providers.a.kind = "echo"\nserver.port = 0\nlog.format = "text"')
    async with running("serve", "--config", str(file)) as process:
        said = await until(process.stderr, "\nversion")
        assert re.match(rf"xrouter \S+ reads {file}\nxrouter \S+ serves at http://\S+/v1\nmodel  target\n", said)
        process.send_signal(signal.SIGHUP)
        line = await until(process.stderr, "reloaded")
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO xrouter\.settings: The settings are", line)
