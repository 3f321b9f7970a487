"""What an upstream's answer says: a JSON object, or an error in one of many shapes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from ...errors import UpstreamError
from ...wire.codec import decode
from .redaction import Redaction
from .waits import wait_told

_PAGE = re.compile(r"<\s*(?:!doctype|html|head|body)\b|\A\s*<(?:\?xml|center|h1|title)\b", re.IGNORECASE)
_TITLE = re.compile(r"<(title|h1)[^>]{0,200}>\s{0,200}([^<]{1,200}?)\s{0,200}<", re.IGNORECASE)
_PAGE_WITHIN = 16 * 1024  # characters
_TEXT_WITHIN = 1 << 20  # bytes
_TAG = re.compile(
    r"</?(?:a|b|br|center|code|div|em|font|h[1-6]|hr|i|li|p|pre|span|strong|t[abdhr]\w*|u|ul|ol)\b[^<>]{0,200}>",
    re.IGNORECASE,
)
_SPACES = re.compile(r" {2,}")
_LARGE = 1 << 63  # beyond any code; CPython writes 4300 digits at most
_EVENT_LINES = 64
_READ = 8 * 1024  # bytes of a message, a code or a type
_WORD = re.compile(r"[A-Za-z][\w.-]{0,63}")


def json_object(data: bytes, *, code: str = "bad_body", decoded: Callable[[bytes], Any] = decode) -> dict[str, Any]:
    """The JSON object that an upstream sent, read by `decoded`. Raises UpstreamError with `code` for anything else."""
    try:
        value = decoded(data)
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
        wait: Seconds until a repetition makes sense, told by a member or by the message; see `waits`.
        logged: The message for the log: the upstream's places are left in it.
        words: The message as it came, of which nothing is taken out: only whoever is to blame may be told by it. 8 KiB.
        codes: All codes and types, the numbers among them as text, in the same state.
    """

    message: str | None = None
    type: str | None = None
    code: str | None = None
    param: str | None = None
    status: int | None = None
    page: str | None = None
    wait: float | None = None
    logged: str | None = field(default=None, compare=False)
    words: str = field(default="", compare=False, repr=False)
    codes: Sequence[str] = field(default=(), compare=False, repr=False)

    @classmethod
    def of(cls, body: bytes, redact: Redaction) -> Self:
        """Read a body: JSON, HTML, plain text, or events of which the first that is JSON counts."""
        events = (line[5:] for line in body[:_TEXT_WITHIN].splitlines()[:_EVENT_LINES] if line[:5] == b"data:")
        for text in (body.removeprefix(b"\xef\xbb\xbf"), *events):
            try:
                return cls.of_value(decode(text), redact)
            except ValueError:
                pass
        return cls.of_value(body[:_TEXT_WITHIN].decode("utf-8", "replace"), redact)

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
        error = error[0] if isinstance(error, list) and error else error
        inner: dict[str, Any] = error if isinstance(error, dict) else outer
        if inner is not outer:
            inner = _innermost(inner)
        detail, place = _detail(outer.get("detail"))
        names = ("message", "status_msg", "msg", "error_msg")
        texts = (
            inner.get("message"),
            outer.get("message"),
            detail,
            error,
            *(it.get(name) for it in (inner, outer) for name in names),
        )
        param = inner.get("param", place)
        numbers = (it.get(name) for it in (inner, outer) for name in ("status", "status_code", "code"))
        return cls._of_text(
            next((text for text in texts if isinstance(text, str)), ""),
            redact,
            told_by=(inner, outer),
            codes=tuple(_codes(inner, outer)),
            type=_word(inner.get("type"), redact),
            code=_word(inner.get("code"), redact),
            param=redact(param) if isinstance(param, str) and param != "None" else None,
            status=next(filter(None, map(_status, numbers)), None),
        )

    @classmethod
    def _of_text(
        cls, text: str, redact: Redaction, *, told_by: Iterable[Mapping[str, Any]] = (), **members: Any
    ) -> Self:
        if _PAGE.search(text[:_PAGE_WITHIN]):
            title = _TITLE.search(text[:_PAGE_WITHIN])
            return cls(page=_clean(title[2], redact) if title else "", words=_begin(text), **members)
        return cls(
            _clean(text, redact) or None,
            wait=wait_told(text, *told_by),
            logged=_clean(text, redact.for_log) or None,
            words=_begin(text),
            **members,
        )


def _clean(text: str, redact: Callable[[str], str]) -> str:
    shown, tags = _TAG.subn(" ", redact(text.strip()))
    return _SPACES.sub(" ", shown).strip() if tags else shown


def _innermost(error: dict[str, Any]) -> dict[str, Any]:
    """What the upstream of a relay said: in an error within the error, or as a text in `metadata.raw` (OpenRouter)."""
    told, metadata = error.get("error"), error.get("metadata")
    if isinstance(metadata, dict) and isinstance(raw := metadata.get("raw"), str):
        try:
            value = decode(raw.encode("utf-8", "replace"))
        except ValueError:
            value = {"message": raw}
        value = value[0] if isinstance(value, list) and value else value
        told = value.get("error", value) if isinstance(value, dict) else None
    return {**error, **told} if isinstance(told, dict) else error


def _told_elsewhere(outer: Mapping[str, Any]) -> object:
    """OpenRouter's error in a choice, the first of Cloudflare's `errors`, an object as FastAPI's `detail`, or MiniMax's
    `base_resp`."""
    errors, detail, choices = outer.get("errors"), outer.get("detail"), outer.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0].get("error")
    if isinstance(errors, list) and errors:
        return errors[0]
    if isinstance(detail, dict):
        return detail.get("error", detail)
    return outer.get("base_resp")


def _codes(inner: Mapping[str, Any], outer: Mapping[str, Any]) -> Iterator[str]:
    """What tells an error without words: `status_code` is MiniMax's, `innererror` Azure's, `status` Gemini's."""
    nested = inner.get("innererror")
    for each in (inner, outer, nested if isinstance(nested, dict) else {}):
        for name in ("code", "type", "status_code", "status", "error_code"):
            value = each.get(name)
            if isinstance(value, str) or (type(value) is int and abs(value) < _LARGE):
                yield _begin(str(value))


def _begin(text: str) -> str:
    """As much of a text as is read to find out who is to blame."""
    return text[:_READ].encode("utf-8", "replace")[:_READ].decode("utf-8", "ignore")


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
