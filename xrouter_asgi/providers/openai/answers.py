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
from .mending import all_objects, has_head, is_well_told, mend_completion
from .parts import CONTENT

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


def check_and_mend(value: dict[str, Any], *, model: str) -> bool:
    """Check that an answer has choices, and mend it in place. Returns whether that changed anything.

    Args:
        model: Which model was asked for.

    Raises:
        UpstreamError: `empty_answer` without choices, `bad_body` for choices of another shape.
    """
    if _is_plain(value):
        return False
    choices = value.get("choices")
    if choices is None or choices == []:
        raise UpstreamUnavailable("The upstream's answer holds no choices.", code="empty_answer")
    if not isinstance(choices, list) or not all(map(_is_choice, choices)):
        raise UpstreamError("The choices in the upstream's answer have another shape.", code="bad_body")
    return mend_completion(value, model=model)


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
        completion: Mended: see `check_and_mend`.
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


def _is_plain(value: dict[str, Any]) -> bool:
    """Whether an answer needs no closer look. That is true of nearly all, hence this shortcut."""
    choices, usage = value.get("choices"), value.get("usage")
    if not (isinstance(choices, list) and len(choices) == 1 and isinstance(choices[0], dict)):
        return False
    choice = choices[0]
    index, message, reason = choice.get("index"), choice.get("message"), choice.get("finish_reason")
    return (
        has_head(value, "chat.completion")
        and "x_groq" not in value
        and (usage is None or (isinstance(usage, dict) and is_well_told(usage)))
        and (type(index) is int and index == 0)
        and (isinstance(reason, str) and reason != "")
        and "usage" not in choice
        and isinstance(message, dict)
        and message.get("role") == "assistant"
        and type(message.get("content")) is str
        and "tool_calls" not in message
        and "function_call" not in message
    )


def _is_choice(choice: object) -> bool:
    if not isinstance(choice, dict) or not isinstance(message := choice.get("message"), dict):
        return False
    calls = message.get("tool_calls")
    return (
        isinstance(message.get("content"), CONTENT)
        and isinstance(choice.get("finish_reason"), _REASON)
        and (not calls or (all_objects(calls) and all(isinstance(call.get("function") or {}, dict) for call in calls)))
    )
