"""A chat request in OpenAI's dialect -> the body for GigaChat's `POST /chat/completions` (v1)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ....wire import ChatRequest
from ....wire.codec import encode
from ...http import ErrorReader, Redaction
from ..compatibility import Repairs
from ..options import GigaChatOptions
from .asked import Asked
from .diagnostics import Warnings
from .functions import FunctionNames, Functions, declared, functions
from .messages import Conversation
from .parameters import parameters
from .structured_output import Structure, structure
from .tool_calls import ids_in, names_in

_HEADER_SAFE = re.compile(r"[!-~]{1,128}")


@dataclass(frozen=True, slots=True)
class Translation:
    """A request as GigaChat takes it.

    Attributes:
        warnings: What was ignored, changed or emulated, as words such as `seed_ignored`.
        session: For `X-Session-ID`: the same for all requests whose prompts begin alike, so that GigaChat's cache is
            used. It is made of the conversation alone: mix in the credential before sending it.
        asked: How to read the answer.
    """

    body: dict[str, Any] = field(repr=False)
    warnings: tuple[str, ...]
    session: str | None
    asked: Asked = field(repr=False)


def translate(
    request: ChatRequest,
    plan: Repairs,
    *,
    options: GigaChatOptions,
    files: Mapping[str, str],
    errors: ErrorReader | None = None,
) -> Translation:
    """Translate a request as the plan says.

    Args:
        files: `Attachment.param` -> GigaChat's id, for all `attachments(request)` without one.
        errors: Reads an error that the answer turns out to be.

    Raises:
        InvalidRequest: GigaChat would refuse the request, because of `param`.
        UnsupportedOperation: GigaChat cannot do it; in strict mode also for what would be a warning.
    """
    warnings = Warnings(strict=options.strict)
    offered = declared(request)
    shape = structure(request, mode=plan.structured, has_functions=bool(offered), warnings=warnings)
    if shape.function is not None:  # it stands for the schema, and the client offers none then
        offered = [("response_format.json_schema", shape.function)]
    names = FunctionNames([function.name for _, function in offered] + names_in(request.messages))
    chosen = functions(request, offered, names=names, warnings=warnings, forced=shape.function is not None)
    conversation = Conversation(request.messages, plan, names, options, files, warnings)
    body: dict[str, Any] = {"model": plan.model, "messages": conversation.translated([chosen.hint, shape.instruction])}
    if chosen.specifications:
        body |= {"functions": chosen.specifications, "function_call": chosen.call}
    if shape.response_format is not None:
        body["response_format"] = shape.response_format
    body |= parameters(request, model=plan.model, options=options, warnings=warnings)
    asked = _asked(request, names, chosen, shape, errors or ErrorReader(Redaction()))
    return Translation(body, tuple(warnings), _session(request, body), asked)


def _asked(
    request: ChatRequest, names: FunctionNames, chosen: Functions, shape: Structure, errors: ErrorReader
) -> Asked:
    stop = request.stop or ()
    return Asked(
        model=request.model,
        names=names,
        schemas={item["name"]: item["parameters"] for item in chosen.specifications},
        used_ids=ids_in(request.messages),
        stops=(stop,) if isinstance(stop, str) else tuple(stop),
        as_functions=bool(request.functions),
        as_content=shape.function is not None,
        in_fence=shape.function is not None or bool(shape.instruction),
        include_usage=request.include_usage,
        errors=errors,
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
