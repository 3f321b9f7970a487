"""A streamed answer of GigaChat -> chunks in OpenAI's dialect."""

from __future__ import annotations

from typing import Any

from ...wire import ChatChunk


class StreamTranslation:
    stopped: bool

    def feed(self, event: dict[str, Any]) -> list[ChatChunk]:
        raise NotImplementedError

    def close(self) -> list[ChatChunk]:
        raise NotImplementedError
