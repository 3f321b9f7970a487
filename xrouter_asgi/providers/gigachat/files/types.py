"""Which files GigaChat reads. Their first bytes tell: what a client says about a file is only a hint."""

from __future__ import annotations

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


_JPEG = FileType("image", "image/jpeg", "jpg")
_PNG = FileType("image", "image/png", "png")
_TIFF = FileType("image", "image/tiff", "tiff")
_BMP = FileType("image", "image/bmp", "bmp")
_WAV = FileType("audio", "audio/wav", "wav")
_OGG = FileType("audio", "audio/ogg", "ogg")
_OPUS = FileType("audio", "audio/opus", "opus")
_MP3 = FileType("audio", "audio/mpeg", "mp3")
_MP4 = FileType("audio", "audio/mp4", "mp4")
_M4A = FileType("audio", "audio/x-m4a", "m4a")
_WEBA = FileType("audio", "audio/webm", "weba")
_PDF = FileType("document", "application/pdf", "pdf")
_DOC = FileType("document", "application/msword", "doc")
_PPT = FileType("document", "application/vnd.ms-powerpoint", "ppt")
_EPUB = FileType("document", "application/epub+zip", "epub")
_TXT = FileType("document", "text/plain", "txt")

_STARTS = (
    (b"\xff\xd8\xff", _JPEG),
    (b"\x89PNG\r\n\x1a\n", _PNG),
    (b"II*\0", _TIFF),
    (b"MM\0*", _TIFF),
    (b"ID3", _MP3),
    (b"\x1aE\xdf\xa3", _WEBA),  # EBML, the container of WebM
    (b"%PDF-", _PDF),
)
_CONTROLS = bytes({*range(32), 127} - set(b"\t\n\f\r"))
_OFFICE = "application/vnd.openxmlformats-officedocument."
_ZIPPED = (  # the folder that each kind of Office document has
    (b"word/", FileType("document", f"{_OFFICE}wordprocessingml.document", "docx")),
    (b"ppt/", FileType("document", f"{_OFFICE}presentationml.presentation", "pptx")),
    (b"xl/", FileType("document", f"{_OFFICE}spreadsheetml.sheet", "xlsx")),
)


def recognise(data: bytes, *, param: str, filename: str | None = None) -> FileType:
    """The type of a file.

    Args:
        param: Where the request holds it. An `image_url` must be an image, `input_audio` audio.
        filename: Tells an old Word document from an old PowerPoint, which begin alike.

    Raises:
        InvalidRequest: `unsupported_image` or `unsupported_file`; `file_too_large` beyond its kind's limit.
    """
    if (other := _other_image(data)) is not None:
        raise InvalidRequest(
            f"GigaChat does not read {other} images. Convert it to PNG or JPEG.", code="unsupported_image", param=param
        )
    found = _found(data, filename)
    wanted = expected_kind(param)
    if wanted == "image" and (found is None or found.kind != "image"):
        raise InvalidRequest(
            "This is not an image that GigaChat reads. Send JPEG, PNG, TIFF or BMP.",
            code="unsupported_image",
            param=param,
        )
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
    return InvalidRequest(
        f"{article} {name} for GigaChat has at most {LIMITS[kind] >> 20} MiB.", code="file_too_large", param=param
    )


def _found(data: bytes, filename: str | None) -> FileType | None:
    for start, found in _STARTS:
        if data.startswith(start):
            return found
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return _WAV
    if data[:4] == b"OggS":
        return _OPUS if b"OpusHead" in data[:64] else _OGG
    if data[4:8] == b"ftyp":
        return _M4A if data[8:11] == b"M4A" else _MP4
    if len(data) > 1 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2:
        return _MP3  # the sync word of a frame of layer III, without a tag in front
    if data[:2] == b"BM" and data[6:10] == b"\0\0\0\0":
        return _BMP  # the reserved fields tell it from a text that begins with "BM"
    if data[:4] == b"PK\x03\x04":
        return _zipped(data)
    if data[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        return _PPT if (filename or "").lower().endswith(".ppt") else _DOC
    return _TXT if _is_text(data) else None


def _zipped(data: bytes) -> FileType | None:
    if b"application/epub+zip" in data[:100]:
        return _EPUB  # EPUB's container format wants it there, uncompressed
    return next((found for folder, found in _ZIPPED if folder in data), None)


def _other_image(data: bytes) -> str | None:
    if data[:4] == b"GIF8":
        return "GIF"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp":
        return {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC", b"avif": "AVIF"}.get(data[8:12])
    return None


def _is_text(data: bytes) -> bool:
    if not data or len(data.translate(None, _CONTROLS)) != len(data):
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
