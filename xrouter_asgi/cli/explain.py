"""`xrouter explain`: where a request would go, without sending anything."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, cast

from ..decision import CandidateVerdict, Decision
from ..inspection.overview import aligned
from ..policies.fallback import Fallback, Plan
from ..policies.timeout import Deadline
from ..providers.base import Call
from ..settings import Settings
from ..standalone import build_router
from ..wire import ChatRequest

_TEXT = "Print which targets a request for a model would be sent to, in which order, and which not, and why."
_EXAMPLES = """\
examples:
  xrouter explain --model assistant
  xrouter explain --config xrouter.toml --model assistant --vision --tokens 20000
  xrouter explain --model assistant --json

A running server knows more: which targets fail, are slow or were told to wait. If [server] says explain = true, ask it
with the header x-xrouter-explain: 1."""
_PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
_TOOL = {"type": "function", "function": {"name": "tool"}}
_SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}
_CHARACTERS = 6  # that a token is taken to have at most, as in `policies.candidates`


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
    table = build_router(settings).models  # opens no connection
    found = table.find(options.model)
    if found is None:
        print(f"The settings serve no model {options.model!r}. Known: {', '.join(table)}.", file=sys.stderr)
        return 1
    provider, stem = found
    while not isinstance(provider, Fallback):  # as policies.stack made it of the settings
        provider = cast(Deadline, provider).inner
    plan = provider.plan(Call(_request(options), options.model, stem))
    if options.json:
        decision = Decision(version=settings.version, strategy=plan.strategy, candidates=plan.considered)
        print(decision.to_json())
    else:
        print(f"configuration {settings.version}, strategy {plan.strategy}\n\n{_table(plan)}")
    return 0


def _request(options: argparse.Namespace) -> ChatRequest:
    parts: list[dict[str, Any]] = [{"type": "text", "text": "x" * (_CHARACTERS * options.tokens)}]
    if options.vision:
        parts.append(_PICTURE)
    request: dict[str, Any] = {"model": options.model, "messages": [{"role": "user", "content": parts}]}
    if options.tools:
        request["tools"] = [_TOOL]
    if options.json_schema:
        request["response_format"] = _SCHEMA
    return ChatRequest.of(request)


def _table(plan: Plan) -> str:
    rows = [_row(place, each) for place, each in enumerate(plan.considered, start=1)]
    return aligned([("", "target", "score", ""), *rows])


def _row(place: int, each: CandidateVerdict) -> Sequence[str]:
    score = "" if each.score is None else f"{each.score:.4g}"
    return ("-" if each.excluded else str(place), each.name, score, str(each.excluded or ""))
