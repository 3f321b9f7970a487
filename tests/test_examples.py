"""Each example is run the way its first lines say, and answers over a real socket."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import openai
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from xrouter_asgi.testing.http import FakeExchange, FakeServer
from xrouter_asgi.testing.openai import FakeOpenAI

EXAMPLES = Path(__file__).parent.parent / "examples"


@asynccontextmanager
async def served(example: str, *options: str, out: list[str] | None = None) -> AsyncIterator[str]:
    """The example under uvicorn, started as its docstring says but for the port; gives the base URL.

    What it wrote to its standard output stands in `out` at the end, line by line.
    """
    assert f"uvicorn --app-dir examples {example}:app" in (EXAMPLES / f"{example}.py").read_text("utf-8")
    command = (sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), f"{example}:app", "--port", "0", *options)
    process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL if out is None else PIPE, stderr=PIPE)
    assert process.stderr is not None
    said = ""
    try:
        while not (found := re.search(r"running on (http://\S+)", said)):
            line = await process.stderr.readline()
            assert line, said
            said += line.decode()
        yield found[1]
    finally:
        process.terminate()
        written, rest = await process.communicate()
        if out is not None:
            out += written.decode().splitlines()
    # uvicorn tells of every exception, and the router of a missing lifespan.
    assert "Traceback" not in said + rest.decode()
    assert "lifespan=" not in said + rest.decode()


async def said_by(url: str, model: str, text: str) -> str:
    """What the model answers in a stream."""
    async with openai.AsyncOpenAI(base_url=url, api_key="any") as client:
        stream = await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": text}], stream=True
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


async def models_of(url: str) -> list[str]:
    async with openai.AsyncOpenAI(base_url=url, api_key="any") as client:
        return [model.id async for model in client.models.list()]


async def test_mount_fastapi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIGACHAT_CREDENTIALS", "YTpi")
    async with served("mount_fastapi") as url:
        assert await models_of(f"{url}/llm/v1") == ["GigaChat-2-Pro", "echo"]
        assert await said_by(f"{url}/llm/v1", "echo", "hello there") == "hello there"


async def test_mount_starlette(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeOpenAI() as fake:
        monkeypatch.setenv("LOCAL_URL", fake.base_url)
        async with served("mount_starlette") as url:
            assert await said_by(f"{url}/llm", "local-qwen3", "hello there") == "hello there"
        assert fake.last["model"] == "qwen3"


async def test_mount_litestar() -> None:
    async with served("mount_litestar") as url:
        assert await said_by(f"{url}/llm/v1", "echo", "hello there") == "hello there"


async def test_own_provider() -> None:
    async with served("own_provider") as url:
        assert await said_by(f"{url}/v1", "parrot", "hello") == "hello! hello! "
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any") as client:
            answer = await client.chat.completions.create(
                model="parrot", messages=[{"role": "user", "content": "hello"}]
            )
            assert answer.choices[0].message.content == "hello! hello! "
            with pytest.raises(openai.BadRequestError, match="A parrot can only chat"):
                await client.embeddings.create(model="parrot", input="hello")


async def test_keys_on_starlette(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "a-secret-of-the-test")
    async with served("keys_on_starlette") as url, httpx.AsyncClient(base_url=url) as client:
        answer = await client.get("/")
        assert (answer.status_code, answer.text.startswith("You did not provide an API key.")) == (401, True)
        assert (await client.get("/health")).text == "ok\n"
        assert (await client.get("/", headers={"x-api-key": "a-secret-of-the-test"})).text == "Hello, alice.\n"


async def test_users_on_fastapi() -> None:
    async with served("users_on_fastapi") as url, httpx.AsyncClient(base_url=f"{url}/llm") as client:
        assert (await client.get("/v1/models")).status_code == 401
        answer = await client.get("/v1/models", headers={"x-session": "1234"})
        assert [model["id"] for model in answer.json()["data"]] == ["echo"]


async def test_keys_on_litestar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "any")
    async with served("keys_on_litestar") as url, httpx.AsyncClient(base_url=url) as client:
        for path in ("/", "/llm/v1/models"):
            assert (await client.get(path)).status_code == 401, path
        assert (await client.get("/", headers={"x-api-key": "any"})).text == "Hello, alice.\n"
        assert await said_by(f"{url}/llm/v1", "echo", "hello there") == "hello there"


async def test_own_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeOpenAI(api_key="mine") as fake:
        monkeypatch.setenv("LOCAL_URL", fake.base_url)
        async with served("own_keys") as url:
            with pytest.raises(openai.AuthenticationError, match="x-provider-key"):
                await said_by(f"{url}/v1", "chat", "hello")
            headers = {"x-provider-key": "mine"}
            async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", default_headers=headers) as client:
                answer = await client.chat.completions.create(
                    model="chat", messages=[{"role": "user", "content": "hello"}]
                )
                assert answer.choices[0].message.content == "hello"


async def test_guard_identifiers(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeOpenAI() as fake:
        monkeypatch.setenv("LOCAL_URL", fake.base_url)
        async with served("guard_identifiers") as url:
            text = "ИНН 7707083893 и 500100732259, СНИЛС 112-233-445 95, паспорт 45 06 123456, заказ 7707083894."
            said = await said_by(f"{url}/v1", "any", text)
        assert said == "ИНН [INN] и [INN], СНИЛС [SNILS], паспорт [PASSPORT], заказ 7707083894."
        assert fake.last["messages"][0]["content"] == said


PRESIDIO = {
    "presidio_analyzer": """
import re, types
class AnalyzerEngine:
    def analyze(self, *, text, language):
        kinds = {"CREDIT_CARD": "4111", "PERSON": "Ann"}
        return [types.SimpleNamespace(entity_type=kind, said=said) for kind, said in kinds.items() if said in text]
""",
    "presidio_anonymizer": """
import types
class AnonymizerEngine:
    def anonymize(self, *, text, analyzer_results):
        for each in analyzer_results:
            text = text.replace(each.said, f"<{each.entity_type}>")
        return types.SimpleNamespace(text=text)
""",
}
"""What the example uses of Presidio, whose models are too large for a test."""


async def test_guard_presidio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, code in PRESIDIO.items():
        (tmp_path / f"{module}.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    async with FakeOpenAI() as fake:
        monkeypatch.setenv("LOCAL_URL", fake.base_url)
        async with served("guard_presidio") as url:
            assert await said_by(f"{url}/v1", "any", "I am Ann.") == "I am <PERSON>."
            with pytest.raises(openai.BadRequestError, match="payment card") as refused:
                await said_by(f"{url}/v1", "any", "It is 4111.")
            assert refused.value.code == "content_refused"


async def test_tracing_on_starlette(monkeypatch: pytest.MonkeyPatch) -> None:
    exported = []

    async def collect(exchange: FakeExchange) -> None:
        exported.append(exchange.path)
        await exchange.answer(200)

    async with FakeServer(collect) as collector:
        monkeypatch.setenv("OTLP_URL", collector.url)
        async with served("tracing_on_starlette") as url, httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(url, headers={"x-request-id": "mine-1"})
            assert answer.text == "Hello.\n"
            assert answer.headers["x-request-id"] == "mine-1"
            assert (await client.get(f"{url}/nowhere")).headers["x-request-id"].startswith("req_")
    assert exported == ["/v1/traces"]


async def test_users_by_depends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spans: list[Span] = []

    async def collect(exchange: FakeExchange) -> None:
        body = gzip.decompress(exchange.body) if exchange.headers.get("content-encoding") == "gzip" else exchange.body
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            spans.extend(span for scope in resource.scope_spans for span in scope.spans)
        await exchange.answer(200)

    monkeypatch.setenv("LEDGER_URL", f"sqlite:///{tmp_path}/usage.db")
    async with FakeServer(collect) as collector:
        monkeypatch.setenv("OTLP_URL", collector.url)
        async with (
            served("users_by_depends") as url,
            httpx.AsyncClient(base_url=f"{url}/llm", trust_env=False) as client,
        ):
            body = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}
            assert (await client.post("/v1/chat/completions", json=body)).json() == {"detail": "Log in first."}
            for session, statuses in (("1234", [200, 200, 200]), ("5678", [200, 200, 429])):
                headers = {"x-session": session}
                answers = [await client.post("/v1/chat/completions", json=body, headers=headers) for _ in statuses]
                assert [answer.status_code for answer in answers] == statuses
            for _ in range(50):  # it is written within a second
                used = (await client.get("/v1/usage", headers={"x-session": "1234"})).json()
                if used["requests"] == 3:
                    break
                await asyncio.sleep(0.2)
    assert (used["cost"], used["input_tokens"], used["output_tokens"]) == ("0.00000225", 3, 3)
    assert used["budgets"][0]["limit"] == "5 USD per calendar day"
    of_the_app = {span.span_id: span for span in spans if span.kind == Span.SPAN_KIND_SERVER}
    calls = [span for span in spans if span.name == "chat echo" and span.kind == Span.SPAN_KIND_CLIENT]
    assert len(calls) == 5
    for call in calls:
        told = {pair.key: pair.value for pair in of_the_app[call.parent_span_id].attributes}
        assert told["xrouter.principal.id"].string_value in ("alice", "bob")
        assert told["xrouter.attempts"].int_value == 1


def test_an_app_s_users_need_less_than_20_lines() -> None:
    _, _, ours = (EXAMPLES / "users_by_depends.py").read_text("utf-8").partition("# What models take.\n")
    assert 0 < sum(1 for line in ours.splitlines() if line) < 20


async def test_access_log_on_fastapi() -> None:
    lines: list[str] = []
    serving = served("access_log_on_fastapi", "--no-access-log", out=lines)
    async with serving as url, httpx.AsyncClient(trust_env=False) as client:
        await client.get(f"{url}/?secret=marked")
        assert await said_by(f"{url}/llm/v1", "echo", "hello there") == "hello there"
    own, chat = map(json.loads, lines)
    assert (own["path"], own["status"], own["sent"]) == ("/", 200, len(b'{"models":"/llm/v1/models"}'))
    assert (chat["model"], chat["provider"], chat["complete"]) == ("echo", "echo", True)
    assert "marked" not in lines[0]


async def test_metrics_on_litestar() -> None:
    async with served("metrics_on_litestar") as url, httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(url)).text == "Hello.\n"
        assert await said_by(f"{url}/llm/v1", "echo", "hello there") == "hello there"
        shown = (await client.get(f"{url}/metrics")).text
    requests = [line for line in shown.splitlines() if line.startswith("xrouter_requests_total")]
    assert len(requests) == 2
    assert 'xrouter_endpoint="chat"' in requests[1]
    assert 'gen_ai_request_model="echo"' in requests[1]


async def test_limits_on_fastapi() -> None:
    async with served("limits_on_fastapi") as url, httpx.AsyncClient(trust_env=False) as client:
        assert await said_by(f"{url}/llm/v1", "echo", "hello there") == "hello there"
        shown = (await client.get(f"{url}/llm/v1/models")).headers
        assert (shown["x-ratelimit-limit-requests"], shown["x-ratelimit-remaining-requests"]) == ("60", "58")
        with pytest.raises(openai.BadRequestError, match="the limit is 200 tokens per 1 minute"):
            await said_by(f"{url}/llm/v1", "echo-small", "hello " * 100)
        assert "x-ratelimit-limit-requests" not in (await client.get(f"{url}/health")).headers


async def test_limits_on_starlette() -> None:
    async with served("limits_on_starlette") as url, httpx.AsyncClient(trust_env=False) as client:
        assert [(await client.get(f"{url}/one")).status_code for _ in range(4)] == [200, 200, 200, 429]
        answer = await client.get(f"{url}/two")
        assert (answer.text, answer.headers["ratelimit"]) == ("Hello, two.\n", '"3 per 1 minute per key";r=2;t=61')


async def test_limits_on_litestar() -> None:
    async with served("limits_on_litestar") as url, httpx.AsyncClient(trust_env=False) as client:
        answers = [await client.get(url) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[3].json()["error"]["code"] == "rate_limit_exceeded"


async def test_script_without_server(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeOpenAI() as fake:
        monkeypatch.setenv("LOCAL_URL", fake.base_url)
        script = str(EXAMPLES / "script_without_server.py")
        process = await asyncio.create_subprocess_exec(
            sys.executable, script, "qwen3", "Why is the sky blue?", stdout=PIPE, stderr=PIPE
        )
        out, errors = await process.communicate()
    assert errors == b""
    assert out == b"Why is the sky blue?\n"
    assert fake.last["model"] == "qwen3"


def test_the_settings_are_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIGACHAT_CREDENTIALS", "YTpi")
    program = Path(sys.executable).with_name("xrouter")
    done = subprocess.run(
        [program, "check", "--config", EXAMPLES / "xrouter.toml"], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.split("\n\n")[1].splitlines() == [
        "model      target",
        "assistant  gigachat/GigaChat-2-Pro",
        "local-*    local/*",
    ]
