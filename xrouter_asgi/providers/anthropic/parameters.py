"""The remaining parameters of a chat request: mapped, left out where nothing is lost, warned about, or refused."""

from __future__ import annotations

import hashlib
from typing import Any

from ...wire import ChatRequest
from ...wire.chat import JSONSchemaFormat
from ..base import ignored_word
from .blocks import Block
from .diagnostics import invalid, unsupported, unsupported_value
from .schema import closed

# Parameters whose loss does not change an answer. How the cache is used, `options.cache` says.
_CACHING = {"prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"}
_HARMLESS = _CACHING | {"moderation", "prediction", "service_tier", "store"}
_MAPPED = {"modalities", "safety_identifier", "thinking", "top_k"}
_ONE_OBJECT = "Answer with one JSON object and nothing else: no explanation, no code fences."

# Parameters without which another question would be answered.
_REFUSED = {
    "audio": "The Messages API answers in text only.",
    "web_search_options": "Searches of the web are not asked for from here. Offer a tool that searches.",
}


def parameters(request: ChatRequest, *, thinks: bool, warnings: list[str]) -> dict[str, Any]:
    """Members of the body.

    Args:
        thinks: Whether the model thinks, which leaves no choice of how it samples.

    Raises:
        UnsupportedOperation: Ignoring a parameter would answer another question.
        InvalidRequest: The upstream would refuse the value.
    """
    _refuse(request)
    for name in ("seed", "logit_bias", "presence_penalty", "frequency_penalty"):
        value = getattr(request, name)
        if value or (name == "seed" and value is not None):
            warnings.append(ignored_word(name))
    body = _sampling(request, thinks=thinks, warnings=warnings)
    if request.stop:
        body["stop_sequences"] = _stops(request.stop)
    user = (request.model_extra or {}).get("safety_identifier") or request.user
    if isinstance(user, str) and user:
        # Anthropic wants no names and addresses there, and refuses some.
        body["metadata"] = {"user_id": hashlib.sha256(user.encode(errors="replace")).hexdigest()}
    if request.stream:
        body["stream"] = True
    for name, value in (request.model_extra or {}).items():
        if value is not None and name not in _HARMLESS and name not in _MAPPED:
            warnings.append(ignored_word(name))
    return body


def shape(request: ChatRequest, warnings: list[str]) -> tuple[dict[str, Any], list[Block]]:
    """The member `format` of `output_config`, and what the instructions must say in its place.

    Raises:
        UnsupportedOperation: The format is an unknown one.
    """
    wanted = request.response_format
    if wanted is None or wanted.type == "text":
        return {}, []
    if wanted.type == "json_object":
        warnings.append("json_object_emulated")
        return {}, [{"type": "text", "text": _ONE_OBJECT}]
    if not isinstance(wanted, JSONSchemaFormat):
        raise unsupported_value("response_format.type", f"the Messages API has no format '{wanted.type[:64]}'")
    if not (schema := wanted.json_schema.schema_):
        raise invalid("response_format.json_schema.schema", "it is empty")
    return {"format": {"type": "json_schema", "schema": closed(schema)}}, []


def _refuse(request: ChatRequest) -> None:
    if (request.n or 1) > 1:
        raise unsupported("n", "The Messages API gives one answer at a time. Send several requests instead.")
    if request.logprobs or request.top_logprobs:
        param = "logprobs" if request.logprobs else "top_logprobs"
        raise unsupported(param, "The Messages API gives no log probabilities.")
    extra = request.model_extra or {}
    if extra.get("modalities") not in (None, [], ["text"]):
        raise unsupported("modalities", _REFUSED["audio"])
    for name, reason in _REFUSED.items():
        if extra.get(name) is not None:
            raise unsupported(name, reason)


def _sampling(request: ChatRequest, *, thinks: bool, warnings: list[str]) -> dict[str, Any]:
    """One of `temperature` and `top_p`, because newer models refuse both; and Anthropic's own `top_k`."""
    temperature, top_p, top_k = request.temperature, request.top_p, (request.model_extra or {}).get("top_k")
    if top_k is not None and (type(top_k) is not int or top_k < 0):
        raise invalid("top_k", "expected a whole number, 0 or more")
    if temperature is not None and temperature > 1:
        temperature = 1.0
        warnings.append("temperature_lowered")
    if thinks:
        given = {"temperature": None if temperature == 1 else temperature, "top_p": top_p, "top_k": top_k}
        warnings += [ignored_word(name) for name, value in given.items() if value is not None and value != 1]
        return {}
    body: dict[str, Any] = {} if top_k is None else {"top_k": top_k}
    if temperature is not None and temperature != 1 and top_p is not None:
        if top_p != 1:
            warnings.append(ignored_word("top_p"))
        top_p = None
    if top_p is not None and top_p != 1:
        return {**body, "top_p": top_p}
    return body if temperature is None else {**body, "temperature": temperature}


def _stops(stop: str | list[str]) -> list[str]:
    stops = [stop] if isinstance(stop, str) else stop
    if any(not each.strip() for each in stops):
        raise unsupported_value("stop", "the Messages API stops at no text of white space alone")
    return stops
