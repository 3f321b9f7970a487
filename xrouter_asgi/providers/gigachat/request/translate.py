"""A chat request in OpenAI's dialect -> the body for GigaChat's `POST /chat/completions` (v1)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ....wire import ChatRequest
from ....wire.codec import encode
from ...http import Redaction
from ..options import GigaChatOptions, StructuredOutput
from .asked import Asked
from .diagnostics import Warnings
from .function_names import FunctionNames
from .functions import Functions, declared, functions, specification
from .messages import Conversation
from .parameters import parameters
from .structured_output import Structure, structure
from .tool_calls import ids_in, names_in

_HEADER_SAFE = re.compile(r"[!-~]{1,128}")


@dataclass(frozen=True, slots=True)
class Translation:
    """A request as GigaChat takes it.

    Attributes:
        body: The body for `POST /chat/completions`.
        warnings: What was ignored, changed or emulated, as words such as `seed_ignored`.
        session: For `X-Session-ID`: the same for all requests whose prompts begin alike, so that GigaChat's cache is
            used. It is made of the conversation alone: mix in the credential before sending it.
        uses_native_schema: A 400 or 422 may mean that the model does not take `response_format`.
        has_state_ids: A 400 or 422 may mean that the stand does not take `functions_state_id`.
        asked: How to read the answer.
    """

    body: dict[str, Any] = field(repr=False)
    warnings: tuple[str, ...]
    session: str | None
    uses_native_schema: bool
    has_state_ids: bool
    asked: Asked = field(repr=False)


def translate(
    request: ChatRequest,
    *,
    model: str,
    options: GigaChatOptions,
    files: Mapping[str, str],
    structured: StructuredOutput,
    replay_state: bool = True,
    plain_calls: bool = False,
    redact: Redaction | None = None,
) -> Translation:
    """Translate a request.

    Args:
        model: The target's name of the model; `options.aliases` may give it another.
        files: `Attachment.param` -> GigaChat's id, for all `attachments(request)` without one.
        structured: How to ask for `json_schema`.
        replay_state: Whether to send `functions_state_id`, which some stands refuse.
        plain_calls: Whether to render calls and results as text: some stands refuse calls without functions.
        redact: Applied to the words of an error that the answer turns out to be.

    Raises:
        InvalidRequest: GigaChat would refuse the request, because of `param`.
        UnsupportedOperation: GigaChat cannot do it; in strict mode also for what would be a warning.
    """
    model = options.aliases.get(model, model)
    warnings = Warnings(strict=options.strict)
    offered = declared(request)
    shape = structure(request, mode=structured, has_functions=bool(offered), warnings=warnings)
    names = FunctionNames([function.name for _, function in offered] + names_in(request.messages) + _names_of(shape))
    chosen = _functions_of(shape, names) or functions(request, offered, names=names, warnings=warnings)
    conversation = Conversation(
        request.messages,
        names=names,
        options=options,
        files=files,
        warnings=warnings,
        replay_state=replay_state and options.replay_state,
        plain_calls=plain_calls,
    )
    messages = conversation.translated([chosen.hint, shape.instruction])
    body: dict[str, Any] = {"model": model, "messages": messages}
    if chosen.specifications:
        body |= {"functions": chosen.specifications, "function_call": chosen.call}
    if shape.response_format is not None:
        body["response_format"] = shape.response_format
    body |= parameters(request, model=model, options=options, warnings=warnings)
    return Translation(
        body=body,
        warnings=tuple(warnings),
        session=_session(request, body),
        uses_native_schema=shape.response_format is not None,
        has_state_ids=any("functions_state_id" in message for message in messages),
        asked=_asked(request, names, chosen, shape, redact or Redaction()),
    )


def _names_of(shape: Structure) -> list[str]:
    return [] if shape.function is None else [shape.function.name]


def _functions_of(shape: Structure, names: FunctionNames) -> Functions | None:
    """The one function that stands for structured output, if any. The client offers none then."""
    if shape.function is None:
        return None
    only = specification(shape.function, names, param="response_format.json_schema")
    return Functions([only], {"name": only["name"]})


def _asked(request: ChatRequest, names: FunctionNames, chosen: Functions, shape: Structure, redact: Redaction) -> Asked:
    stop = request.stop or ()
    return Asked(
        model=request.model,
        names=names,
        schemas={item["name"]: item["parameters"] for item in chosen.specifications},
        used_ids=ids_in(request.messages),
        stops=(stop,) if isinstance(stop, str) else tuple(stop),
        as_functions=bool(request.functions),
        as_content=shape.function is not None,
        in_fence=shape.is_emulated,
        include_usage=request.include_usage,
        redact=redact,
    )


def _session(request: ChatRequest, body: Mapping[str, Any]) -> str | None:
    """The client's `prompt_cache_key`, else a hash of what stays the same throughout a conversation."""
    key = (request.model_extra or {}).get("prompt_cache_key")
    if isinstance(key, str) and _HEADER_SAFE.fullmatch(key):
        return key
    if isinstance(key, str) and key:
        return _hash([key])
    system = [item for item in body["messages"][:1] if item["role"] == "system"]
    first = [item for item in body["messages"] if item["role"] == "user"][:1]
    return _hash([body["model"], system, body.get("functions"), first]) if first else None


def _hash(parts: Sequence[Any]) -> str:
    return hashlib.sha256(encode(parts)).hexdigest()[:32]
