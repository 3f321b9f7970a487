"""Which candidate answered a conversation last, so that it can stay where the cache of its prompt is warm."""

from __future__ import annotations

from hashlib import blake2b

from ..providers.base import Call
from ..recent import Recent
from ..wire.codec import encode
from .candidates import CandidateStats

_CONVERSATIONS = 10_000  # that are remembered
_MOST = 64  # messages, and parts of each, that are looked at
_END = 4096  # characters


class SessionAffinity:
    """Remembers who answered 10,000 conversations, each process its own."""

    def __init__(self) -> None:
        self._known: Recent[bytes, CandidateStats] = Recent(_CONVERSATIONS)

    def last(self, call: Call) -> CandidateStats | None:
        """Who answered the conversation of this call last."""
        return self._known.get(_conversation(call))

    def answered(self, call: Call, candidate: CandidateStats) -> None:
        """Note who answered it."""
        self._known.put(_conversation(call), candidate)


def _conversation(call: Call) -> bytes:
    """What stays the same from one turn to the next: `prompt_cache_key`, else all up to the first of the user's words.

    For each caller apart, so that nobody learns by timing what others ask. Only a digest is kept.
    """
    value = call.document.value
    told = value.get("prompt_cache_key")
    if not isinstance(told, str):
        messages = value.get("messages") or [value.get("input")]
        until = next((index for index, each in enumerate(messages) if _is_users(each)), 0)
        told = encode([_outline(message) for message in messages[: until + 1][:_MOST]]).decode()
    principal = call.context.principal
    return blake2b(encode([principal and principal.id, told]), digest_size=16).digest()


def _outline(message: object) -> list[object]:
    """Enough of a message to tell it from others: who says it, and the ends and the length of each text."""
    role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, message)
    return [role, *map(_ends, content[:_MOST] if isinstance(content, list) else [content])]


def _ends(part: object) -> tuple[str, str, int] | None:
    if isinstance(part, dict):
        part = part.get("text") or part.get("image_url")
    if isinstance(part, dict):
        part = part.get("url")
    return (part[:_END], part[-_END:], len(part)) if isinstance(part, str) else None


def _is_users(message: object) -> bool:
    return isinstance(message, dict) and message.get("role") == "user"
