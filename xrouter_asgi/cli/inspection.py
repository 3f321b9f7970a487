"""`xrouter check` and `xrouter explain`: what settings serve, and where a request would go."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping
from functools import partial

from ..inspection import (
    PartStatus,
    describe_decision,
    describe_layers,
    describe_models,
    describe_providers,
    describe_statuses,
    explain,
    find_risks,
    probe,
    sample_request,
    survey,
    unlisted_targets,
)
from ..providers.base import ReadyProvider
from ..settings import Settings, describe_source, find_file, remarks
from ..standalone import build_providers, build_router
from .base import Commands, add_command, add_settings_options, fail, say

_CHECK_EXAMPLES = """\
examples:
  xrouter check --config xrouter.toml
  xrouter check --live           asks all that the settings need: providers, databases, Redis, collector

With --live each channel of alerts is sent a test."""
_EXPLAIN_EXAMPLES = """\
examples:
  xrouter explain --model assistant
  xrouter explain --config xrouter.toml --model assistant --vision --tokens 20000
  xrouter explain --model assistant --json

A running server knows more: which targets fail, are slow or asked for a pause. If [server] says explain = true, ask it
with the header x-xrouter-explain: 1."""


def add_check_command(commands: Commands, environment: Mapping[str, str]) -> None:
    """Add `check` to the commands of `xrouter`. The environment may say NO_COLOR."""
    text = "Print every mistake in the settings, or else what they serve."
    check = add_command(commands, "check", partial(_check, environment), text, epilog=_CHECK_EXAMPLES)
    add_settings_options(check)
    check.add_argument("--live", action="store_true", help="also ask everything that the settings need")


def _check(environment: Mapping[str, str], options: argparse.Namespace) -> int:
    file = find_file(options.config, environment=environment)
    settings = Settings.load(options.config, environment=environment)
    providers = build_providers(settings)  # logs a warning about certificates that are not checked
    print(f"settings: {describe_source(file, environment)}\n")
    print(f"{describe_models(settings)}\n\n{describe_providers(settings)}\n\n{describe_layers(settings)}")
    for remark in remarks(file, environment):
        say(remark)
    for risk in find_risks(settings):
        say(f"warning: {risk}")
    if not options.live:
        return 0
    statuses = asyncio.run(_ask(settings, providers))
    colours = sys.stdout.isatty() and not environment.get("NO_COLOR")  # https://no-color.org
    print(f"\n{describe_statuses(statuses, colours=colours)}")
    return 0 if all(status.ok for status in statuses) else 1


async def _ask(settings: Settings, providers: Mapping[str, ReadyProvider]) -> list[PartStatus]:
    asked, probed = await asyncio.gather(survey(providers), probe(settings))
    return [*asked, *unlisted_targets(settings, asked), *probed]


def add_explain_command(commands: Commands) -> None:
    """Add `explain` to the commands of `xrouter`."""
    text = "Print which targets a request for a model would be sent to, in which order, and which not, and why."
    command = add_command(commands, "explain", _explain, text, epilog=_EXPLAIN_EXAMPLES)
    add_settings_options(command)
    command.add_argument("--model", required=True, metavar="NAME", help="the name that a client asks for")
    command.add_argument("--tools", action="store_true", help="a request with tools")
    command.add_argument("--vision", action="store_true", help="a request with a picture")
    command.add_argument("--json-schema", action="store_true", help="a request for an answer by a JSON Schema")
    command.add_argument("--tokens", type=_count, default=1, metavar="N", help="the length of the prompt; default: 1")
    command.add_argument("--json", action="store_true", help="print one line of JSON")


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 10_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of tokens. Write one from 1 to 10000000.")
    return int(text)


def _explain(options: argparse.Namespace) -> int:
    settings = Settings.load(options.config)
    models = build_router(settings).models  # opens no connection
    request = sample_request(
        options.model,
        tokens=options.tokens,
        tools=options.tools,
        vision=options.vision,
        json_schema=options.json_schema,
    )
    decision = explain(models, options.model, request, version=settings.version)
    if decision is None:
        return fail(f"The settings serve no model {options.model!r}. Known: {', '.join(models)}.")
    print(decision.to_json() if options.json else describe_decision(decision, settings))
    return 0
