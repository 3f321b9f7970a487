"""A translated request as one upstream wants it written: see `OpenAIOptions`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...context import matches
from ...wire import Document
from .options import OpenAIOptions

_LIMITS = ("max_completion_tokens", "max_tokens")
_REASONING = "reasoning_content"
_SYSTEM = ("system", "developer")


def spelled(document: Document, options: OpenAIOptions, *, model: str) -> tuple[Document, Sequence[str]]:
    """The chat request of a dialect for this upstream, and what it leaves out, as words for `x-xrouter-warnings`.

    Args:
        model: The upstream's name of the model.
    """
    value = {**document.value}
    warnings = []
    limit = next((value.pop(name) for name in _LIMITS if name in value), None)
    if limit is not None:
        value[options.output_limit or "max_tokens"] = limit
    value.pop("stream_options", None)  # the provider asks for usage by itself, where it may
    if not options.prompt_cache_key:
        value.pop("prompt_cache_key", None)
    if "reasoning_effort" in value and not any(matches(each, model) for each in options.reasoning_models):
        del value["reasoning_effort"]
        warnings.append("reasoning_effort_ignored")
    value["messages"] = _messages(value["messages"], options)
    return Document(value), warnings


def _messages(messages: Sequence[dict[str, Any]], options: OpenAIOptions) -> list[dict[str, Any]]:
    begun = False
    written = []
    for message in messages:
        begun = begun or message["role"] not in _SYSTEM
        if begun and message["role"] in _SYSTEM and options.late_system == "user":
            message = {**message, "role": "user", "content": _marked(message["content"])}
        if _REASONING in message and options.reasoning != _REASONING:
            message = {**message}
            reasoning = message.pop(_REASONING)
            if options.reasoning != "off":
                message[options.reasoning] = reasoning
        written.append(message)
    return written


def _marked(content: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """The content of a system message as words of the user."""
    mark = "[system] "
    return mark + content if isinstance(content, str) else [{"type": "text", "text": mark}, *content]
