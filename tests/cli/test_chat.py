"""`xrouter chat`, at a gateway on a socket and in this process."""

from __future__ import annotations

import asyncio
import io
import re
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from tests.serving import uvicorn_here
from xrouter_asgi import EchoProvider
from xrouter_asgi.cli.main import main
from xrouter_asgi.keys import Issuer, KeySpec, MemoryKeyStore
from xrouter_asgi.middleware import APIKeyMiddleware
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.testing.openai import FakeOpenAI, raw, refuse, stream, whole
from xrouter_asgi.testing.openai_answers import chunk

ECHO = 'providers.here.kind = "echo"\n'
FACTS = re.compile(r"\[echo from .*here/echo, \d+ \+ \d+ tokens, first token \d\.\d\d s, \d\.\d\d s\]\n")


def configure(text: str) -> None:
    Path("xrouter.toml").write_text(text)


@pytest.fixture(autouse=True)
def nobody_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XROUTER_API_KEY", raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    configure(ECHO)


@pytest.fixture
async def gateway() -> AsyncIterator[str]:
    async with uvicorn_here(LLMRouter({"echo": EchoProvider(name="here")})) as url:
        yield url


async def chat(*arguments: str) -> int:
    """`xrouter chat` in another thread, because it has a loop of its own."""
    return await asyncio.to_thread(main, ["chat", *arguments])


def sit(monkeypatch: pytest.MonkeyPatch, *lines: str | BaseException) -> None:
    """Sit at the terminal and write these lines, then end the conversation."""
    left = [*lines, EOFError()]

    def write(prompt: str) -> str:
        line = left.pop(0)
        if isinstance(line, BaseException):
            raise line
        return line

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", write)


async def test_a_question_is_answered_by_a_running_gateway(gateway: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert await chat("--url", f"{gateway}/v1", "Hello", "there") == 0
    said, facts = capsys.readouterr()
    assert said == "Hello there\n"
    assert FACTS.fullmatch(facts), facts


def test_it_is_answered_in_this_process_with_no_gateway(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "--config", "xrouter.toml", "Hello there"]) == 0
    said, facts = capsys.readouterr()
    assert said == "Hello there\n"
    assert FACTS.fullmatch(facts), facts


def test_the_settings_that_serve_would_read_are_enough(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("From a pipe\n"))
    assert main(["chat", "--in-process", "--model", "echo"]) == 0
    assert capsys.readouterr().out == "From a pipe\n"


def test_a_named_model_comes_before_what_a_pattern_stands_for(capsys: pytest.CaptureFixture[str]) -> None:
    configure(f'{ECHO}models."*".targets = ["here/*"]\nmodels.mine.targets = ["here/echo"]\n')
    assert main(["chat", "--in-process", "Hi"]) == 0
    assert capsys.readouterr().err.startswith("[mine from here/echo, ")


def test_a_conversation_is_kept_and_a_failed_question_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    async def note(provider: EchoProvider, call: object) -> object:
        asked.append([message["content"] for message in call.document.value["messages"]])  # type: ignore[attr-defined]
        if len(asked) == 2:
            raise KeyboardInterrupt
        return await send(provider, call)  # type: ignore[arg-type]

    send = EchoProvider.send
    monkeypatch.setattr(EchoProvider, "send", note)
    sit(monkeypatch, "one", "", "two", "three")
    assert main(["chat", "--in-process", "--system", "Be brief."]) == 0
    assert asked == [["Be brief.", "one"], ["Be brief.", "one", "one", "two"], ["Be brief.", "one", "one", "three"]]
    assert capsys.readouterr().err.startswith("You talk to echo. Ctrl+C breaks an answer off, Ctrl+D ends.\n")


async def test_an_error_ends_no_conversation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with FakeOpenAI() as fake:
        fake.next(whole({"object": "list", "data": [{"id": "m"}]}), refuse(400, "Not this."))
        sit(monkeypatch, "one", "two")
        assert await chat("--url", fake.base_url) == 0
    said, told = capsys.readouterr()
    assert "The gateway says: Not this.\n" in told
    assert said == "two\n\n"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (refuse(500, "Sorry."), "The gateway says: Sorry.\n"),
        (whole(b"<html>", status=404), "What is there is no gateway: it answers with status 404.\n"),
        (stream(chunk({"content": "a"}), {"error": {"message": "Gone."}}), "The answer broke off: Gone.\n"),
        (raw(then="reset"), "The connection to the gateway broke: "),
    ],
)
async def test_what_goes_wrong_is_told(answer: object, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with FakeOpenAI() as fake:
        fake.next(whole({"object": "list", "data": [{"id": "m"}]}), answer)  # type: ignore[arg-type]
        assert await chat("--url", fake.base_url, "Hi") == 1
    assert capsys.readouterr().err.startswith(told)


def test_where_no_gateway_runs_both_ways_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "--url", "http://127.0.0.1:9", "Hi"]) == 1
    assert capsys.readouterr().err == (
        "There is no gateway at http://127.0.0.1:9. Start one with: xrouter serve\n"
        "To ask without a gateway: xrouter chat --in-process\n"
    )


async def test_the_key_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = MemoryKeyStore()
    issued = await Issuer(store, by="test").create(KeySpec())
    router = LLMRouter({"echo": EchoProvider()})
    async with uvicorn_here(APIKeyMiddleware(router, store=store)) as url:
        assert await chat("--url", url, "Hi") == 1
        assert "wants a key. Set XROUTER_API_KEY to one" in capsys.readouterr().err
        monkeypatch.setenv("XROUTER_API_KEY", "another")
        assert await chat("--url", url, "Hi") == 1
        assert "does not know the key in XROUTER_API_KEY. Make one with: xrouter keys" in capsys.readouterr().err
        monkeypatch.setenv("XROUTER_API_KEY", issued.secret)
        assert await chat("--url", url, "Hi") == 0


async def test_a_gateway_whose_certificate_is_not_trusted_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    assert await chat("--url", url, "Hi") == 1
    assert f"The certificate of the gateway at {url} is not trusted here. Set SSL_CERT_FILE" in capsys.readouterr().err
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert await chat("--url", url, "Hi") == 1
    assert f"There is no gateway at {url}." in capsys.readouterr().err
    server.close()
    await server.wait_closed()


def test_a_model_that_nobody_serves_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    configure(f'{ECHO}models.mine.targets = ["here/echo"]\n')
    assert main(["chat", "--in-process", "--model", "other", "Hi"]) == 1
    assert capsys.readouterr().err == "The settings serve no model 'other'. Known: mine.\n"


async def test_an_upstream_that_lists_nothing_or_fails_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    async with FakeOpenAI() as fake:
        configure(f'providers.up = {{ kind = "openai", base_url = "{fake.base_url}" }}')
        fake.next(whole({"object": "list", "data": []}), refuse(401, "Who?"))
        assert await chat("--in-process", "Hi") == 1
        assert capsys.readouterr().err == "The upstream lists no model. Name one with --model.\n"
        assert await chat("--in-process", "Hi") == 1
        assert "Who?" in capsys.readouterr().err
        fake.next(refuse(401, "Who are you?"))
        assert await chat("--in-process", "--model", "m", "Hi") == 1
        assert "Who are you?" in capsys.readouterr().err


def test_without_a_question_there_is_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "--in-process"]) == 1
    assert capsys.readouterr().err.startswith("There is no question.")
