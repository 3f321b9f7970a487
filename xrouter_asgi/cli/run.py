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

from .base import Commands, add_command, fail, say
from .gateway import ANY_KEY, KEY, LOCAL, GatewayError, ServedModel, base_of, find_model

_OUTPUT = 32_000  # tokens, OpenCode's own default; it takes no context without them
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
    command.add_argument("--url", default=LOCAL, help="of the gateway; default: %(default)s")
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
    url = base_of(options.url)
    key = environment.get(KEY) or ANY_KEY
    try:
        model = find_model(url, key, options.model)
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
    os.execvpe(name, command, inherited)  # noqa: S606 -- the agent that the user has named


def _lines(launch: Launch, command: list[str]) -> str:
    """What sets the environment in a shell and starts the agent."""
    lines = [
        f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}"
        for name, value in launch.environment.items()
    ]
    return "\n".join([*lines, shlex.join(command)])
