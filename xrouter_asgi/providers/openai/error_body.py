"""What an upstream says about an error: read out of the many shapes in use, and made fit to be shown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from ..http import Redaction

_WORD = re.compile(r"[A-Za-z][\w.-]{0,63}")
_HTML = re.compile(r"<\s*(?:!doctype|html|head|body)\b", re.IGNORECASE)
_CONTEXT_LENGTH = re.compile(
    r"(?:maximum|available) context|context[ _](?:length|window)|prompt is too long", re.IGNORECASE
)
_MODERATION = re.compile(r"moderation|content[ _](?:policy|filter)|cyber_policy|flagged", re.IGNORECASE)

_KEY_TROUBLE = {"invalid_api_key", "authentication_error", "invalid_authentication", "unauthorized"}
_QUOTA_TROUBLE = {"insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached", "billing_error"}

# For errors that come under status 200 or inside a stream, without a number of their own.
_STATUSES = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "requests": 429,
    "tokens": 429,
    "model_not_found": 404,
    "not_found_error": 404,
    "permission_error": 403,
    "context_length_exceeded": 400,
    "invalid_request_error": 400,
    "content_filter": 400,
    "content_policy_violation": 400,
    "service_unavailable_error": 503,
    "server_is_overloaded": 503,
    "overloaded_error": 529,
    "timeout_error": 504,
    **dict.fromkeys(_KEY_TROUBLE, 401),
    **dict.fromkeys(_QUOTA_TROUBLE, 402),
}


@dataclass(frozen=True, slots=True)
class Words:
    """An upstream's error, redacted; None is what it did not say, or not as a text that could be shown.

    Attributes:
        status: A number between 400 and 599 that it gave in the body.
    """

    message: str | None = None
    type: str | None = None
    code: str | None = None
    param: str | None = None
    status: int | None = None

    @classmethod
    def read(cls, value: object, redact: Redaction) -> Self:
        """Read a decoded body or event, whatever it is.

        Known shapes: `{"error": {…}}` (OpenAI), the same in a list (Gemini), `{"error": "text"}` (Ollama), flat (vLLM,
        Mistral), `{"detail": "text" or [{"loc", "msg"}]}` (FastAPI), plain text.
        """
        if isinstance(value, list):
            value = value[0] if value else None
        if isinstance(value, str):
            return cls(message=_text(value, redact))
        outer: dict[str, Any] = value if isinstance(value, dict) else {}
        error = outer.get("error")
        inner: dict[str, Any] = error if isinstance(error, dict) else outer
        message, param = inner.get("message"), inner.get("param")
        if message is None:
            message, param = _detail(outer.get("detail"), error)
        return cls(
            message=_text(message, redact),
            type=_word(inner.get("type"), redact),
            code=_word(inner.get("code"), redact),
            param=None if param == "None" else _text(param, redact),
            status=next(filter(None, map(_status, _numbers(inner, outer))), None),
        )

    @property
    def implied_status(self) -> int:
        """The status that such an error would have had as an answer of its own; 500 when nothing tells."""
        known = (_STATUSES.get(word) for word in (self.code, self.type) if word is not None)
        return self.status or next(filter(None, known), 500)

    @property
    def blames_key(self) -> bool:
        return not _KEY_TROUBLE.isdisjoint((self.code, self.type))

    @property
    def blames_quota(self) -> bool:
        return not _QUOTA_TROUBLE.isdisjoint((self.code, self.type))

    @property
    def blames_length(self) -> bool:
        return self.code == "context_length_exceeded" or bool(_CONTEXT_LENGTH.search(self.message or ""))

    @property
    def blames_content(self) -> bool:
        return any(_MODERATION.search(word or "") for word in (self.code, self.type, self.message))

    def __str__(self) -> str:
        return f"{self.type or '-'}/{self.code or '-'}: {self.message or '-'}"


def _detail(detail: object, error: object) -> tuple[object, object]:
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        place = detail[0].get("loc")
        # The first step says where in the request: "body".
        steps = place[1:] if isinstance(place, list) else []
        return detail[0].get("msg"), ".".join(map(str, steps)) or None
    return detail or error, None


def _text(value: object, redact: Redaction) -> str | None:
    if not isinstance(value, str) or not value.strip() or _HTML.search(value):
        return None
    return redact(value.strip())


def _word(value: object, redact: Redaction) -> str | None:
    return value if isinstance(value, str) and _WORD.fullmatch(value) and redact(value) == value else None


def _numbers(*places: dict[str, Any]) -> Iterable[object]:
    return (place.get(name) for place in places for name in ("status", "status_code", "code"))


def _status(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) == 3:
        value = int(value)
    return value if isinstance(value, int) and 400 <= value <= 599 else None
