from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from xrouter_asgi.context import Attempt, Principal, RequestContext, Usage
from xrouter_asgi.decision import CandidateVerdict, Unready
from xrouter_asgi.errors import RequestRejected, UpstreamUnavailable
from xrouter_asgi.events import RequestEnded, RequestStarted
from xrouter_asgi.telemetry.access_log import LIMIT, AccessLog, LineBuffer
from xrouter_asgi.testing.virtual import virtual


def ended(context: RequestContext | None = None, **more: Any) -> RequestEnded:
    facts: dict[str, Any] = {
        "method": "POST",
        "path": "/v1/chat/completions",
        "status": 200,
        "complete": True,
        "duration": 1.25,
        "first_byte": 0.5,
        "received": 10,
        "sent": 20,
        "client": "127.0.0.1",
    }
    return RequestEnded(context or RequestContext("req_1"), **{**facts, **more})


def chatted() -> RequestContext:
    return RequestContext(
        "req_1",
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        principal=Principal("key_1", "team"),
        endpoint="chat",
        model="assistant",
        provider="local",
        upstream_model="qwen3",
        streamed=True,
        usage=Usage(3, 4, 1, 2),
        attempts=[Attempt("local", "qwen3")],
    )


def line_of(event: object, *, readable: bool = False) -> str:
    lines: list[str] = []
    AccessLog(lines.append, readable=readable)(event)
    (line,) = lines
    return line


def test_the_line_of_a_chat_tells_everything() -> None:
    line = json.loads(line_of(ended(chatted())))
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "request_id": "req_1",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "client": "127.0.0.1",
        "method": "POST",
        "path": "/v1/chat/completions",
        "status": 200,
        "complete": True,
        "duration": 1.25,
        "first_byte": 0.5,
        "first_token": 0.5,
        "received": 10,
        "sent": 20,
        "endpoint": "chat",
        "model": "assistant",
        "provider": "local",
        "upstream_model": "qwen3",
        "attempts": 1,
        "principal": "key_1",
        "owner": "team",
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "cached_tokens": 1,
        "cache_write_tokens": 2,
    }


def test_the_document_names_every_member() -> None:
    context = chatted()
    context.attempts[:] = went_round().attempts
    context.decision = went_round().decision
    context.error = UpstreamUnavailable("No.")
    text = (Path(__file__).parents[2] / "docs/telemetry.md").read_text("utf-8")
    assert [name for name in json.loads(line_of(ended(context))) if f"`{name}`" not in text] == []


def went_round() -> RequestContext:
    """A request whose first target failed, whose second one was late, and whose third one was passed over."""
    context = RequestContext("req_1", model="assistant", provider="c", upstream_model="m")
    context.attempts += [
        Attempt("a", "m", started=1.0, ended=1.25, error=UpstreamUnavailable("marked", code="connect_refused")),
        Attempt("b", "m", started=1.5, ended=2.5, error=asyncio.CancelledError()),
        Attempt("c", "m", started=2.0, ended=2.5, first=2.5),
    ]
    context.decision.version = "1a2b3c4d"
    context.decision.candidates = (
        CandidateVerdict("a/m"),
        CandidateVerdict("b/m"),
        CandidateVerdict("c/m"),
        CandidateVerdict("d/m", excluded=Unready("circuit_open", 3.2, "circuit open for 3.2 s")),
    )
    context.decision.hedges = 1
    return context


def test_a_request_that_went_round_says_how() -> None:
    line = json.loads(line_of(ended(went_round())))
    assert {name: line[name] for name in ("config", "attempts", "attempts_made", "excluded", "hedges")} == {
        "config": "1a2b3c4d",
        "attempts": 3,
        "attempts_made": [
            {"target": "a/m", "error": "connect_refused", "took": 0.25},
            {"target": "b/m", "error": "cancelled", "took": 1.0},
            {"target": "c/m", "took": 0.5},
        ],
        "excluded": {"d/m": "circuit open for 3.2 s"},
        "hedges": 1,
    }


def test_what_did_not_happen_is_not_told_of_a_detour() -> None:
    context = RequestContext("req_1")
    context.decision.candidates = (CandidateVerdict("a/m", excluded=Unready("capability", None, "lacks vision")),)
    line = json.loads(line_of(ended(context)))
    assert line["excluded"] == {"a/m": "lacks vision"}
    assert line.keys().isdisjoint({"config", "attempts_made", "hedges"})


def test_an_attempt_that_nobody_ended_has_no_time() -> None:
    context = RequestContext("req_1", attempts=[Attempt("a", "m", ended=1.0, started=0.5), Attempt("b", "m")])
    assert json.loads(line_of(ended(context)))["attempts_made"] == [
        {"target": "a/m", "took": 0.5},
        {"target": "b/m"},
    ]


def test_the_line_of_a_detour_has_a_bound() -> None:
    context = RequestContext("req_1", attempts=[Attempt("a", "m" * 5000) for _ in range(4)])
    context.decision.candidates = tuple(
        CandidateVerdict(f"a/{number}", excluded=Unready("capability", None, "w" * 5000)) for number in range(1000)
    )
    assert len(line_of(ended(context))) < 8000
    assert len(line_of(ended(context), readable=True)) < 8000


def test_what_is_empty_is_left_out() -> None:
    context = RequestContext("req_1", principal=Principal("key_1", ""), model="", provider="", upstream_model="")
    assert json.loads(line_of(ended(context))).keys().isdisjoint({"owner", "model", "provider", "upstream_model"})


def test_what_is_not_known_is_left_out() -> None:
    line = json.loads(line_of(ended(status=None, first_byte=None, client=None, complete=False)))
    del line["time"]
    assert line == {
        "request_id": "req_1",
        "method": "POST",
        "path": "/v1/chat/completions",
        "complete": False,
        "duration": 1.25,
        "received": 10,
        "sent": 20,
        "attempts": 0,
    }


def test_an_answer_that_is_no_stream_has_no_first_token() -> None:
    line = json.loads(line_of(ended()))
    assert line["first_byte"] == 0.5
    assert "first_token" not in line


def test_an_error_is_one_word() -> None:
    context = RequestContext("req_1", error=UpstreamUnavailable("marked", code="connect_refused"))
    assert json.loads(line_of(ended(context)))["error"] == "connect_refused"
    context = RequestContext("req_1", error=RequestRejected("marked", code="marked"))
    assert json.loads(line_of(ended(context)))["error"] == "request_rejected"


def test_what_a_client_chose_is_cut() -> None:
    context = RequestContext("req_1", model="m" * 5000, upstream_model="u" * 5000)
    line = line_of(ended(context, path="/" + "p" * 5000, method="M" * 5000))
    assert len(line) < 1200


HOSTILE = {
    "quotes": 'say "no", {"a": \'b\'}',
    "backslashes": "C:\\temp\\",
    "lines": "one\ntwo\r\nthree\u2028four\u2029",
    "surrogates": "half \udc00 and \ud800",
    "control": "".join(map(chr, range(32))),
    "terminal": "\x1b[2J\x9b31m\x7f\x08\x07",
    "letters": "путь 漢字 😀",
}


def hostile(text: str) -> RequestEnded:
    """A request that holds the text wherever a line may show it."""
    context = RequestContext(
        "req_1",
        principal=Principal(text, text),
        model=text,
        provider=text,
        upstream_model=text,
        error=UpstreamUnavailable(text, code=text),
        attempts=[Attempt(text, text, error=UpstreamUnavailable(text, code=text)) for _ in range(2)],
    )
    context.decision.version = text
    context.decision.candidates = (CandidateVerdict(text, excluded=Unready("cooling", None, text)),)
    return ended(context, path=text, method=text, client=text)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_every_line_is_one_json_object_whatever_it_tells(text: str) -> None:
    line = line_of(hostile(text))
    assert line.isascii()
    assert line.isprintable()
    told = json.loads(line)
    wanted = dict.fromkeys(
        ("error", "config", "client", "path", "model", "provider", "upstream_model", "principal", "owner"), text
    )
    assert {name: told[name] for name in wanted} == wanted
    assert told["method"] == text[:16]
    assert told["excluded"] == {text: text}
    assert told["attempts_made"] == [{"target": f"{text}/{text}", "error": text}] * 2


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_readable_line_ends_early_or_gives_orders_to_a_terminal(text: str) -> None:
    assert line_of(hostile(text), readable=True).isprintable()


def test_the_readable_line_of_a_chat() -> None:
    line = line_of(ended(chatted()), readable=True)
    assert line.split("  ")[1:] == [
        "200",
        "POST /v1/chat/completions",
        "1.250 s",
        "assistant -> local/qwen3",
        "3+4 tokens",
        "key_1",
        "req_1",
    ]


def test_the_readable_line_of_what_was_cut_off() -> None:
    context = RequestContext("req_1", model="unknown", error=UpstreamUnavailable("No.", code="dns_error"))
    line = line_of(ended(context, status=None, complete=False), readable=True)
    assert line.split("  ")[1:] == [
        "---",
        "POST /v1/chat/completions",
        "1.250 s",
        "unknown",
        "cut off",
        "dns_error",
        "req_1",
    ]


def test_the_readable_line_of_a_detour() -> None:
    line = line_of(ended(went_round()), readable=True)
    assert line.split("  ")[4:-1] == [
        "assistant -> c/m",
        "a/m connect_refused, b/m cancelled, without d/m (circuit open for 3.2 s), 1 hedged",
    ]


def test_other_events_have_no_line() -> None:
    lines: list[str] = []
    AccessLog(lines.append)(RequestStarted(RequestContext()))
    assert lines == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_is_excluded_has_no_line() -> None:
    lines: list[str] = []
    log = AccessLog(lines.append, readable=False, exclude_paths=("/health", "/docs/*"))
    for path in ("/health", "/healthy", "/docs/a", "/docs/../v1/models", "/docs"):
        log(ended(path=path))
    assert [json.loads(line)["path"] for line in lines] == ["/healthy", "/docs/../v1/models", "/docs"]
    with pytest.raises(ValueError, match="cannot be excluded"):
        AccessLog(exclude_paths=("health",))


def test_a_terminal_gets_readable_lines_and_a_file_json(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, file = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", terminal)
    AccessLog()(ended())
    assert "  POST /v1/chat/completions  " in terminal.getvalue()
    monkeypatch.setattr(sys, "stdout", file)
    AccessLog()(ended())
    assert json.loads(file.getvalue())["status"] == 200


def test_the_logging_of_the_standard_library_is_an_option(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "xrouter.access")
    AccessLog(logging.getLogger("xrouter.access").info)(ended(path="/100%s"))
    (record,) = caplog.records
    assert json.loads(record.getMessage())["path"] == "/100%s"


# The buffer


async def test_the_last_request_that_runs_writes_what_waits() -> None:
    out = io.StringIO()
    log = AccessLog(LineBuffer(out))
    log(ended(running=1))
    assert out.getvalue() == ""
    log(ended())
    assert out.getvalue().count("\n") == 2


class Writes(io.StringIO):
    """Keeps each write, and says when it was flushed."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []
        self.flushed = asyncio.Event()

    def write(self, text: str) -> int:
        self.writes.append(text)
        return len(text)

    def flush(self) -> None:
        self.flushed.set()


@virtual
async def test_lines_are_written_many_at_a_time() -> None:
    out = Writes()
    buffer = LineBuffer(out)
    buffer("one")
    buffer("two")
    await asyncio.sleep(0.09)
    assert out.writes == []
    await asyncio.sleep(0.02)
    assert out.writes == ["one\ntwo\n"]
    buffer("three")
    await asyncio.sleep(0.11)
    assert out.writes == ["one\ntwo\n", "three\n"]


async def test_a_full_buffer_is_written_at_once() -> None:
    out = Writes()
    buffer = LineBuffer(out)
    for _ in range(LIMIT - 1):
        buffer("one")
    assert out.writes == []
    buffer("two")
    assert out.writes == ["one\n" * (LIMIT - 1) + "two\n"]


def test_outside_a_loop_a_line_is_written_at_once() -> None:
    out = Writes()
    LineBuffer(out)("one")
    assert out.writes == ["one\n"]


def test_lines_of_a_loop_that_ended_early_come_with_those_of_the_next() -> None:
    out = Writes()
    buffer = LineBuffer(out)

    async def log(line: str) -> None:
        buffer(line)

    async def log_and_wait(line: str) -> None:
        out.flushed.clear()
        buffer(line)
        async with asyncio.timeout(10):
            await out.flushed.wait()

    asyncio.run(log("one"))
    asyncio.run(log_and_wait("two"))
    assert "".join(out.writes) == "one\ntwo\n"


def test_a_buffer_that_nobody_has_any_more_is_written() -> None:
    out = Writes()

    async def log() -> None:
        LineBuffer(out)("one")

    asyncio.run(log())
    gc.collect()
    assert out.writes == ["one\n"]


def test_what_waits_is_written_at_exit() -> None:
    program = (
        "import asyncio\n"
        "from xrouter_asgi.telemetry.access_log import LineBuffer\n"
        "buffer = LineBuffer()\n"
        "async def main(): buffer('the last line')\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("the last line\n", "")


def test_an_encoding_that_lacks_a_letter_loses_no_line() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    LineBuffer(out)("путь /v1")
    assert raw.getvalue() == b"???? /v1\n"


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_full_disk_loses_lines_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    LineBuffer(Full())("one")
    assert "1 lines of the access log are lost" in caplog.text
    closed = io.StringIO()
    closed.close()
    LineBuffer(closed)("one")
    assert len(caplog.records) == 2
