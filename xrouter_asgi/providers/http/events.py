"""Events of a stream from an upstream: their JSON, and the frame around those who read them."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from ...errors import UpstreamError, XRouterError
from ...wire import ChatChunk
from ...wire.codec import decode
from ...wire.sse import EventReader

_KIND = re.compile(r"[A-Za-z0-9_.]{1,64}")


class Ending(Protocol):
    """What reads events knows of their end.

    Attributes:
        finished: The answer is whole.
        done: The upstream said that nothing follows.
    """

    finished: bool
    done: bool


class EventStreamDecoder(ABC):
    """Bytes of an event stream in, chunks out. See `ChunkDecoder`."""

    def __init__(self, ending: Ending) -> None:
        self._frames = EventReader()
        self._ending = ending
        self.silent = True
        self.failure: XRouterError | None = None

    @property
    def finished(self) -> bool:
        return self._ending.finished

    @property
    def done(self) -> bool:
        return self._ending.done

    def feed(self, piece: bytes) -> list[ChatChunk]:
        try:
            frames = self._frames.feed(piece)
        except XRouterError as error:
            self.failure = error
            return []
        self.silent = not frames
        return self._chunks(frames)

    def close(self) -> list[ChatChunk]:
        # What the end cuts off is no event.
        return self._chunks(filter(is_whole, self._frames.close()))

    def _chunks(self, frames: Iterable[bytes]) -> list[ChatChunk]:
        chunks: list[ChatChunk] = []
        try:
            self._read(frames, chunks)
        except XRouterError as error:
            self.failure = error
        return chunks

    @abstractmethod
    def _read(self, frames: Iterable[bytes], chunks: list[ChatChunk]) -> None:
        """Add the chunks of these events. Raises XRouterError; the chunks of the events before go out."""


def kind_of(event: Mapping[str, Any]) -> str:
    """The `type` of an event. What is none becomes the name of events without one."""
    kind = event.get("type")
    return kind if isinstance(kind, str) and _KIND.fullmatch(kind) else "message"


def is_whole(event: bytes) -> bool:
    """Whether an event is JSON: one that was cut off is none."""
    try:
        decode(event)
    except ValueError:
        return False
    return True


def event_object(event: bytes) -> dict[str, Any]:
    """The JSON of an event. Raises UpstreamError, `bad_event`, if it is no object."""
    try:
        value = decode(event)
    except ValueError as error:
        raise bad_event(str(error)) from error
    if isinstance(value, dict):
        return value
    raise bad_event("it is no object")


def object_in(event: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A member of an event. Raises UpstreamError, `bad_event`, if it is no object."""
    if isinstance(value := event.get(name), dict):
        return value
    raise bad_event(f"'{name}' is no object")


def bad_event(reason: str) -> UpstreamError:
    return UpstreamError("The upstream sent an event that cannot be read.", code="bad_event", detail=reason)
