"""What an upstream's answer says: a JSON object, an error in one of many shapes, or how long to wait.

`Redaction` takes out of its words what no client and no log may see: secrets, by value and by shape, and addresses.
"""

from __future__ import annotations

import math
import re
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Self

from ...errors import UpstreamError
from ...wire.codec import decode

MAX_MESSAGE = 1024
"""Bytes of UTF-8."""

_SHORTEST = 4
_PASSING = 3  # access tokens: the current one, and those that requests under way may still carry
_SHAPES = re.compile(
    # Keys (whole or masked by the upstream), accounts, tokens.
    r"\bsk-[\w*.-]{3,}|\b(?:pk|rk|gsk|xai|org|proj)[-_][\w*-]{8,}|\bAIza[\w-]{10,}|\beyJ[\w-]{8,}[\w.-]*"
    r"|\bbearer\s+\S+|\bbasic\s+(?=[a-z+/]*[0-9=])[\w+/=-]{8,}"
    # URLs, IPv4 addresses, a host with its port.
    r"|\b[a-z][a-z0-9+.-]{1,20}://\S+|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b"
    r"|(?<![\w.-])(?:[\w-]{1,63}\.){1,9}[a-z][\w-]{0,62}:\d{2,5}\b",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

LONGEST_WAIT = 60.0
"""Seconds. A caller who is told to wait longer should try again then, or ask another upstream."""

_LONGEST_MEANT = 86_400.0
_NUMBER = re.compile(r"\d{1,9}(\.\d{1,9})?")
_PAGE = re.compile(r"<\s*(?:!doctype|html|head|body)\b|\A\s*<(?:\?xml|center|h1|title)\b", re.IGNORECASE)
_TITLE = re.compile(r"<(title|h1)[^>]*>\s*([^<]{1,200}?)\s*<", re.IGNORECASE)
_TITLE_WITHIN = 16 * 1024  # characters
_TAG = re.compile(
    r"</?(?:a|b|br|center|code|div|em|font|h[1-6]|hr|i|li|p|pre|span|strong|t[abdhr]\w*|u|ul|ol)\b[^<>]{0,200}>",
    re.IGNORECASE,
)
_SPACES = re.compile(r" {2,}")
_WORD = re.compile(r"[A-Za-z][\w.-]{0,63}")


class Redaction:
    """Takes secrets, addresses and control characters out of a text.

    Args:
        secrets: Values known to be secret. Those of fewer than 4 characters stay: removing them would tear words apart.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = {secret for secret in secrets if len(secret) >= _SHORTEST}
        self._passing: deque[str] = deque(maxlen=_PASSING)

    def learn(self, secret: str) -> None:
        """Remember one more secret, an access token, until three newer ones have come."""
        if len(secret) >= _SHORTEST and secret not in self._passing:
            self._passing.append(secret)

    def __call__(self, text: str) -> str:
        """The text in one line, without secrets, keys, accounts and addresses, cut at `MAX_MESSAGE` bytes of UTF-8."""
        # The longest first: one may be part of another.
        for secret in sorted({*self._secrets, *self._passing}, key=len, reverse=True):
            text = text.replace(secret, "[redacted]")
        # Patterns are searched only in what may be shown. A secret that this cuts in two still looks like one.
        text = _CONTROL.sub(" ", text[: 4 * MAX_MESSAGE])
        text = _SHAPES.sub("[redacted]", text)
        return text.encode("utf-8", "replace")[:MAX_MESSAGE].decode("utf-8", "ignore")

    def __repr__(self) -> str:
        return f"Redaction({len(self._secrets) + len(self._passing)} values)"


def json_object(data: bytes, *, code: str = "bad_body") -> dict[str, Any]:
    """The JSON object that an upstream sent. Raises UpstreamError with `code` for anything else."""
    try:
        value = decode(data)
    except ValueError as error:
        detail = f"{error}; it begins as {_looks_like(data)}"
        raise UpstreamError("The upstream's answer is not JSON.", code=code, detail=detail) from error
    if not isinstance(value, dict):
        raise UpstreamError("The upstream's answer is no object.", code=code)
    return value


def _looks_like(data: bytes) -> str:
    start = data[:64].lstrip()[:6].lower()
    if start.startswith(b"<"):
        return "a web page or XML"
    if start.startswith((b"data:", b"event:", b"id:", b":")):
        return "events"
    return "JSON" if start.startswith((b"{", b"[")) else "neither JSON nor events"


@dataclass(frozen=True, slots=True)
class UpstreamErrorBody:
    """An upstream's error, redacted. What it did not say, or not as a text that can be shown, is None.

    Attributes:
        status: A number between 400 and 599 in the body.
        page: The title of a web page, perhaps empty, when the body is one instead of an error.
    """

    message: str | None = None
    type: str | None = None
    code: str | None = None
    param: str | None = None
    status: int | None = None
    page: str | None = None

    @classmethod
    def of(cls, body: bytes, redact: Redaction) -> Self:
        """Read a body: JSON, HTML or plain text."""
        try:
            value = decode(body)
        except ValueError:
            value = body.decode("utf-8", "replace")
        return cls.of_value(value, redact)

    @classmethod
    def of_value(cls, value: object, redact: Redaction) -> Self:
        """Read a decoded body or event.

        Known shapes: `{"error": {…}}` (OpenAI), the same in a list (Gemini), `{"error": "text"}` (Ollama), flat (vLLM,
        Mistral, GigaChat), `{"errors": [{…}]}` (Cloudflare), `{"base_resp": {…}}` (MiniMax), `{"code", "msg"}`,
        `{"detail": "text" or [{"loc", "msg"}]}` (FastAPI), plain text.
        """
        if isinstance(value, list):
            value = value[0] if value else None
        if isinstance(value, str):
            return cls._of_text(value, redact)
        outer: dict[str, Any] = value if isinstance(value, dict) else {}
        error = outer.get("error") or _told_elsewhere(outer)
        inner: dict[str, Any] = error if isinstance(error, dict) else outer
        detail, place = _detail(outer.get("detail"))
        texts = (inner.get("message"), outer.get("message"), detail, error, inner.get("status_msg"), outer.get("msg"))
        param = inner.get("param", place)
        numbers = (it.get(name) for it in (inner, outer) for name in ("status", "status_code", "code"))
        return cls._of_text(
            next((text for text in texts if isinstance(text, str)), ""),
            redact,
            type=_word(inner.get("type"), redact),
            code=_word(inner.get("code"), redact),
            param=redact(param) if isinstance(param, str) and param != "None" else None,
            status=next(filter(None, map(_status, numbers)), None),
        )

    @classmethod
    def _of_text(cls, text: str, redact: Redaction, **members: Any) -> Self:
        if _PAGE.search(text):
            title = _TITLE.search(text[:_TITLE_WITHIN])
            return cls(page=_clean(title[2], redact) if title else "", **members)
        return cls(_clean(text, redact) or None, **members)


def _clean(text: str, redact: Redaction) -> str:
    shown, tags = _TAG.subn(" ", redact(text.strip()))
    return _SPACES.sub(" ", shown).strip() if tags else shown


def _told_elsewhere(outer: Mapping[str, Any]) -> object:
    """The first of Cloudflare's `errors`, or MiniMax's `base_resp`."""
    errors = outer.get("errors")
    return errors[0] if isinstance(errors, list) and errors else outer.get("base_resp")


def _detail(detail: object) -> tuple[object, str | None]:
    """FastAPI's message, and which parameter it is about."""
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        place = detail[0].get("loc")
        # The first step says where in the request: "body".
        steps = place[1:] if isinstance(place, list) else []
        return detail[0].get("msg"), ".".join(map(str, steps)) or None
    return detail, None


def _word(value: object, redact: Redaction) -> str | None:
    return value if isinstance(value, str) and _WORD.fullmatch(value) and redact(value) == value else None


def _status(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) == 3:
        value = int(value)
    return value if isinstance(value, int) and 400 <= value <= 599 else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that `retry-after-ms` or `retry-after` ask for (RFC 9110, 10.2.3: seconds or a date).

    At most `LONGEST_WAIT`. None for a value that is absent, unreadable, not above 0 or more than a day, which nobody
    means.

    Args:
        headers: Of the answer, by lower-case names.
    """
    said = headers.get("retry-after", "").strip()
    date = _timestamp(headers.get("date", ""))  # by the clock of the server that named the moment
    waits = (
        _number(headers.get("retry-after-ms", "").strip()) / 1000,
        _number(said),
        _timestamp(said) - (time.time() if math.isnan(date) else date),
    )
    return next((min(wait, LONGEST_WAIT) for wait in waits if 0 < wait <= _LONGEST_MEANT), None)


def _number(value: str) -> float:
    return float(value) if _NUMBER.fullmatch(value) else math.nan


def _timestamp(value: str) -> float:
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):  # no date, or one beyond the calendar
        return math.nan
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
