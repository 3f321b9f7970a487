"""GigaChat's whole answer -> OpenAI's; and what whole and streamed answers have in common: usage and finish."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....errors import UpstreamError
from ....wire import ChatCompletion
from ..request.asked import Asked
from .errors import event_error
from .text_filters import Stops, Thinking

# v1 says `blacklist`. The others are v2's, which some stands use in v1 too.
_FILTERED = ("blacklist", "request_blacklist", "response_blacklist", "request_filter")
_FAILED = ("error", "function_call_error")
_KNOWN = ("stop", "length", "function_call", *_FILTERED, *_FAILED)


def completion(answer: Mapping[str, Any], asked: Asked, *, request_id: str) -> ChatCompletion:
    """Translate a whole answer.

    Raises:
        UpstreamError: `empty_answer` when there are no choices, `bad_body` when there is no message in it, and
            `upstream_error` when a call failed and there is no text either.
        XRouterError: The answer is an error with status 200.
    """
    choice = _choice(answer, asked)
    message, said = choice["message"], choice.get("finish_reason")
    reasoning, text = _reasoning_and_text(message)
    text, called, finish = conclusion(said, message.get("function_call"), text, asked=asked, stops=Stops(asked.stops))
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


def answer_warning(answer: Mapping[str, Any], asked: Asked) -> tuple[str, ...]:
    """The warning, if any, about a finish that `completion()` cannot express."""
    choice = _choice(answer, asked)
    said = choice.get("finish_reason")
    if said in _FAILED and not is_usable(choice["message"].get("function_call"), said):
        return ("finish_reason_error",)
    return () if said in _KNOWN else ("finish_reason_unknown",)


def _choice(answer: Mapping[str, Any], asked: Asked) -> Mapping[str, Any]:
    """The first choice that is an answer instead of a built-in function's progress."""
    if error := event_error(dict(answer), model=asked.model, errors=asked.errors):
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


def _reasoning_and_text(message: Mapping[str, Any]) -> tuple[str, str]:
    """The reasoning, in either of the two places where models put it, and the text."""
    content, reasoning = message.get("content"), message.get("reasoning_content")
    thinking = Thinking()
    first = thinking.feed(content if isinstance(content, str) else "")
    last = thinking.close()
    return (reasoning if isinstance(reasoning, str) else "") + first[0] + last[0], first[1] + last[1]


def conclusion(
    said: object, call: object, held: str, *, asked: Asked, stops: Stops, has_text: bool = False
) -> tuple[str, dict[str, Any] | None, str]:
    """The end of the text, of which `held` is not shown yet; the call if it can be passed on; and `finish_reason()`."""
    called = call if isinstance(call, dict) and is_usable(call, said) else None
    text = stops.feed(asked.content(held, called)) + stops.close()
    if stops.hit:
        return text, None, "stop"
    if asked.as_content:
        called = None
    has_text = has_text or bool(text)
    return text, called, finish_reason(said, called=bool(called), has_text=has_text, as_function=asked.as_functions)


def finish_reason(said: object, *, called: bool, has_text: bool, as_function: bool = False) -> str:
    """OpenAI's `finish_reason` for what GigaChat `said`. An unknown one counts as `stop`.

    Raises:
        UpstreamError: GigaChat announces a call and gives neither a usable one nor text.
    """
    if said == "length":
        return "length"
    if said in _FILTERED:
        return "content_filter"
    if called:
        return "function_call" if as_function else "tool_calls"
    if not has_text and (said in _FAILED or said == "function_call"):
        raise UpstreamError("GigaChat: the model failed to call a function properly. Try again.")
    return "stop"


def is_usable(call: object, said: object) -> bool:
    """Whether a `function_call` has a name and, when GigaChat says that it failed, intact arguments."""
    if not isinstance(call, dict) or not isinstance(call.get("name"), str) or not call["name"]:
        return False
    return said not in _FAILED or isinstance(call.get("arguments"), dict)


def gross_usage(usage: object) -> dict[str, Any] | None:
    """OpenAI's `usage`; None when GigaChat did not count.

    GigaChat's `prompt_tokens` leave out what came from its cache, because that is not billed. OpenAI's hold all.
    """
    if not isinstance(usage, dict) or (prompt := _count(usage.get("prompt_tokens"))) is None:
        return None
    cached = _count(usage.get("precached_prompt_tokens")) or 0
    completion = _count(usage.get("completion_tokens")) or 0
    return {
        "prompt_tokens": prompt + cached,
        "completion_tokens": completion,
        "total_tokens": prompt + cached + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
