"""What a request refers to: responses that are kept, and single items of theirs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from ...errors import InvalidRequest
from ...wire import KeptResponse
from ...wire.codec import decode, encode
from ..base import Objections

MAX_CHAIN: Final = 1000
"""Responses that one request may continue, and that it may refer to."""

Recorded: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Items that a caller was answered with, by their ids."""

_NATIVE_ID = re.compile(r"[A-Za-z0-9_-]{1,256}")
_ITEM_ID = re.compile(r"[a-z]+_([0-9a-f]{48})[0-9a-z]*")  # the middle is that of the response that it belongs to
COMPLETE: Final = ("message", "function_call", "custom_tool_call", "function_call_output", "custom_tool_call_output")
"""Kinds of items that say everything by themselves. An id in them would only name what an upstream keeps."""

_PREFIXES = {"message": "msg", "function_call": "fc", "custom_tool_call": "ctc", "reasoning": "rs"}
_SHOWN: Final = 128  # characters of an id in a message


class Conversed(NamedTuple):
    """A conversation whose references are replaced by what they refer to.

    Attributes:
        ancestors: The ids of the responses that it continues, oldest first.
        earlier: The items of those.
        own: The items of the request itself.
    """

    ancestors: tuple[str, ...]
    earlier: list[dict[str, Any]]
    own: list[dict[str, Any]]


def items_of(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The input of a request as items."""
    given = value["input"]
    return [{"type": "message", "role": "user", "content": given}] if isinstance(given, str) else given


def references_of(value: Mapping[str, Any], found: Mapping[str, KeptResponse]) -> list[str]:
    """The ids of all responses that a request needs, as far as they follow from those that were found.

    Raises:
        InvalidRequest: There are too many, one cannot be there, or one is there twice.
    """
    ids: dict[str, None] = {}
    natives: dict[str, None] = {}
    items: set[str] = set()
    if previous := value.get("previous_response_id"):
        ids = dict.fromkeys((*_ancestors(previous, found), previous))
    for item in items_of(value):
        if item.get("type") == "item_reference":
            if item["id"] in items:  # a few bytes each could bring the same large item any number of times
                raise _unusable(item["id"], "is referred to twice")
            items.add(item["id"])
            ids |= dict.fromkeys(_responses_of(item["id"]))
        if item.get("type") not in (None, *COMPLETE, "reasoning") and _NATIVE_ID.fullmatch(item.get("id") or ""):
            natives[f"item/{item['id']}"] = None
    if max(len(ids), len(natives)) > MAX_CHAIN:
        message = f"The conversation refers to more than {MAX_CHAIN} responses. Send the items themselves."
        raise InvalidRequest(message, code="array_above_max_length", param="input")
    return [*ids, *natives]


def conversed(
    value: Mapping[str, Any], found: Mapping[str, KeptResponse], *, ttl: float | None, account: Objections
) -> Conversed:
    """Put what was found in the place of what refers to it.

    Args:
        account: Refuses what refers to something else, with InvalidRequest.
    """
    ancestors: tuple[str, ...] = ()
    earlier: list[dict[str, Any]] = []
    items = {id: _items(kept) for id, kept in found.items()}
    if previous := value.get("previous_response_id"):
        ancestors = (*_ancestors(previous, found), previous)
        if items.keys() >= set(ancestors):
            earlier = [item for id in ancestors for item in items[id]]
        else:
            account.refuse(_forgotten(previous, ttl))
            ancestors = ()
    known = {item["id"]: item for each in items.values() for item in each if item.get("id")}
    own = [
        _referred(item, known, account) if item.get("type") == "item_reference" else item for item in items_of(value)
    ]
    return Conversed(ancestors, earlier, own)


def recorded(found: Mapping[str, KeptResponse]) -> Recorded:
    """The items that upstreams gave their ids, as far as they were found."""
    return {item["id"]: item for id, kept in found.items() if id.startswith("item/") for item in _items(kept)}


def native_items(response: Mapping[str, Any]) -> list[KeptResponse]:
    """The items of an upstream's own response, each for `item_reference` to find: its id does not tell the response."""
    items = [item for item in response["output"] if isinstance(item, dict)]
    named = [item for item in items if _NATIVE_ID.fullmatch(str(item.get("id") or ""))]
    return [KeptResponse(f"item/{item['id']}", (), b"[]", encode({"output": [item]})) for item in named]


def to_keep(items: Iterable[Mapping[str, Any]], stem: str) -> list[dict[str, Any]]:
    """Input items as they are kept and listed: with a type, an id, and the content of messages in parts."""
    return [_listed(item, place, stem) for place, item in enumerate(items)]


def _listed(item: Mapping[str, Any], place: int, stem: str) -> dict[str, Any]:
    kind = item.get("type") or "message"
    listed = {"id": f"{_PREFIXES.get(kind, 'item')}_{stem}i{place:02x}", "type": kind}
    listed.update((name, member) for name, member in item.items() if member is not None)
    if kind == "message":
        listed.setdefault("status", "completed")
        if isinstance(text := listed["content"], str):
            said = listed["role"] == "assistant"
            part = {"type": "output_text", "annotations": []} if said else {"type": "input_text"}
            listed["content"] = [{**part, "text": text}]
    return listed


def _ancestors(id: str, found: Mapping[str, KeptResponse]) -> tuple[str, ...]:
    return found[id].ancestors if id in found else ()


def _items(kept: KeptResponse) -> list[dict[str, Any]]:
    """What was said to and by the assistant, in order."""
    items: list[dict[str, Any]] = [*decode(kept.input), *decode(kept.response)["output"]]
    return items


def _responses_of(item_id: str) -> list[str]:
    """The id of the response that an item belongs to, if this gateway has made it."""
    found = _ITEM_ID.fullmatch(item_id)
    if found is None and _NATIVE_ID.fullmatch(item_id) is None:
        raise _unusable(item_id, "not found")
    return [] if found is None else [f"resp_{found[1]}"]


def _referred(reference: dict[str, Any], known: Mapping[str, dict[str, Any]], account: Objections) -> dict[str, Any]:
    item = known.get(reference["id"])
    if item is None:
        account.refuse(_unusable(reference["id"], "not found"))
        return reference
    return item


def _unusable(item_id: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"Item with id '{item_id[:_SHOWN]}' {why}.", code="invalid_value", param="input")


def _forgotten(id: str, ttl: float | None) -> InvalidRequest:
    why = "keeps no responses" if ttl is None else f"forgets after {ttl:g} s"
    message = f"Previous response with id '{id[:_SHOWN]}' not found. This gateway {why}; send the whole conversation."
    return InvalidRequest(message, code="previous_response_not_found", param="previous_response_id")
