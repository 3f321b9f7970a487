"""Pictures, recordings and documents in messages. GigaChat takes the ids of uploads in their place."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TypeAlias

from ....wire import ChatRequest
from ....wire.chat_messages import FilePart, ImagePart, OtherPart, Part, RefusalPart, TextPart
from .diagnostics import invalid, missing, unsupported_value

MAX_IMAGES = 10  # per request, says GigaChat's documentation

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

Content: TypeAlias = str | list[Part] | None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A picture, recording or document in a message.

    The request holds it at `param`, such as `messages[2].content[1].image_url`.
    """

    param: str
    url: str | None = field(default=None, repr=False)  # `data:` or `https:`; None if `file_id` is given
    file_id: str | None = None  # GigaChat's, of an upload that the client made itself
    filename: str | None = None


def attachments(request: ChatRequest) -> list[Attachment]:
    """All attachments, in order.

    Raises:
        InvalidRequest: More than `MAX_IMAGES` pictures, a file without data, a `file_id` that is not GigaChat's.
        UnsupportedOperation: A kind of part that GigaChat has no counterpart for, in its place or at all.
    """
    found: list[Attachment] = []
    for index, message in enumerate(request.messages):
        allowed = message.role in ("user", "tool")
        found += attached(message.content, index, allowed=allowed)
    images = [item for item in found if item.param.endswith(".image_url")]
    if len(images) > MAX_IMAGES:
        reason = f"GigaChat takes at most {MAX_IMAGES} images in one conversation"
        raise invalid(images[MAX_IMAGES].param, reason, code="array_above_max_length")
    return found


def attached(content: Content, index: int, *, allowed: bool = True) -> list[Attachment]:
    """The attachments of the message at `index`. Raises as `attachments()` does, and for any if not `allowed`."""
    found = []
    for position, part in enumerate(content) if isinstance(content, list) else ():
        if isinstance(part, TextPart | RefusalPart):
            continue
        param = f"messages[{index}].content[{position}]"
        attachment = _attachment(part, param)
        if attachment is None or not allowed:
            raise unsupported_value(f"{param}.type", f"GigaChat does not take '{part.type[:64]}' here")
        found.append(attachment)
    return found


def text_of(content: Content) -> str:
    """The text of a message. Parts are joined by line ends."""
    if isinstance(content, list):
        parts = [part.text if isinstance(part, TextPart) else getattr(part, "refusal", None) for part in content]
        return "\n".join(part for part in parts if isinstance(part, str))
    return content or ""


def _attachment(part: Part, param: str) -> Attachment | None:
    match part:
        case ImagePart():
            return Attachment(f"{param}.image_url", url=_url(part.image_url.url))
        case FilePart():
            return _file(part, f"{param}.file")
        case OtherPart(type="input_audio"):
            return _audio(part, f"{param}.input_audio")
    return None


def _file(part: FilePart, param: str) -> Attachment:
    file = part.file
    if file.file_id is not None:
        if _UUID.fullmatch(file.file_id) is None:
            reason = "it is not the id of an upload to GigaChat. Send the document as 'file_data'"
            raise invalid(f"{param}.file_id", reason)
        return Attachment(param, file_id=file.file_id.lower(), filename=file.filename)
    if file.file_data is None:
        raise missing(f"{param}.file_data")
    return Attachment(param, url=_url(file.file_data), filename=file.filename)


def _audio(part: OtherPart, param: str) -> Attachment:
    audio = (part.model_extra or {}).get("input_audio")
    data = audio.get("data") if isinstance(audio, dict) else None
    kind = audio.get("format", "wav") if isinstance(audio, dict) else None
    if not isinstance(data, str) or not data or not isinstance(kind, str):
        raise invalid(param, "expected an object with 'data', base64 text, and 'format', such as 'wav'")
    inline = data.lstrip()[:5].lower() == "data:"
    return Attachment(
        param, url=_url(data) if inline else f"data:;base64,{data}"
    )  # no address: nothing is fetched here


def _url(given: str) -> str:
    """An address as it is; bare base64, which some clients send, as a `data:` URL. The first bytes tell the type."""
    url = given.strip()
    return url if ":" in url[:64] else f"data:;base64,{url}"  # base64 has no colon
