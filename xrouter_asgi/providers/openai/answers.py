"""Whole answers: decoded, checked for their shape, and turned into chunks for a client that asked for a stream."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

from ...errors import UpstreamError, UpstreamUnavailable
from ...wire import ChatChunk, ModelList
from ...wire.codec import decode
from ..http import AnswerStream, ErrorReader, UpstreamAnswer, json_object
from .errors import is_error, refusal
from .mending import all_objects

_CONTENT = (str, list, type(None))
_REASON = (str, type(None))
_HEAD = ("id", "created", "model", "service_tier", "system_fingerprint")


def answer_object(
    head: UpstreamAnswer | AnswerStream,
    body: bytes,
    *,
    model: str,
    errors: ErrorReader,
    decoded: Callable[[bytes], Any] = decode,
) -> dict[str, Any]:
    """The object that an answer holds, as `decoded` reads it.

    Raises:
        XRouterError: For a status of 400 or more and for an error under any other: see `refusal`.
        UpstreamUnavailable: `empty_answer`.
        UpstreamError: `bad_body` for anything but an object in JSON.
    """
    if head.status >= 400:
        raise refusal(head.status, errors.read(body), model=model, errors=errors, headers=head.headers)
    if not body.strip():
        raise UpstreamUnavailable(
            "The upstream's answer is empty.", code="empty_answer", detail=f"status {head.status}"
        )
    value = json_object(body, decoded=decoded)
    if is_error(value):
        raise refusal(None, errors.read_value(value), model=model, errors=errors, headers=head.headers)
    return value


def check_completion(value: dict[str, Any]) -> None:
    """Check that an answer has choices.

    Raises:
        UpstreamError: `empty_answer` without choices, `bad_body` for choices of another shape.
    """
    choices = value.get("choices")
    if choices is None or choices == []:
        raise UpstreamUnavailable("The upstream's answer holds no choices.", code="empty_answer")
    if not isinstance(choices, list) or not all(map(_is_choice, choices)):
        raise UpstreamError("The choices in the upstream's answer have another shape.", code="bad_body")


def models_of(head: UpstreamAnswer, *, owner: str, errors: ErrorReader) -> ModelList:
    """The upstream's models, as far as they have names: OpenAI's list, one whose `data` is null, or a bare array.

    Args:
        owner: Of models that do not say whose they are.

    Raises:
        XRouterError: As from `answer_object`; `bad_body` for another shape, and if no entry has a name.
    """
    if head.status < 400 and head.body.lstrip()[:1] == b"[":
        # Together, and TGI in some versions. Read as the member of an object, it needs no other reader.
        head = head._replace(body=b'{"data":' + head.body + b"}")
    value = answer_object(head, head.body, model="", errors=errors)
    rows = [] if value.get("data", value) is None else value.get("data")
    named = [row for row in rows if _is_model(row)] if isinstance(rows, list) else []
    if not isinstance(rows, list) or (rows and not named):
        raise UpstreamError("The upstream's list of models has another shape.", code="bad_body")
    return ModelList({"object": "list", **value, "data": [_described(row, owner) for row in named]})


def chunks_of(completion: dict[str, Any]) -> list[ChatChunk]:
    """A whole answer as the stream it could have been: each choice's message, its finish, and the usage if known.

    Args:
        completion: Mended: see `mend_completion`.
    """
    head = {name: completion[name] for name in _HEAD if name in completion} | {"object": "chat.completion.chunk"}
    chunks = []
    for choice in sorted(completion["choices"], key=itemgetter("index")):
        index, delta = choice["index"], {**choice["message"]}
        if calls := delta.get("tool_calls"):
            delta["tool_calls"] = [{**call, "index": place} for place, call in enumerate(calls)]
        said = {"index": index, "delta": delta, "logprobs": choice.get("logprobs"), "finish_reason": None}
        ended = {"index": index, "delta": {}, "logprobs": None, "finish_reason": choice["finish_reason"]}
        chunks += [ChatChunk({**head, "choices": [said]}), ChatChunk({**head, "choices": [ended]})]
    if isinstance(completion.get("usage"), dict):
        chunks.append(ChatChunk({**head, "choices": [], "usage": completion["usage"]}))
    return chunks


def _is_model(row: object) -> bool:
    return isinstance(row, dict) and isinstance(row.get("id"), str) and bool(row["id"])


def _described(row: dict[str, Any], owner: str) -> dict[str, Any]:
    """A model with the members that clients count on."""
    needed = {"object": "model", "created": 0, "owned_by": owner}
    return {**row, **{name: value for name, value in needed.items() if row.get(name) is None}}


def _is_choice(choice: object) -> bool:
    if not isinstance(choice, dict) or not isinstance(message := choice.get("message"), dict):
        return False
    calls = message.get("tool_calls")
    return (
        isinstance(message.get("content"), _CONTENT)
        and isinstance(choice.get("finish_reason"), _REASON)
        and (not calls or (all_objects(calls) and all(isinstance(call.get("function") or {}, dict) for call in calls)))
    )
