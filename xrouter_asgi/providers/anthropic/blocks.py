"""Parts of a message of chat -> blocks of the Messages API."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

from ...wire.chat_messages import FilePart, ImagePart, Part, RefusalPart, TextPart
from .diagnostics import invalid, unsupported_value

Block: TypeAlias = dict[str, Any]
Content: TypeAlias = str | list[Part] | None

_DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w-]+=[^;,]*)*(;base64)?,", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_BEGINNINGS = (("iVBORw0K", "image/png"), ("/9j/", "image/jpeg"), ("R0lGOD", "image/gif"), ("UklGR", "image/webp"))
_PDF = "JVBERi"  # `%PDF-` in base64


def text_block(text: str) -> list[Block]:
    """A block; none for a text without a visible character, which the API refuses."""
    return [{"type": "text", "text": text}] if text.strip() else []


def texts_of(content: Content, param: str) -> list[Block]:
    """The texts of a message that may hold nothing else.

    Raises:
        UnsupportedOperation: There is another part in it.
    """
    return [*_read(content, param, given=False)]


def blocks_of(content: Content, param: str) -> list[Block]:
    """The texts, pictures and documents of a message.

    Raises:
        InvalidRequest: A picture or document whose data cannot be read.
        UnsupportedOperation: Another part, or one that names a file of an upload.
    """
    return [*_read(content, param, given=True)]


def joined_text(content: Content) -> str:
    """All the text of a message. Parts are joined by line ends."""
    if isinstance(content, list):
        return "\n".join(part.text for part in content if isinstance(part, TextPart))
    return content or ""


def _read(content: Content, param: str, *, given: bool) -> Iterator[Block]:
    """Each block, with the mark for the cache that the client put there."""
    if not isinstance(content, list):
        yield from text_block(content or "")
        return
    for place, part in enumerate(content):
        for block in _blocks(part, f"{param}[{place}]", given=given):
            if isinstance(mark := (part.model_extra or {}).get("cache_control"), dict):
                block["cache_control"] = mark
            yield block


def _blocks(part: Part, param: str, *, given: bool) -> list[Block]:
    match part:
        case TextPart(text=text) | RefusalPart(refusal=text):
            return text_block(text)
        case ImagePart() if given:
            return [{"type": "image", "source": _picture(part.image_url.url.strip(), f"{param}.image_url.url")}]
        case FilePart() if given:
            return [_document(part, f"{param}.file")]
    raise unsupported_value(f"{param}.type", f"the Messages API does not take '{part.type[:64]}' here")


def _picture(url: str, param: str) -> Block:
    if _ADDRESS.match(url):
        return {"type": "url", "url": url}
    kind, data = _base64(url, param)
    kind = kind or next((kind for start, kind in _BEGINNINGS if data.startswith(start)), None)
    if kind is None:
        raise invalid(param, "what kind of picture it is cannot be told. Begin it with 'data:image/png;base64,'")
    return {"type": "base64", "media_type": kind, "data": data}


def _document(part: FilePart, param: str) -> Block:
    file = part.file
    title = {"title": file.filename} if file.filename else {}
    if file.file_data is None:
        reason = "files of uploads belong to one account at the upstream. Send the document as 'file_data'"
        raise unsupported_value(f"{param}.file_id", reason)
    param = f"{param}.file_data"
    if _ADDRESS.match(given := file.file_data.strip()):
        return {"type": "document", "source": {"type": "url", "url": given}, **title}
    kind, data = _base64(given, param)
    if kind == "application/pdf" or (kind is None and data.startswith(_PDF)):
        source = {"type": "base64", "media_type": "application/pdf", "data": data}
        return {"type": "document", "source": source, **title}
    if kind is not None and kind.startswith("text/"):
        return {"type": "document", "source": _text_source(data, param), **title}
    raise unsupported_value(param, "the Messages API takes PDF and text as documents")


def _text_source(data: str, param: str) -> Block:
    try:
        text = base64.b64decode(data, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise invalid(param, "it is no base64 of a text in UTF-8") from None
    return {"type": "text", "media_type": "text/plain", "data": text}


def _base64(given: str, param: str) -> tuple[str | None, str]:
    """The media type, if told, and the data. Some clients send bare base64, which has no colon."""
    if ":" not in given[:64]:
        return None, given
    if (head := _DATA.match(given)) is None or head[2] is None:
        raise invalid(param, "expected an https URL, or a 'data:' URL with base64")
    return (head[1] or "").lower() or None, given[head.end() :]
