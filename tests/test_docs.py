"""What the pages in docs/ show is true: links lead somewhere, codes are those of the package, programs run."""

from __future__ import annotations

import argparse
import ast
import asyncio
import json
import logging
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings as django_settings  # type: ignore[import-untyped]  # Django has no types
from litestar.logging import LoggingConfig

import xrouter_asgi
from xrouter_asgi import EchoProvider, LLMRouter, errors
from xrouter_asgi.cli.main import _parser
from xrouter_asgi.cli.main import main as cli
from xrouter_asgi.errors import XRouterError
from xrouter_asgi.providers.base import Call
from xrouter_asgi.providers.presets import PRESETS
from xrouter_asgi.settings import Settings
from xrouter_asgi.standalone import build_router
from xrouter_asgi.testing.clock import Clock
from xrouter_asgi.testing.gigachat import FakeGigaChat
from xrouter_asgi.testing.openai import FakeOpenAI
from xrouter_asgi.testing.scripted import ScriptedProvider, chat
from xrouter_asgi.wire import ChatRequest

from .asgi_client import get, post
from .serving import hypercorn_here, uvicorn_here

ROOT = Path(__file__).parent.parent
PACKAGE = Path(xrouter_asgi.__file__).parent
PAGES = [ROOT / "README.md", ROOT / "README.ru.md", *sorted((ROOT / "docs").glob("*.md"))]


def text_of(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub writes them into addresses."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if "://" not in link and not (target.exists() and (not anchor or anchor in anchors(target))):
            lost.append(link)
    assert lost == []


# Codes.


def constants(node: ast.expr | None) -> Iterator[str]:
    """The texts that an expression for a code may come to."""
    match node:
        case ast.Constant(value=str() as text):
            yield text
        case ast.IfExp(body=one, orelse=other):
            yield from constants(one)
            yield from constants(other)
        case ast.JoinedStr(values=[_, ast.Constant(value=str() as suffix)]):  # validation: the type of a number
            yield from (kind + suffix for kind in ("integer", "decimal"))
        case ast.Tuple(elts=[first, *_]):
            yield from constants(first)


def codes_in(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Call(func=ast.Name(id="_invalid"), args=[_, code, _]):
            yield from constants(code)
        case ast.keyword(arg="code", value=value):
            yield from constants(value)
        case ast.Assign(targets=[ast.Name(id="code") | ast.Tuple(elts=[ast.Name(id="code"), *_])], value=value):
            yield from constants(value)
        case ast.AnnAssign(target=ast.Name(id="code"), value=value):
            yield from constants(value)
        case ast.arguments(kwonlyargs=names, kw_defaults=defaults):
            for name, default in zip(names, defaults, strict=True):
                if name.arg == "code":
                    yield from constants(default)


def test_the_table_of_errors_names_every_code_and_no_other() -> None:
    trees = [ast.parse(file.read_text("utf-8")) for file in PACKAGE.rglob("*.py")]
    raised = {code for tree in trees for node in ast.walk(tree) for code in codes_in(node)}
    rows = re.findall(r"^\| [\d–, ]+ \| (.+?) \|", (ROOT / "docs/errors.md").read_text("utf-8"), re.MULTILINE)
    told = {code for row in rows for code in re.findall(r"`(\w+)`", row)}
    assert told == raised


def family(kind: type[XRouterError]) -> Iterator[type[XRouterError]]:
    """The classes below one, each in front of those below it."""
    for below in kind.__subclasses__():
        if below.__module__.startswith(errors.__name__ + "."):
            yield below
            yield from family(below)


def test_the_table_of_classes_has_the_rows_of_the_package() -> None:
    rows = [
        f"| `{kind.__name__}` | {kind.status} | {f'`{kind.code}`' if kind.code else 'null'} | "
        + " | ".join("yes" if fact else "no" for fact in (kind.retryable, kind.trips, kind.falls_back))
        + " |"
        for kind in family(XRouterError)
    ]
    _, _, table = (ROOT / "docs/errors.md").read_text("utf-8").partition("## What follows from each")
    assert [line for line in table.splitlines() if line.startswith("| `")] == rows


def test_the_table_of_errors_has_the_status_of_each_class_in_a_row_of_its_code() -> None:
    rows = re.findall(r"^\| ([\d–, ]+) \| (.+?) \|", (ROOT / "docs/errors.md").read_text("utf-8"), re.MULTILINE)
    told = {(status, code) for row, codes in rows for status in row.split(", ") for code in codes.split(", ")}
    theirs = (errors.RequestRejected,)  # the upstream's own status and code
    of_class = {
        (str(kind.status), f"`{kind.code}`" if kind.code else "null")
        for kind in family(XRouterError)
        if kind not in theirs
    }
    assert of_class - told == set()


# Names.


def named() -> set[str]:
    """What stands in code, outside of the blocks."""
    return {code for page in PAGES for code in re.findall(r"`([^`\n]+)`", text_of(page))}


@pytest.mark.skipif(not (ROOT / ".ci").exists(), reason="there is no source tree here")
def test_every_file_that_is_named_is_there() -> None:
    files = {
        code
        for code in named()
        if re.fullmatch(r"(?:tests|docs|examples|benchmarks|xrouter_asgi|\.ci)(?:/[\w.]+)+/?", code)
    }
    assert len(files) > 20
    assert {file for file in files if not (ROOT / file).exists()} == set()


def options_of(words: list[str], parser: argparse.ArgumentParser) -> set[str]:
    """The options of the command that these words name. Raises LookupError if there is none."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) and words:
            return options_of(words[1:], action.choices[words[0]])
    return set(parser._option_string_actions)


def test_every_command_that_is_named_is_there_with_its_options() -> None:
    shown = {line.removeprefix("$ ") for page in PAGES for _, text in lines_of(page) for line in text.splitlines()}
    commands = {line.partition(" -- ")[0].split("#")[0] for line in named() | shown if re.match(r"xrouter [a-z]", line)}
    assert len(commands) > 40
    unknown = [
        command
        for command in commands
        if not {word for word in command.split() if word.startswith("--")} <= options_of(command.split()[1:], _parser())
    ]
    assert unknown == []


# Programs.


def blocks(page: str) -> dict[str, str]:
    """The programs on a page, by the title that stands behind `python`."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    return dict(re.findall(r"^```python ?(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def run(page: str, *titles: str) -> dict[str, Any]:
    """The names that some programs of a page make, one after the other."""
    names: dict[str, Any] = {"__name__": __name__}
    for title in titles:
        program = compile(blocks(page)[title], f"{page}: {title}", "exec", dont_inherit=True)
        exec(program, names)  # noqa: S102 -- the page's own
    return names


# Lines to paste.


def lines(page: str) -> list[tuple[str, str]]:
    return lines_of(ROOT / "docs" / page)


def lines_of(page: Path) -> list[tuple[str, str]]:
    """All blocks of a page: what stands behind the ticks, and the text."""
    return re.findall(r"^```(.*?)\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_first_commands_work_as_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XROUTER_KEYS_PEPPER", "p" * 32)
    shown = dict(lines("index.md"))
    commands = [line.split()[1:] for title in ("sh init", "sh keys") for line in shown[title].splitlines()]
    assert [cli(command) for command in commands if command[0] in ("init", "check", "keys")] == [0, 0, 0, 0]
    assert len(re.findall(r"^  xr_live_\w+$", capsys.readouterr().out, re.MULTILINE)) == 1


async def test_the_first_program_asks_the_gateway_whose_app_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    names = run("index.md", "app")
    program = blocks("index.md")["client"].replace('"assistant"', '"echo"')
    async with uvicorn_here(names["app"]) as url:
        served = program.replace("http://127.0.0.1:8000", f"{url}/llm")
        await asyncio.to_thread(exec, compile(served, "index.md: client", "exec"), {})
    assert capsys.readouterr().out == "Why is the sky blue?\n"


def test_the_table_of_providers_has_the_rows_of_the_package() -> None:
    rows = [
        f"| `{kind}` | {f'`{row.base_url}`' if row.base_url else 'your own'} | {f'`{row.key}`' if row.key else 'none'} "
        f"| [{row.checked}]({row.source}) |"
        for kind, row in PRESETS.items()
    ]
    page = (ROOT / "docs/providers.md").read_text("utf-8")
    assert [line for line in page.splitlines() if "](http" in line] == rows


async def test_the_recipe_of_a_default_model_answers_every_name_and_lists_the_named_ones() -> None:
    (recipe,) = [text for title, text in lines("gigachat.md") if title == "toml"]
    async with FakeGigaChat() as fake:
        document = tomllib.loads(recipe)
        document["providers"]["gigachat"] |= {"base_url": fake.base_url, "auth_url": fake.auth_url}
        router = build_router(Settings.parse(document, environment={"GIGACHAT_CREDENTIALS": fake.key}))
        async with router.lifespan():
            for model in ("gpt-4o", "GigaChat-2-Pro"):
                assert (await post(router, "/v1/chat/completions", chat(model))).status == 200
            listed = [model["id"] for model in (await get(router, "/v1/models")).json["data"]]
    asked = [json.loads(request.body)["model"] for request in fake.asked("/chat/completions")]
    assert asked == ["GigaChat-2-Max", "GigaChat-2-Pro"]
    assert {"GigaChat-2", "GigaChat-2-Max", "Embeddings"} <= set(listed)


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the echoing providers that were closed."""
    names: list[str] = []

    async def note(provider: EchoProvider) -> None:
        names.append(provider.name)

    monkeypatch.setattr(EchoProvider, "aclose", note)
    return names


@pytest.mark.parametrize("host", ["starlette", "fastapi", "litestar", "blacksheep", "quart", "django"])
async def test_every_host_serves_the_router_and_closes_it(
    host: str, closed: list[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "site.settings")
    monkeypatch.setenv("APP_DEFAULT_ROUTER", "0")  # BlackSheep's applications in one process would share one
    # Litestar's own logging would take the root logger over, for all tests to come and with caplog's handler gone.
    monkeypatch.setattr(LoggingConfig, "configure", lambda config: logging.getLogger)
    if not django_settings.configured:
        django_settings.configure(
            ROOT_URLCONF="tests.mounting.hosts", ALLOWED_HOSTS=["*"], SECRET_KEY="test", LOGGING_CONFIG=None
        )
    app = run("embedding.md", "router", host)["app"]
    serving = hypercorn_here(app) if host == "quart" else uvicorn_here(app)
    async with serving as url, httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{url}/llm/v1/chat/completions", json=chat("echo"))
        assert answer.json()["choices"][0]["message"]["content"] == "hi"
        assert closed == []
    assert closed == ["echo"]
    assert "lifespan=" not in caplog.text


async def test_a_program_asks_its_own_gateway_without_a_socket(capsys: pytest.CaptureFixture[str]) -> None:
    names = run("embedding.md", "router", "in_process", "chat")
    async with names["router"].lifespan(), names["client"]:
        assert await names["summary"]("hello there") == "hello there"
        await names["shout"]("hello there")
    assert [line for line in capsys.readouterr().out.splitlines() if "request_id" not in line] == [
        "HELLO THERE",
        "hello there",
    ]


async def test_a_dependency_of_the_app_decides_who_comes_in() -> None:
    app = run("embedding.md", "router", "depends")["app"]
    async with uvicorn_here(app) as url, httpx.AsyncClient(base_url=f"{url}/llm", trust_env=False) as client:
        for headers, status in (({}, 401), ({"x-user": "ann"}, 200)):
            answer = await client.post("/v1/chat/completions", json=chat("echo"), headers=headers)
            assert answer.status_code == status


def test_what_the_page_about_tests_shows_passes_as_a_user_runs_it(tmp_path: Path) -> None:
    for title in ("scripted", "upstreams", "clocks", "contracts", "stores"):
        (tmp_path / f"test_{title}.py").write_text(blocks("testing.md")[title], "utf-8")
    options = ["-q", "-W", "error", "-p", "pytest_asyncio.plugin", "-p", "no:cacheprovider"]
    options += ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # no more than pytest and pytest-asyncio
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert re.search(r"^\d\d passed in", done.stdout, re.MULTILINE), done.stdout


async def test_a_middleware_limits_an_app_without_models() -> None:
    app = run("embedding.md", "alone")["app"]
    assert [(await get(app, "/report")).status for _ in range(3)] == [200, 200, 429]


async def test_two_routers_close_what_they_share_at_the_end(closed: list[str]) -> None:
    app = run("embedding.md", "router", "lifespan")["app"]
    async with uvicorn_here(app) as url, httpx.AsyncClient(trust_env=False) as client:
        for mount, models in (("llm", ["echo"]), ("internal/llm", ["echo", "draft"])):
            listed = (await client.get(f"{url}/{mount}/v1/models")).json()
            assert [model["id"] for model in listed["data"]] == models
        assert closed == []
    assert len(closed) == 3


async def test_names_and_patterns_lead_to_the_models_of_the_upstream(monkeypatch: pytest.MonkeyPatch) -> None:
    names = run("embedding.md", "router", "names")
    router: LLMRouter = names["router"]
    scripted = ScriptedProvider()
    monkeypatch.setattr(names["local"], "send", scripted.send)
    async with router.lifespan():
        for model in ("assistant", "local-phi4"):
            assert (await post(router, "/v1/chat/completions", chat(model))).status == 200
    assert [call.model for call in scripted.calls] == ["qwen3:8b", "phi4"]


async def test_a_provider_answers_without_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeOpenAI() as fake:
        monkeypatch.setenv("LOCAL_URL", fake.base_url)
        assert await run("embedding.md", "script")["ask"]("Why?") == "Why?"


async def test_a_provider_takes_another_transport() -> None:
    request = ChatRequest.of(chat("any"))
    reply = await run("embedding.md", "mock")["provider"].send(Call(request))
    assert reply.body.value["choices"][0]["message"]["content"] == "Hello."
    for title in ("proxy", "transport"):
        await run("embedding.md", title)["provider"].aclose()


async def test_a_wrapper_is_a_provider() -> None:
    router = run("embedding.md", "router", "wrapper")["router"]
    async with router.lifespan():
        answer = await post(router, "/v1/chat/completions", chat("echo"))
    assert answer.header("x-xrouter-warnings") == "beta"


async def test_a_strategy_ranks_upstreams_and_an_observer_hears_which_one_answered() -> None:
    names = run("embedding.md", "router", "strategy", "observer")
    async with names["router"].lifespan():
        asked = await post(names["app"], "/v1/chat/completions", chat("echo"), headers=[(b"x-xrouter-explain", b"1")])
    told = json.loads(asked.header("x-xrouter-explain") or "")
    assert (told["strategy"], [each["target"] for each in told["candidates"]]) == (
        "least_loaded",
        ["east/echo", "west/echo"],
    )
    assert names["answered"] == ["east/echo"]


async def test_an_observer_of_requests_hears_of_their_ends() -> None:
    names = run("embedding.md", "router", "request_observer")
    async with names["router"].lifespan():
        await post(names["app"], "/v1/chat/completions", chat("echo"))
    assert names["count"].served == 1


async def test_the_middleware_tells_of_slow_requests_only(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = run("developing.md", "middleware")
    clock = Clock()
    monkeypatch.setattr(names["time"], "monotonic", clock)

    class Slow(EchoProvider):
        async def send(self, call: Call, /) -> Any:
            clock.advance(61)
            return await super().send(call)

    router = LLMRouter({"echo": Slow()})
    app = names["SlowRequestMiddleware"](router)
    async with router.lifespan():
        assert (await get(app, "/health")).status == 200
        assert caplog.messages == []
        assert (await post(app, "/v1/chat/completions", chat("echo"))).status == 200
    assert caplog.messages == ["echo took 61.0 s at echo"]


def test_the_contract_that_is_shown_is_one_that_is_run() -> None:
    shown = ast.parse(blocks("developing.md")["contract"]).body
    tests = ast.parse((ROOT / "tests/providers/test_contract.py").read_text("utf-8")).body
    assert [ast.dump(node) for node in shown] == [ast.dump(node) for node in tests if _is_class(node, "TestEcho")]


def _is_class(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.ClassDef) and node.name == name


async def test_the_router_of_the_page_about_responses_keeps_them_where_it_says() -> None:
    names = run("responses.md", "responses", "kept")
    answer = await post(names["router"], "/v1/responses", {"model": "echo", "input": "hi"})
    assert answer.status == 200
    assert await names["store"].find("", [answer.json["id"]])


async def test_the_app_of_the_page_about_money_keeps_a_budget() -> None:
    names = run("money.md", "budget")
    async with names["router"].lifespan():
        answer = await post(names["app"], "/v1/chat/completions", chat("assistant"))
    assert (answer.status, answer.header("x-xrouter-budget-limit")) == (200, "20 USD")
    assert answer.header("x-xrouter-cost") == "0.00000075 USD"


def test_the_settings_of_the_page_about_money_can_be_read() -> None:
    document = tomllib.loads("\n".join(text for kind, text in lines("money.md") if kind == "toml"))
    providers = {name: {"kind": "echo"} for name in ("openai", "gemini", "local", "gigachat", "yandex", "cloudru")}
    settings = Settings.parse(
        {**document, "providers": providers, "models": {"m": {"targets": ["openai/gpt-4o-mini"]}}}
    )
    assert [table.target for table in settings.prices if not settings.price_list().knows(table.target)] == []
