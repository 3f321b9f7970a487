"""Proper answers of every kind that the dialects tell in their own words, not in those of chat."""

from __future__ import annotations

import json
from typing import Any

from xrouter_asgi.testing.http import FakeExchange
from xrouter_asgi.testing.openai import refuse, stream, whole
from xrouter_asgi.testing.openai_answers import chunk

from ..asking import Answer, Case, Said
from .calls import TWO, read
from .parts import COUNTED, USAGE, call, completion

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
CITY = '{"city":"Perm"}'


def _said(name: str, message: dict[str, Any], said: Said) -> Case:
    parts = [chunk({"role": "assistant", member: piece}) for member, text in message.items() for piece in _split(text)]
    finish = chunk({}, said.finish)
    body = completion({"role": "assistant", "content": None, **message}, said.finish)
    return Case(name, Answer((said,), USAGE), whole(body), stream(*parts, finish, COUNTED))


def _split(value: Any) -> list[Any]:
    return [value[:2], value[2:]] if isinstance(value, str) else [value]


async def _structured(exchange: FakeExchange) -> None:
    """As an upstream that has to be asked with the schema."""
    request = json.loads(exchange.body)
    wanted = request.get("response_format") or {}
    case = _said("structured", {"content": CITY}, Said(CITY))
    answer = case.stream if request.get("stream") else case.whole
    known = wanted.get("type") == "json_schema" and wanted["json_schema"].get("schema") == SCHEMA
    await (answer if known and answer else refuse(400, f"{wanted} is not the schema."))(exchange)


KINDS = [
    _said("cut-off", {"content": "Hello, w"}, Said("Hello, w", finish="length")),
    _said("filtered", {"content": "Hello, w"}, Said("Hello, w", finish="content_filter")),
    _said("thinking", {"reasoning_content": "Hm, so.", "content": "Hello!"}, Said("Hello!", reasoning="Hm, so.")),
    _said("thinking-by-another-name", {"reasoning": "Hm, so.", "content": "Hello!"},
          Said("Hello!", reasoning="Hm, so.")),
    _said("thinking-and-calling", {"reasoning_content": "Hm, so.", "content": "I look.",
          "tool_calls": [call(index=0), read(index=1)]},
          Said("I look.", TWO.choices[0].calls, "tool_calls", "Hm, so.")),
]  # fmt: skip
STRUCTURED = Case("structured", Answer((Said(CITY),), USAGE), _structured, _structured)
REFUSED = Case("refused", Answer((Said("I will not."),), USAGE),
               _said("refused", {"refusal": "I will not."}, Said()).whole,
               _said("refused", {"refusal": "I will not."}, Said()).stream)  # fmt: skip
