"""No input makes others wait: what the worst ones hand to one call of a parser, and on which thread.

A call into C holds the interpreter until it returns, on whatever thread it is made. So each is bounded in bytes and in
values, and those on the thread of the event loop are bounded to a fraction of that.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic_core import from_json, to_json

from xrouter_asgi.providers.openai.chunks import ChunkReader
from xrouter_asgi.wire import codec
from xrouter_asgi.wire.codec import MAX_VALUES, SMALL
from xrouter_asgi.wire.embeddings import EmbeddingsRequest
from xrouter_asgi.wire.reading import LARGE, MANY
from xrouter_asgi.wire.validation import WireModel

from .worst import CASES, MIB, Case

_EVENTS = 8 << 10  # bytes that are read at once


@dataclass
class Work:
    """The largest pieces that were handed to one call of each parser: on the loop's thread, and on any."""

    on_loop: dict[str, int] = field(default_factory=dict)
    anywhere: dict[str, int] = field(default_factory=dict)

    def note(self, kind: str, amount: int) -> None:
        places = [self.anywhere]
        if threading.current_thread() is threading.main_thread():
            places.append(self.on_loop)
        for place in places:
            place[kind] = max(place.get(kind, 0), amount)


def values_of(value: object) -> int:
    """How many values there are in all."""
    count, nodes = 0, [value]
    for node in nodes:
        count += 1
        if isinstance(node, dict):
            nodes.extend(node.values())
        elif isinstance(node, list):
            nodes.extend(node)
    return count


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    seen = Work()

    def watched(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(data: Any, *args: Any, **options: Any) -> Any:
            if isinstance(data, bytes):
                seen.note(f"{kind}, bytes", len(data))
            made = function(data, *args, **options)
            seen.note(f"{kind}, values", values_of(data if made.__class__ is bytes else made))
            return made

        return call

    def feed(reader: ChunkReader, piece: bytes) -> Any:
        seen.note("events, bytes", len(piece))
        return fed(reader, piece)

    def of(model: type[WireModel], value: Any) -> Any:
        seen.note("validated, values", values_of(value))
        return validated(model, value)

    fed, validated = ChunkReader.feed, WireModel.of.__func__  # type: ignore[attr-defined]
    monkeypatch.setattr(codec, "from_json", watched("parsed", from_json))
    monkeypatch.setattr(codec, "to_json", watched("encoded", to_json))
    monkeypatch.setattr(base64, "b64decode", watched("base64", base64.b64decode))
    monkeypatch.setattr(ChunkReader, "feed", feed)
    monkeypatch.setattr(WireModel, "of", classmethod(of))
    return seen


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_the_worst_inputs_give_no_call_too_much_to_do(case: Case, work: Work) -> None:
    answer = await case.ask()
    assert answer.status == case.status
    on_loop = {
        "parsed, bytes": LARGE,
        "parsed, values": MANY,
        "encoded, values": MANY,
        "validated, values": MANY,
        "base64, bytes": SMALL,
        "events, bytes": _EVENTS,
    }
    anywhere = {
        "parsed, values": MAX_VALUES + 1,
        "encoded, values": MAX_VALUES + 1,
        "base64, bytes": MIB,
    }
    assert {kind: amount for kind, amount in work.on_loop.items() if amount > on_loop.get(kind, amount)} == {}
    assert {kind: amount for kind, amount in work.anywhere.items() if amount > anywhere.get(kind, amount)} == {}


def lists_in(schema: Any) -> Iterator[dict[str, Any]]:
    """The schemas of lists in a core schema."""
    if isinstance(schema, dict):
        if schema.get("type") == "list":
            yield schema
        schema = schema.values()
    elif not isinstance(schema, list | tuple):
        return
    for inner in schema:
        yield from lists_in(inner)


def models_of(model: type[WireModel]) -> Iterator[type[WireModel]]:
    for child in model.__subclasses__():
        yield child
        yield from models_of(child)


def test_every_list_of_a_request_is_validated_up_to_its_first_wrong_item() -> None:
    for model in models_of(WireModel):
        model.model_rebuild()  # they are built at their first use
    found = [each for model in models_of(WireModel) for each in lists_in(model.__pydantic_core_schema__)]
    assert EmbeddingsRequest in models_of(WireModel)
    assert found
    assert all(each["fail_fast"] for each in found)
