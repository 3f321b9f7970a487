"""`xrouter explain`: where a request would go, without sending anything."""

from __future__ import annotations

import argparse

from ..inspection.explain import describe_decision, explain, sample_request
from ..settings import Settings
from ..standalone import build_router
from .output import fail

_TEXT = "Print which targets a request for a model would be sent to, in which order, and which not, and why."
_EXAMPLES = """\
examples:
  xrouter explain --model assistant
  xrouter explain --config xrouter.toml --model assistant --vision --tokens 20000
  xrouter explain --model assistant --json

A running server knows more: which targets fail, are slow or asked for a pause. If [server] says explain = true, ask it
with the header x-xrouter-explain: 1."""


def add_explain_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `explain` to the commands of `xrouter`."""
    command = commands.add_parser(
        "explain",
        help=_TEXT,
        description=_TEXT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=_explain)
    command.add_argument("--config", metavar="FILE", help="settings in TOML; default: as for xrouter serve")
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
    print(decision.to_json() if options.json else describe_decision(decision))
    return 0
