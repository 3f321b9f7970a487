"""`xrouter run`: start a coding agent that talks to a running gateway."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import httpx

from .base import Commands, add_command, fail, say

KEY = "XROUTER_API_KEY"

_ANY_KEY = "anything"  # for a gateway that asks for none; agents want one all the same
_OUTPUT = 32_000  # tokens, OpenCode's own default; it takes no context without them
_WAIT = 10.0  # seconds for the list of models
_EXAMPLES = f"""\
examples:
  xrouter run -- claude                                  Claude Code, with the first model of the gateway
  xrouter run --model GigaChat-2-Max -- codex "Fix the tests."
  xrouter run --print opencode                           the lines to paste, to start it yourself
  {KEY}=sk-xr-… xrouter run --url https://llm.example -- claude

The key of the gateway comes from the environment variable {KEY}; a gateway without keys needs none."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What an agent needs: variables of its environment, and arguments before the user's own.

    Attributes:
        environment: A variable that is None must not be set.
    """

    environment: Mapping[str, str | None]
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The model to ask for.

    Attributes:
        context: How many tokens a conversation may have. Agents compact it before that; None leaves it to their guess.
    """

    name: str
    context: int | None


Agent: TypeAlias = Callable[[str, str, ServedModel], Launch]
"""From the gateway's address, a key and a model to what the agent needs."""


def claude(url: str, key: str, model: ServedModel) -> Launch:
    """Claude Code (https://code.claude.com/docs/en/llm-gateway). It asks for a small model in the background."""
    window = {} if model.context is None else {"CLAUDE_CODE_MAX_CONTEXT_TOKENS": str(model.context)}
    return Launch(
        {
            **window,
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_AUTH_TOKEN": key,
            "ANTHROPIC_API_KEY": None,  # one of Anthropic's own is nothing for this gateway
            "ANTHROPIC_MODEL": model.name,
            "ANTHROPIC_DEFAULT_HAIKU_MODEL": model.name,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }
    )


def codex(url: str, key: str, model: ServedModel) -> Launch:
    """Codex (https://developers.openai.com/codex/config-advanced), by a provider of its own: it speaks Responses."""
    provider = f'{{name="xrouter",base_url="{url}/v1",env_key="{KEY}",wire_api="responses"}}'
    settings = [f"model_providers.xrouter={provider}", 'model_provider="xrouter"', f"model={json.dumps(model.name)}"]
    if model.context is not None:
        settings.append(f"model_context_window={model.context}")
    return Launch({KEY: key}, tuple(word for setting in settings for word in ("-c", setting)))


def opencode(url: str, key: str, model: ServedModel) -> Launch:
    """OpenCode (https://opencode.ai/docs/config), by a provider that speaks chat."""
    options = {"baseURL": f"{url}/v1", "apiKey": f"{{env:{KEY}}}"}
    limit = None if model.context is None else {"context": model.context, "output": min(model.context, _OUTPUT)}
    models = {model.name: {} if limit is None else {"limit": limit}}
    provider = {"npm": "@ai-sdk/openai-compatible", "name": "xrouter", "options": options, "models": models}
    name = f"xrouter/{model.name}"
    config = {"provider": {"xrouter": provider}, "model": name, "small_model": name}
    return Launch({KEY: key, "OPENCODE_CONFIG_CONTENT": json.dumps(config)})


AGENTS: Mapping[str, Agent] = {"claude": claude, "codex": codex, "opencode": opencode}


def add_run_command(commands: Commands, environment: Mapping[str, str]) -> None:
    """Add `run` to the commands of `xrouter`. The environment holds the key, and is what the agent inherits."""
    text = "Start a coding agent that talks to a running gateway."
    command = add_command(commands, "run", partial(_run, environment), text, epilog=_EXAMPLES)
    command.add_argument("--url", default="http://127.0.0.1:8000", help="of the gateway; default: %(default)s")
    command.add_argument("--model", metavar="NAME", help="default: the first that the gateway lists")
    command.add_argument("--print", action="store_true", help="print the lines for a shell instead of starting it")
    command.add_argument(
        "agent", nargs=argparse.REMAINDER, metavar=f"[--] {{{','.join(AGENTS)}}} …", help="with arguments of its own"
    )


def _run(environment: Mapping[str, str], options: argparse.Namespace) -> int:  # noqa: RET503 -- exec does not return
    words = options.agent[1:] if options.agent[:1] == ["--"] else options.agent
    if not words or words[0] not in AGENTS:
        return fail(f"Name one of the agents that can be started here: {', '.join(AGENTS)}.")
    name, *arguments = words
    url = options.url.rstrip("/").removesuffix("/v1")
    key = environment.get(KEY) or _ANY_KEY
    try:
        model = _model(url, key, options.model)
    except GatewayError as error:
        return fail(str(error))
    launch = AGENTS[name](url, key, model)
    command = [name, *launch.arguments, *arguments]
    if options.print:
        print(_lines(launch, command))
        return 0
    if shutil.which(name, path=environment.get("PATH")) is None:
        return fail(f"There is no program {name!r} here. Install it, or take the lines of: xrouter run --print {name}")
    say(f"{name} asks {url} for the model {model.name}.")
    changed = {**environment, **launch.environment}
    inherited = {each: value for each, value in changed.items() if value is not None}
    # In place of this program, so that the terminal and every signal are the agent's own.
    os.execvpe(name, command, inherited)  # noqa: S606


class GatewayError(Exception):
    """What is wrong with the gateway, and what to do about it."""


def _model(url: str, key: str, wanted: str | None) -> ServedModel:
    """The model to ask for. Raises GatewayError unless the gateway is there, takes the key and serves the model."""
    try:
        answer = httpx.get(f"{url}/v1/models", headers={"Authorization": f"Bearer {key}"}, timeout=_WAIT)
        value = answer.json()
        listed = value["data"] if answer.is_success else []
        served = {str(model["id"]): model.get("max_model_len") for model in listed}
        refusal = "" if answer.is_success else str(value["error"]["message"])
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError, AttributeError):
        raise GatewayError(f"There is no gateway at {url}. Start one with: xrouter serve") from None
    if answer.status_code == 401:
        raise GatewayError(f"The gateway at {url} wants a key. Set {KEY} to one; make one with: xrouter keys create")
    if refusal:
        raise GatewayError(f"The gateway at {url} says: {refusal}")
    if wanted is None and not served:
        raise GatewayError(f"The gateway at {url} lists no model. Name one with --model.")
    name = wanted or next(iter(served))
    return ServedModel(name, served.get(name))  # a pattern may serve what no list names


def _lines(launch: Launch, command: list[str]) -> str:
    """What sets the environment in a shell and starts the agent."""
    lines = [
        f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}"
        for name, value in launch.environment.items()
    ]
    return "\n".join([*lines, shlex.join(command)])
