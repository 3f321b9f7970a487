"""The remaining parameters of a chat request: mapped, ignored where nothing is lost, warned about, or refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ....context import matches
from ....wire import ChatRequest
from ..options import GigaChatOptions
from .diagnostics import Warnings, invalid, unsupported

_EFFORTS = {
    "none": None,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}

# OpenAI's parameters whose loss does not change an answer. The key of the cache becomes the session.
_CACHING = {"prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"}
_HARMLESS = _CACHING | {"safety_identifier", "service_tier", "store"}

# Parameters without which another question would be answered.
_REFUSED = {
    "audio": "GigaChat answers in text only.",
    "web_search_options": "GigaChat's chat completions do not search the web.",
    "storage": "The gateway keeps no conversations. Send the whole conversation each time.",
}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# GigaChat's own parameters: what each must be, in code and in words.
_OWN: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "flags": (lambda value: isinstance(value, list) and all(isinstance(flag, str) for flag in value), "strings"),
    "function_ranker": (lambda value: isinstance(value, dict), "an object"),
    "profanity_check": (lambda value: isinstance(value, bool), "a boolean"),
    "repetition_penalty": (lambda value: _is_number(value) and value > 0, "a number above 0"),
    "update_interval": (lambda value: _is_number(value) and value >= 0, "a number of seconds, 0 or more"),
}


def parameters(request: ChatRequest, *, model: str, options: GigaChatOptions, warnings: Warnings) -> dict[str, Any]:
    """Members of GigaChat's body.

    Raises:
        UnsupportedOperation: Ignoring a parameter would answer another question.
        InvalidRequest: GigaChat would refuse the value of one of its own parameters.
    """
    _refuse(request)
    _warn(request, warnings)
    body = _sampling(request)
    if (effort := _effort(request, model, options, warnings)) is not None:
        body["reasoning_effort"] = effort
    limit = request.max_completion_tokens or request.max_tokens
    if limit is not None and options.max_tokens is not None and limit > options.max_tokens:
        param = "max_completion_tokens" if request.max_completion_tokens else "max_tokens"
        warnings.add("max_tokens_lowered", param=param, reason=f"the model gives at most {options.max_tokens} tokens")
        limit = options.max_tokens
    if limit is not None:
        body["max_tokens"] = limit
    if request.stream:
        body["stream"] = True
    return body | _extras(request, warnings)


def _sampling(request: ChatRequest) -> dict[str, Any]:
    if request.temperature == 0:
        # GigaChat's temperature must be above 0; this is its greedy decoding.
        return {"top_p": 0}
    given = {"temperature": request.temperature, "top_p": request.top_p}
    return {name: value for name, value in given.items() if value is not None}


def _effort(request: ChatRequest, model: str, options: GigaChatOptions, warnings: Warnings) -> str | None:
    wanted = request.reasoning_effort
    if wanted is None:
        return None
    if wanted not in _EFFORTS:
        raise invalid("reasoning_effort", f"expected one of {', '.join(_EFFORTS)}")
    effort = _EFFORTS[wanted]
    if effort is not None and not any(matches(pattern, model) for pattern in options.reasoning_models):
        warnings.ignored("reasoning_effort")
        return None
    return effort


def _refuse(request: ChatRequest) -> None:
    if (request.n or 1) > 1:
        raise unsupported("n", "GigaChat gives one answer at a time. Send several requests instead.")
    if request.logprobs or request.top_logprobs:
        param = "logprobs" if request.logprobs else "top_logprobs"
        raise unsupported(param, "GigaChat gives no log probabilities.")
    extra = request.model_extra or {}
    if extra.get("modalities") not in (None, [], ["text"]):
        raise unsupported("modalities", "GigaChat answers in text only.")
    for name, reason in _REFUSED.items():
        if extra.get(name) is not None:
            raise unsupported(name, reason)


def _warn(request: ChatRequest, warnings: Warnings) -> None:
    for name in ("seed", "logit_bias", "presence_penalty", "frequency_penalty"):
        value = getattr(request, name)
        if value or (name == "seed" and value is not None):
            warnings.ignored(name)


def _extras(request: ChatRequest, warnings: Warnings) -> dict[str, Any]:
    body = {}
    for name, value in (request.model_extra or {}).items():
        if value is None or name in _HARMLESS or name == "modalities":
            continue
        if name not in _OWN:
            warnings.ignored(name)
            continue
        is_right, expected = _OWN[name]
        if not is_right(value):
            raise invalid(name, f"expected {expected}")
        body[name] = value
    return body
