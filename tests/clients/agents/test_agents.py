"""Claude Code, Codex and OpenCode do a piece of work through a gateway. Run `tox -e agents`."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from xrouter_asgi.testing.anthropic.rules import sign
from xrouter_asgi.testing.http import FakeExchange

from .claude import THOUGHT, wire
from .model import SAYS, WORD, Model, Step, results_in
from .workplace import ROUTES, Workplace, workplace

TASK = "Copy the word in note.txt to copy.txt, then say which word it is."
GUIDE = Path(__file__).parents[3] / "docs/agents.md"
PATCH = "*** Begin Patch\n*** Add File: copy.txt\n+{word}\n*** End Patch\n"


@dataclass(frozen=True)
class Agent:
    """How an agent is started, and its tools.

    Attributes:
        model: A name that it knows, if its tools depend on that.
        command: With its name first.
        env: Keeps it from asking other hosts.
        plan: From the working directory to the steps that copy the word.
    """

    model: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    plan: Callable[[Path], tuple[Step, ...]]


CLAUDE = Agent(
    "claude-gigachat",
    ("claude", "-p", TASK, "--output-format", "json", "--allowedTools", "Read", "Write"),
    {},
    lambda folder: (
        Step("Read", {"file_path": f"{folder}/note.txt"}),
        Step("Write", {"file_path": f"{folder}/copy.txt", "content": "{word}\n"}),
    ),
)
CODEX = Agent(
    "gpt-5.5",
    (
        *("codex", "-c", "analytics.enabled=false", "-c", "features.plugins=false"),
        *("-c", "check_for_update_on_startup=false"),
        *("exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--json", TASK),
    ),
    {},
    lambda folder: (Step("exec_command", {"cmd": "cat note.txt"}), Step("apply_patch", {"input": PATCH})),
)
OPEN_CODE = Agent(
    "assistant",
    ("opencode", "run", TASK),
    {"OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1"},
    lambda folder: (
        Step("read", {"filePath": f"{folder}/note.txt"}),
        Step("write", {"filePath": f"{folder}/copy.txt", "content": "{word}\n"}),
    ),
)
AGENTS = {"claude": CLAUDE, "codex": CODEX, "opencode": OPEN_CODE}
each_agent = pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS)


def did_the_work(place: Workplace, model: Model, said: str, results: Sequence[int] = (0, 1, 2)) -> None:
    assert (place.folder / "copy.txt").read_text() == f"{WORD}\n"
    assert SAYS in said
    assert told_in(model) == [*results]


def told_in(model: Model) -> list[int]:
    """How many results each request of the main loop came with."""
    return [len(results_in(request)) for request in model.requests]


@each_agent
@pytest.mark.parametrize("route", ROUTES)
async def test_an_agent_runs_two_tools_and_says_what_they_told(agent: Agent, route: str, tmp_path: Path) -> None:
    model = Model(agent.plan(tmp_path / "work"))
    async with workplace(tmp_path, model, route) as place:
        said = await place.agent(agent.model, *agent.command, env=agent.env)
    did_the_work(place, model, said)


@each_agent
async def test_an_agent_asks_again_after_a_broken_stream(agent: Agent, tmp_path: Path) -> None:
    model = Model(agent.plan(tmp_path / "work"), broken=1)
    async with workplace(tmp_path, model, "openai") as place:
        said = await place.agent(agent.model, *agent.command, env=agent.env)
    did_the_work(place, model, said, [0, 0, 1, 2])
    # Claude Code wants a whole answer then.
    assert bool(model.requests[1].get("stream")) is (agent is not CLAUDE)


@each_agent
async def test_an_agent_works_with_the_lines_of_the_guide(agent: Agent, tmp_path: Path) -> None:
    model = Model(agent.plan(tmp_path / "work"))
    async with workplace(tmp_path, model, "gigachat") as place:
        page = GUIDE.read_text("utf-8").replace("http://127.0.0.1:8000", place.gateway.url)
        shown = dict(re.findall(r"^```(.+?)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
        (tmp_path / "home/.codex").mkdir()
        (tmp_path / "home/.codex/config.toml").write_text(shown["toml codex"])
        (place.folder / "opencode.json").write_text(shown["json opencode"])
        setting = "".join(f"{line}\n" for line in shown["sh claude"].splitlines() if line.startswith("export "))
        script = f"{setting}export XROUTER_API_KEY=anything\n{shlex.join(agent.command)}"
        said = await place.run("sh", "-c", script, env=agent.env)
    assert SAYS in said


async def test_codex_finds_its_tools_in_a_namespace_again(tmp_path: Path) -> None:
    wait = Step("multi_agent_v1__wait_agent", {"targets": ["nobody"]})
    model = Model((Step("exec_command", {"cmd": "cat note.txt"}), wait))
    async with workplace(tmp_path, model, "gigachat") as place:
        said = await place.agent("assistant", *CODEX.command, env=CODEX.env)
    assert SAYS in said
    told = results_in(model.requests[-1])[1]
    assert "nobody" in told
    assert "unsupported call" not in told


@pytest.mark.parametrize("package", ["@ai-sdk/openai", "@ai-sdk/anthropic"])
async def test_opencode_speaks_the_other_dialects(package: str, tmp_path: Path) -> None:
    model = Model(OPEN_CODE.plan(tmp_path / "work"))
    async with workplace(tmp_path, model, "gigachat") as place:
        options = {"baseURL": f"{place.gateway.url}/v1", "apiKey": "anything"}
        provider = {"npm": package, "options": options, "models": {"assistant": {}}}
        names = dict.fromkeys(("model", "small_model"), "xrouter/assistant")
        config = json.dumps({"provider": {"xrouter": provider}, **names})
        said = await place.run(*OPEN_CODE.command, env={**OPEN_CODE.env, "OPENCODE_CONFIG_CONTENT": config})
    did_the_work(place, model, said)
    endpoint = {"@ai-sdk/openai": "responses", "@ai-sdk/anthropic": "messages"}[package]
    assert {line["endpoint"] for line in place.gateway.lines} == {endpoint}


async def test_codex_compacts_by_a_request_without_tools(tmp_path: Path) -> None:
    model = Model(CODEX.plan(tmp_path / "work"))
    async with workplace(tmp_path, model, "gigachat") as place:
        command = (*CODEX.command[:-1], "-c", "model_auto_compact_token_limit=10", TASK)
        said = await place.agent(CODEX.model, *command, env=CODEX.env)
    assert SAYS in said
    assert model.asides
    assert told_in(model) == [0, 0]


async def test_claude_code_compacts_a_conversation_that_is_too_long(tmp_path: Path) -> None:
    model = Model(CLAUDE.plan(tmp_path / "work"), full=1)
    async with workplace(tmp_path, model, "openai") as place:
        said = await place.agent(CLAUDE.model, *CLAUDE.command, env=CLAUDE.env)
    assert SAYS in said
    assert told_in(model) == [0, 1, 0]


async def test_claude_code_is_told_how_much_the_model_can_hold(tmp_path: Path) -> None:
    model = Model(CLAUDE.plan(tmp_path / "work"))
    async with workplace(tmp_path, model, "openai") as place:
        said = await place.agent("small", *CLAUDE.command, env=CLAUDE.env)
    assert json.loads(said)["modelUsage"]["small"]["contextWindow"] == 100_000


async def test_claude_code_speaks_to_claude_and_to_gigachat_while_claude_is_away(tmp_path: Path) -> None:
    """Claude gets what Claude Code wrote byte for byte: `cache_control`, `anthropic-beta`, signatures."""
    model = Model(CLAUDE.plan(tmp_path / "work"))
    async with workplace(tmp_path, model, "claude") as place, wire(place.gateway.url) as between:
        said = await place.agent("claude-opus-4-8", *CLAUDE.command, env=CLAUDE.env, url=between.url)
    did_the_work(place, model, said, [1])
    written = [said_by(asked) for asked in between.asked]
    passed = [exchange for exchange in place.claude.requests if exchange.path == "/v1/messages"]
    assert [exchange for exchange in passed if said_by(exchange) not in written] == []
    assert all("anthropic-beta" in exchange.headers for exchange in passed)
    last = passed[-1].body.decode()
    assert '"cache_control"' in last
    assert f'"signature":"{sign(THOUGHT)}"' in last
    answered = [line["provider"] for line in place.gateway.lines if line.get("provider")]
    assert answered.count("gigachat") == 1
    assert answered[-1] == "claude"


def said_by(asked: FakeExchange) -> tuple[bytes, str | None, str | None]:
    """All that an agent wrote."""
    return (asked.body, asked.headers.get("anthropic-beta"), asked.headers.get("anthropic-version"))
