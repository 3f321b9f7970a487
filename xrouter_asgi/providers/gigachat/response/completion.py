"""GigaChat's answer -> OpenAI's, whole; and what a whole and a streamed answer have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ....errors import UpstreamError
from ....wire import ChatCompletion
from ...base import unix_time
from ...http import Redaction
from ..request.function_names import FunctionNames
from ..request.json_refs import Schema
from ..request.structured_output import without_fence
from ..request.tool_calls import argument_text, call_id
from .errors import event_error
from .finish import finish_reason, finish_warning, is_usable
from .text_filters import Stops
from .thinking import Thinking
from .usage import gross_usage


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request decides how its answer is read.

    Attributes:
        model: The client's name of the model, which the answer repeats.
        schemas: GigaChat's name of a function -> the schema of its arguments.
        used_ids: The ids of calls the conversation already holds.
        stops: Stop sequences.
        as_functions: The client speaks of functions, not of tools.
        as_content: The arguments of a call are the answer: structured output by a function.
        in_fence: The answer was asked for in words and may come in a code fence.
        include_usage: The client wants the usage chunk at the end of a stream.
        redact: Applied to the words of an error.
    """

    model: str
    names: FunctionNames = field(default_factory=FunctionNames)
    schemas: Mapping[str, Schema] = field(default_factory=dict)
    used_ids: frozenset[str] = frozenset()
    stops: tuple[str, ...] = ()
    as_functions: bool = False
    as_content: bool = False
    in_fence: bool = False
    include_usage: bool = False
    redact: Redaction = field(default_factory=Redaction)

    def head(self, answer: Mapping[str, Any], *, kind: str, request_id: str) -> dict[str, Any]:
        """The members that are the same in all chunks of one answer."""
        created, build = answer.get("created"), answer.get("model")
        head = {
            "id": f"chatcmpl-{request_id.replace('-', '')}",
            "object": kind,
            "created": created if isinstance(created, int) else unix_time(),
            "model": self.model,
        }
        if isinstance(build, str):
            # GigaChat's model is its id and its build, such as `GigaChat:2.0.28.2`.
            head["system_fingerprint"] = f"fp_{hashlib.sha256(build.encode()).hexdigest()[:10]}"
        return head

    def tool_call(self, called: Mapping[str, Any], state: object) -> dict[str, Any]:
        """A `function_call` of GigaChat's as one of `tool_calls`."""
        name = called["name"]
        arguments = argument_text(called.get("arguments"), self.schemas.get(name))
        function = {"name": self.names.to_client(name), "arguments": arguments}
        return {"id": call_id(state, used=self.used_ids), "type": "function", "function": function}

    def content(self, text: str, called: Mapping[str, Any] | None) -> str:
        """The text of an answer that has a structure."""
        if called is not None and self.as_content:
            return argument_text(called.get("arguments"), self.schemas.get(called["name"]))
        return without_fence(text) if self.in_fence else text


def completion(answer: Mapping[str, Any], asked: Asked, *, request_id: str) -> ChatCompletion:
    """Translate a whole answer.

    Raises:
        UpstreamError: `empty_answer` when there are no choices, `bad_body` when there is no message in it, and
            `upstream_error` when a call failed and there is no text either.
        XRouterError: The answer is an error with status 200.
    """
    choice = _choice(answer, asked)
    message, said = choice["message"], choice.get("finish_reason")
    reasoning, text = _told_apart(message)
    called = message.get("function_call")
    called = called if is_usable(called, said) else None
    text = asked.content(text, called)
    stops = Stops(asked.stops)
    text = stops.feed(text) + stops.close()
    if stops.hit or asked.as_content:
        called = None
    finish = "stop" if stops.hit else _finish(said, called, text, asked)
    result: dict[str, Any] = {"role": "assistant", "content": text or (None if called else ""), "refusal": None}
    if reasoning:
        result["reasoning_content"] = reasoning
    if called:
        call = asked.tool_call(called, message.get("functions_state_id"))
        result |= {"function_call": call["function"]} if asked.as_functions else {"tool_calls": [call]}
    head = asked.head(answer, kind="chat.completion", request_id=request_id)
    choices = [{"index": 0, "message": result, "logprobs": None, "finish_reason": finish}]
    usage = gross_usage(answer.get("usage"))
    return ChatCompletion({**head, "choices": choices, **({"usage": usage} if usage else {})})


def answer_warning(answer: Mapping[str, Any], asked: Asked) -> str | None:
    """The word for what a translated answer does not tell."""
    choice = _choice(answer, asked)
    said = choice.get("finish_reason")
    return finish_warning(said, called=is_usable(choice["message"].get("function_call"), said))


def _finish(said: object, called: object, text: str, asked: Asked) -> str:
    return finish_reason(said, called=called is not None, has_text=bool(text), as_function=asked.as_functions)


def _choice(answer: Mapping[str, Any], asked: Asked) -> Mapping[str, Any]:
    """The first choice that is an answer, and not a report of a built-in function's progress."""
    if error := event_error(dict(answer), model=asked.model, redact=asked.redact):
        raise error
    choices = answer.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(message, dict) or not isinstance(message.get("content"), str | None):
            raise UpstreamError("GigaChat: the answer holds a choice without a proper message.", code="bad_body")
        if message.get("role") != "function_in_progress":
            result: Mapping[str, Any] = choice
            return result
    raise UpstreamError("GigaChat: the answer holds no choices.", code="empty_answer")


def _told_apart(message: Mapping[str, Any]) -> tuple[str, str]:
    """The reasoning, by either way models show it, and the text."""
    content, reasoning = message.get("content"), message.get("reasoning_content")
    thinking = Thinking()
    first = thinking.feed(content if isinstance(content, str) else "")
    last = thinking.close()
    return (reasoning if isinstance(reasoning, str) else "") + first[0] + last[0], first[1] + last[1]
