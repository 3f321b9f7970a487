"""A chat request in OpenAI's dialect -> the body for GigaChat's `POST /chat/completions` (v1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...wire import ChatCompletion, ChatRequest
from .options import Options, StructuredOutput
from .stream import StreamTranslation


@dataclass(frozen=True, slots=True)
class Attachment:
    param: str
    url: str | None = None
    file_id: str | None = None
    filename: str | None = None


def attachments(request: ChatRequest) -> list[Attachment]:
    raise NotImplementedError


def translate(
    request: ChatRequest,
    *,
    model: str,
    options: Options,
    files: Mapping[str, str],
    structured: StructuredOutput,
    replay_state: bool = True,
    plain_calls: bool = False,
) -> Translation:
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Translation:
    body: dict[str, Any]
    warnings: tuple[str, ...]
    session: str | None
    uses_native_schema: bool
    has_state_ids: bool

    def complete(self, answer: dict[str, Any], *, request_id: str) -> ChatCompletion:
        raise NotImplementedError

    def stream(self, *, request_id: str) -> StreamTranslation:
        raise NotImplementedError
