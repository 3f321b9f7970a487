"""`xrouter chat`: a conversation on a terminal, or one question."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from ...settings import Settings
from ...standalone import build_router
from ..base import Commands, add_command, add_settings_options, fail, say
from ..gateway import ANY_KEY, KEY, LOCAL, GatewayError, base_of, find_model
from .asked import AnswerFacts, AskedModel, SaidMessage
from .at_gateway import ModelAtGateway
from .in_process import ModelInProcess, first_model

_EXAMPLES = f"""\
examples:
  xrouter chat                                       with the first model of the gateway that runs here
  xrouter chat --model assistant Why is the sky blue?
  xrouter chat --config xrouter.toml                 in this process, with no gateway running
  xrouter chat --system "Answer in Russian." < question.txt
  {KEY}=sk-xr-… xrouter chat --url https://llm.example

The answer goes to the standard output, and what it took to the standard error. In this process keys and limits do not
apply."""


def add_chat_command(commands: Commands, environment: Mapping[str, str]) -> None:
    """Add `chat` to the commands of `xrouter`. The environment may hold the key, and settings."""
    text = "Talk to a model, at a running gateway or in this process."
    command = add_command(commands, "chat", partial(_chat, environment), text, epilog=_EXAMPLES)
    command.add_argument("question", nargs="*", help="default: the standard input, or a conversation on a terminal")
    command.add_argument("--url", default=LOCAL, help="of the gateway; default: %(default)s")
    command.add_argument("--model", metavar="NAME", help="default: the first that is listed")
    command.add_argument("--system", metavar="TEXT", help="a system message")
    command.add_argument("--in-process", action="store_true", help="ask without a gateway, by the settings")
    add_settings_options(command, default="no file: --config asks in this process")


def _chat(environment: Mapping[str, str], options: argparse.Namespace) -> int:
    asked = " ".join(options.question)
    talking = not asked and sys.stdin.isatty()
    if not asked and not talking and not (asked := sys.stdin.read().strip()):
        return fail("There is no question. Write it behind the command, or into the standard input.")
    said: list[SaidMessage] = [{"role": "system", "content": options.system}] if options.system else []
    with asyncio.Runner() as runner:
        try:
            model = runner.run(_open(environment, options))
        except GatewayError as error:
            return fail(str(error))
        try:
            return _talk(runner, model, said) if talking else _ask_once(runner, model, said, asked)
        finally:
            runner.run(model.aclose())


async def _open(environment: Mapping[str, str], options: argparse.Namespace) -> AskedModel:
    if options.config is None and not options.in_process:
        url, key = base_of(options.url), environment.get(KEY) or ANY_KEY
        try:
            return ModelAtGateway(url, key, find_model(url, key, options.model).name)
        except GatewayError as error:
            raise GatewayError(f"{error}\nTo ask without a gateway: xrouter chat --in-process") from error
    router = build_router(Settings.load(options.config, environment=environment))
    try:
        return ModelInProcess(router, options.model or await first_model(router))
    except GatewayError:
        await router.aclose()
        raise


def _ask_once(runner: asyncio.Runner, model: AskedModel, said: Sequence[SaidMessage], question: str) -> int:
    try:
        runner.run(_print_answer(model, [*said, {"role": "user", "content": question}]))
    except GatewayError as error:
        return fail(str(error))
    return 0


def _talk(runner: asyncio.Runner, model: AskedModel, said: list[SaidMessage]) -> int:
    with suppress(ImportError):
        import readline  # noqa: F401 -- makes `input` edit lines and remember them
    say(f"You talk to {model.name}. Ctrl+C breaks an answer off, Ctrl+D ends.")
    while True:
        try:
            question = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return 0
        if not question:
            continue
        asked: list[SaidMessage] = [*said, {"role": "user", "content": question}]
        try:
            answer = runner.run(_print_answer(model, asked))
        except KeyboardInterrupt:
            print()
        except GatewayError as error:
            say(str(error))
        else:
            said = [*asked, {"role": "assistant", "content": answer}]


async def _print_answer(model: AskedModel, messages: Sequence[SaidMessage]) -> str:
    """Print an answer as it comes, and then what it took. Returns its text."""
    facts, texts, began, first = AnswerFacts(), list[str](), time.perf_counter(), None
    async for piece in model.ask(messages, facts):
        first = first or time.perf_counter() - began
        texts.append(piece)
        print(piece, end="", flush=True)
    print()
    say(_told(model.name, facts, first, time.perf_counter() - began))
    return "".join(texts)


def _told(model: str, facts: AnswerFacts, first: float | None, took: float) -> str:
    parts = [f"{model} from {facts.target}" if facts.target else model]
    if facts.usage is not None:
        parts.append(f"{facts.usage.prompt_tokens} + {facts.usage.completion_tokens} tokens")
    if first is not None:
        parts.append(f"first token {first:.2f} s")
    return f"[{', '.join([*parts, f'{took:.2f} s'])}]"
