from __future__ import annotations

import io
import zipfile

import pytest

from xrouter_asgi.errors import InvalidRequest
from xrouter_asgi.providers.gigachat.files.types import LIMITS, Kind, recognise


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "application/epub+zip" if name == "mimetype" else "<xml/>")
    return buffer.getvalue()


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(64)

KNOWN = [
    (b"\xff\xd8\xff\xe0....JFIF", "image", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n....", "image", "image/png"),
    (b"II*\0....", "image", "image/tiff"),
    (b"MM\0*....", "image", "image/tiff"),
    (b"BM....\0\0\0\0....", "image", "image/bmp"),
    (b"RIFF....WAVEfmt ", "audio", "audio/wav"),
    (b"OggS....vorbis", "audio", "audio/ogg"),
    (b"OggS" + bytes(24) + b"OpusHead", "audio", "audio/opus"),
    (b"ID3\x04....", "audio", "audio/mpeg"),
    (b"\xff\xfb\x90\x00", "audio", "audio/mpeg"),
    (b"....ftypM4A ....", "audio", "audio/x-m4a"),
    (b"....ftypisom....", "audio", "audio/mp4"),
    (b"\x1aE\xdf\xa3....webm", "audio", "audio/webm"),
    (b"%PDF-1.7 ....", "document", "application/pdf"),
    (OLE, "document", "application/msword"),
    (zipped("mimetype", "META-INF/container.xml"), "document", "application/epub+zip"),
    (
        zipped("word/document.xml"),
        "document",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    (
        zipped("ppt/presentation.xml"),
        "document",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    (zipped("xl/workbook.xml"), "document", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("BMW, Привет".encode(), "document", "text/plain"),
]


@pytest.mark.parametrize(("data", "kind", "mime"), KNOWN)
def test_a_file_is_told_by_its_first_bytes(data: bytes, kind: str, mime: str) -> None:
    found = recognise(data, param="messages[0].content[0].file")
    assert (found.kind, found.mime) == (kind, mime)


def test_an_old_powerpoint_is_told_by_its_name() -> None:
    assert recognise(OLE, param="file", filename="Slides.PPT").extension == "ppt"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"GIF89a....", "GIF"),
        (b"RIFF....WEBPVP8 ", "WebP"),
        (b"....ftypheic....", "HEIC"),
        (b"....ftypavif....", "AVIF"),
    ],
)
def test_an_image_that_gigachat_does_not_read_is_refused_with_advice(data: bytes, name: str) -> None:
    param = "messages[0].content[1].image_url"
    with pytest.raises(InvalidRequest, match=f"{name} images. Convert it to PNG or JPEG") as caught:
        recognise(data, param=param)
    assert (caught.value.code, caught.value.param) == ("unsupported_image", param)


@pytest.mark.parametrize("data", [b"%PDF-1.7", b"", b"\x00\x01\x02"])
def test_what_is_no_image_is_refused_where_one_belongs(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="not an image") as caught:
        recognise(data, param="messages[0].content[0].image_url")
    assert caught.value.code == "unsupported_image"


@pytest.mark.parametrize("data", [b"", b"\x00\x01\x02", b"\xff\xfe", zipped("other.txt"), b"\x7fELF...."])
def test_an_unknown_kind_of_file_is_refused_with_the_list_of_known_ones(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"jpeg, png, tiff, bmp.*docx, pdf") as caught:
        recognise(data, param="messages[0].content[0].file")
    assert caught.value.code == "unsupported_file"


def test_a_picture_is_refused_where_a_recording_belongs() -> None:
    with pytest.raises(InvalidRequest) as caught:
        recognise(b"\xff\xd8\xff", param="messages[0].content[0].input_audio")
    assert caught.value.code == "unsupported_file"


@pytest.mark.parametrize(
    ("start", "kind", "words"),
    [
        (b"\xff\xd8\xff", "image", "An image .* 15 MiB"),
        (b"ID3", "audio", "An audio file .* 35 MiB"),
        (b"%PDF-", "document", "A document .* 40 MiB"),
    ],
)
def test_a_file_beyond_the_limit_of_its_kind_is_refused(start: bytes, kind: Kind, words: str) -> None:
    fits = start.ljust(LIMITS[kind], b"\0")
    assert recognise(fits, param="file").kind == kind
    with pytest.raises(InvalidRequest, match=words) as caught:
        recognise(fits + b"\0", param="file")
    assert caught.value.code == "file_too_large"
