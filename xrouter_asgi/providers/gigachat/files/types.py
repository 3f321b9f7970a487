"""Which files GigaChat reads. Their first bytes tell: what a client says about a file is only a hint."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ....errors import InvalidRequest

Kind = Literal["image", "audio", "document"]

LIMITS: dict[Kind, int] = {"image": 15 << 20, "audio": 35 << 20, "document": 40 << 20}
"""Bytes a file may have."""


@dataclass(frozen=True, slots=True)
class FileType:
    """What a file is. GigaChat goes by the MIME type of the part in which it is uploaded."""

    kind: Kind
    mime: str
    extension: str


def _starting(*types: tuple[bytes, Kind, str, str]) -> list[tuple[re.Pattern[bytes], FileType]]:
    return [(re.compile(start, re.DOTALL), FileType(kind, mime, extension)) for start, kind, mime, extension in types]


_STARTS = _starting(
    (rb"\xff\xd8\xff", "image", "image/jpeg", "jpg"),
    (rb"\x89PNG\r\n\x1a\n", "image", "image/png", "png"),
    (rb"II\*\0|MM\0\*", "image", "image/tiff", "tiff"),
    (rb"ID3", "audio", "audio/mpeg", "mp3"),
    (rb"\x1aE\xdf\xa3", "audio", "audio/webm", "weba"),  # EBML, the container of WebM
    (rb"%PDF-", "document", "application/pdf", "pdf"),
    (rb"RIFF.{4}WAVE", "audio", "audio/wav", "wav"),
    (rb"OggS.{0,52}OpusHead", "audio", "audio/opus", "opus"),
    (rb"OggS", "audio", "audio/ogg", "ogg"),
    (rb".{4}ftypM4A", "audio", "audio/x-m4a", "m4a"),
    (rb".{4}ftyp", "audio", "audio/mp4", "mp4"),
    # The sync word of a frame of layer III, without a tag in front.
    (rb"\xff[\xe2\xe3\xea\xeb\xf2\xf3\xfa\xfb]", "audio", "audio/mpeg", "mp3"),
    (rb"BM.{4}\0{4}", "image", "image/bmp", "bmp"),  # the reserved fields tell it from a text that begins with "BM"
)
_OTHER_IMAGES = {
    "GIF": re.compile(rb"GIF8"),
    "WebP": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "HEIC": re.compile(rb".{4}ftyp(heic|heix|mif1)", re.DOTALL),
    "AVIF": re.compile(rb".{4}ftypavif", re.DOTALL),
}
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_DOC = FileType("document", "application/msword", "doc")
_PPT = FileType("document", "application/vnd.ms-powerpoint", "ppt")
_EPUB = FileType("document", "application/epub+zip", "epub")
_TXT = FileType("document", "text/plain", "txt")
_CONTROLS = bytes({*range(32), 127} - set(b"\t\n\f\r"))
_OFFICE = "application/vnd.openxmlformats-officedocument."
_ZIPPED = (  # the folder that each kind of Office document has
    (b"word/", FileType("document", f"{_OFFICE}wordprocessingml.document", "docx")),
    (b"ppt/", FileType("document", f"{_OFFICE}presentationml.presentation", "pptx")),
    (b"xl/", FileType("document", f"{_OFFICE}spreadsheetml.sheet", "xlsx")),
)


def recognise(data: bytes, *, param: str, filename: str | None = None) -> FileType:
    """The type of a file.

    The request holds it at `param`: an `image_url` must be an image, `input_audio` audio. `filename` tells an old Word
    document from an old PowerPoint, which begin alike.

    Raises:
        InvalidRequest: `unsupported_image` or `unsupported_file`; `file_too_large` beyond its kind's limit.
    """
    if (other := next((name for name, start in _OTHER_IMAGES.items() if start.match(data)), None)) is not None:
        message = f"GigaChat does not read {other} images. Convert it to PNG or JPEG."
        raise InvalidRequest(message, code="unsupported_image", param=param)
    found = _found(data, filename)
    wanted = expected_kind(param)
    if wanted == "image" and (found is None or found.kind != "image"):
        message = "This is not an image that GigaChat reads. Send JPEG, PNG, TIFF or BMP."
        raise InvalidRequest(message, code="unsupported_image", param=param)
    if found is None or wanted not in (None, found.kind):
        raise InvalidRequest(
            "GigaChat does not read this kind of file here. Send an image (jpeg, png, tiff, bmp), audio (mp3, mp4, "
            "m4a, wav, weba, ogg, opus) or a document (txt, doc, docx, pdf, epub, ppt, pptx, xlsx).",
            code="unsupported_file",
            param=param,
        )
    if len(data) > LIMITS[found.kind]:
        raise too_large(found.kind, param)
    return found


def expected_kind(param: str) -> Kind | None:
    """What a part of that path must be; None if it may be anything."""
    if param.endswith("image_url"):
        return "image"
    return "audio" if param.endswith("input_audio") else None


def too_large(kind: Kind, param: str) -> InvalidRequest:
    """The error for a file beyond the limit of its kind."""
    article = "A" if kind == "document" else "An"
    name = "audio file" if kind == "audio" else kind
    message = f"{article} {name} for GigaChat has at most {LIMITS[kind] >> 20} MiB."
    return InvalidRequest(message, code="file_too_large", param=param)


def _found(data: bytes, filename: str | None) -> FileType | None:
    found = next((found for start, found in _STARTS if start.match(data)), None)
    if found is not None:
        return found
    if data.startswith(b"PK\x03\x04"):
        if b"application/epub+zip" in data[:100]:
            return _EPUB  # EPUB's container format wants it there, uncompressed
        return next((found for folder, found in _ZIPPED if folder in data), None)
    if data.startswith(_OLE):
        return _PPT if (filename or "")[-4:].lower() == ".ppt" else _DOC
    return _TXT if _is_text(data) else None


def _is_text(data: bytes) -> bool:
    if not data or len(data.translate(None, _CONTROLS)) != len(data):
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
