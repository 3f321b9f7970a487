"""Attachments -> files of the account, each uploaded once.

Clients send the same picture again with every turn of a conversation, so an upload is remembered by the digest of its
bytes. Files belong to the `X-Client-ID` that uploaded them, and stay in the account until they are deleted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
from asyncio import get_running_loop
from collections.abc import Collection, Sequence
from functools import partial
from urllib.parse import unquote_to_bytes

import httpx

from ....errors import InvalidRequest, ModelNotFound, RequestRejected, UpstreamError, UpstreamTimeout, XRouterError
from ....queueing.single_flight import SingleFlight
from ....recent import Recent
from ....wire.codec import decode
from ....wire.reading import by_size
from ...http import Redaction
from ..auth.client import GigaChatClient
from ..request.attachments import Attachment
from ..response.errors import upstream_error
from .downloads import Downloads
from .types import LIMITS, FileType, expected_kind, recognise, too_large

log = logging.getLogger("xrouter")

_PLAIN_ALPHABET = bytes.maketrans(b"-_", b"+/")
_SPACES = b" \t\r\n\f\v"
_MAX_MEDIA = 80 << 20  # images and audio of one request
_LONGEST_PERCENT = 64 << 10  # characters of a percent-encoded URL, which take 40 times as long as base64
_LONGEST_HEAD = 1024  # characters before the data
_LONGEST_NAME = 256
_PIECE = 1 << 20  # base64 that is decoded in one call


class Uploads:
    """Uploads attachments and remembers them.

    Args:
        capacity: How many uploads are remembered; the least recently used is deleted first.
        life: Seconds an upload is used before it is deleted from the account.
    """

    def __init__(
        self, client: GigaChatClient, downloads: Downloads, *, capacity: int = 1000, life: float = 3600.0
    ) -> None:
        self._client = client
        self._downloads = downloads
        self._life = life
        self._uploads: Recent[str, tuple[str, float]] = Recent(capacity)  # each file's id, and until when it is used
        self._flights: SingleFlight[str, str] = SingleFlight(end_unwanted=True)
        self._deletions: SingleFlight[str, None] = SingleFlight()

    async def ids(self, attachments: Sequence[Attachment], *, deadline: float | None = None) -> dict[str, str]:
        """`param` of each attachment -> id of its file. After the deadline an upload that others wait for goes on.

        Raises:
            InvalidRequest: About the `param` of an attachment that cannot be read, fetched or uploaded.
            UpstreamError: The upstream failed while a file was uploaded. `total_timeout`: the deadline came first.
        """
        self._sweep()
        ids = {each.param: each.file_id for each in attachments if each.file_id is not None}
        media = 0
        read: list[tuple[Attachment, bytes, FileType]] = []
        for attachment in attachments:
            if attachment.file_id is None:
                data = await self._read(attachment, deadline)
                kind = await by_size(len(data), recognise, data, param=attachment.param, filename=attachment.filename)
                media += len(data) if kind.kind != "document" else 0
                if media > _MAX_MEDIA:
                    message = f"The images and recordings of a request have at most {_MAX_MEDIA >> 20} MiB together."
                    raise InvalidRequest(message, code="file_too_large", param=attachment.param)
                read.append((attachment, data, kind))
        for attachment, data, kind in read:
            ids[attachment.param] = await self._uploaded(data, kind, attachment, deadline)
        return ids

    def forget(self, ids: Collection[str]) -> bool:
        """Upload these anew the next time. Returns whether any of them was remembered."""
        stale = [key for key, (file_id, _) in self._uploads.items() if file_id in ids]
        for key in stale:
            self._uploads.discard(key)
        return bool(stale)

    async def aclose(self) -> None:
        """End uploads, downloads and deletions under way. What was uploaded stays in the account."""
        await self._flights.aclose()
        await self._deletions.aclose()
        await self._downloads.aclose()

    async def _read(self, attachment: Attachment, deadline: float | None) -> bytes:
        url = attachment.url or ""
        kind = expected_kind(attachment.param)
        if url[:5].lower() != "data:":
            limit = LIMITS[kind] if kind is not None else max(LIMITS.values())
            return await self._downloads.get(url, limit=limit, param=attachment.param, deadline=deadline)
        data = await by_size(len(url), _data, url, attachment.param)
        if kind is not None and len(data) > LIMITS[kind]:
            raise too_large(kind, attachment.param)
        return data

    async def _uploaded(self, data: bytes, kind: FileType, attachment: Attachment, deadline: float | None) -> str:
        # One `Uploads` serves one account, so credential and client id need not be part of the key.
        key = await by_size(len(data), _digest, data)
        if (upload := self._uploads.get(key)) is not None:
            return upload[0]
        try:
            upload_it = partial(self._upload, key, data, kind, attachment.filename)
            return await self._flights.do(key, upload_it, deadline=deadline)
        except TimeoutError:
            message = "GigaChat did not take a file in the time of this call."
            raise UpstreamTimeout(message, code="total_timeout", trips=False) from None
        except InvalidRequest as error:
            # Those who share a flight may have the file in different places.
            raise error.but(param=attachment.param) from error

    async def _upload(self, key: str, data: bytes, kind: FileType, filename: str | None) -> str:
        content_type, content = await by_size(len(data), _form, data, kind, filename)
        headers = [(b"Content-Type", content_type), (b"Accept", b"application/json")]
        answer = await self._client.fetch("POST", "/files", headers=headers, content=content, limit=1 << 20)
        if answer.status not in (200, 201):
            errors = self._client.errors
            error = upstream_error(answer.status, answer.headers, answer.body, model="", errors=errors)
            if isinstance(error, RequestRejected | ModelNotFound):  # the file's fault, not GigaChat's
                raise InvalidRequest(error.message, code="file_rejected", detail=error.detail)
            raise error
        file_id = _file_id(answer.body, self._client.redact)
        if (oldest := self._uploads.put(key, (file_id, get_running_loop().time() + self._life))) is not None:
            self._delete(oldest[0])
        return file_id

    def _sweep(self) -> None:
        time = get_running_loop().time()
        for key, (file_id, stale_at) in list(self._uploads.items()):
            if time >= stale_at:
                self._uploads.discard(key)
                self._delete(file_id)

    def _delete(self, file_id: str) -> None:
        self._deletions.start(file_id, partial(self._delete_now, file_id))

    async def _delete_now(self, file_id: str) -> None:
        try:
            await self._client.fetch("POST", f"/files/{file_id}/delete", limit=1 << 20)
        except XRouterError as error:
            log.info("A file was not deleted from GigaChat: %s", error.message, extra={"file_id": file_id})


def _data(url: str, param: str) -> bytes:
    """The bytes of a `data:` URL (RFC 2397), percent-encoded or base64. Raises InvalidRequest.

    Takes base64 as clients make it: in lines (Android), without padding, in the alphabet for URLs (RFC 4648, 5).
    """
    head, comma, text = url.partition(",")
    if "%" in text and len(text) > _LONGEST_PERCENT:
        message = f"A percent-encoded data URL has at most {_LONGEST_PERCENT >> 10} KiB. Write it with base64."
        raise InvalidRequest(message, code="invalid_file_data", param=param)
    try:
        raw = unquote_to_bytes(text) if "%" in text else text.encode()
        if comma and "base64" not in (word.strip().lower() for word in head[:_LONGEST_HEAD].split(";")[1:]):
            return raw
        if comma and (data := _decoded(raw.translate(_PLAIN_ALPHABET, delete=_SPACES).rstrip(b"="))):
            return data
    except (binascii.Error, UnicodeEncodeError):
        pass
    raise InvalidRequest("This is not a data URL with valid base64.", code="invalid_file_data", param=param)


def _decoded(raw: bytes) -> bytes:
    """What base64 without its padding says, decoded in pieces. Raises binascii.Error."""
    if b"=" in raw:
        raise binascii.Error("padding inside")
    raw += b"=" * (-len(raw) % 4)
    return b"".join(
        base64.b64decode(raw[start : start + _PIECE], validate=True) for start in range(0, len(raw), _PIECE)
    )


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _form(data: bytes, kind: FileType, filename: str | None) -> tuple[bytes, bytes]:
    """The content type of the form that uploads a file, and the form."""
    file = (_safe_name(filename, kind), data, kind.mime)
    form = httpx.Request("POST", "/files", files=[("file", file), ("purpose", (None, b"general"))])
    return form.headers["content-type"].encode(), form.read()


def _safe_name(filename: str | None, kind: FileType) -> str:
    """A file name with the extension of the type, which cannot break out of its quotes."""
    stem = (filename or "")[:_LONGEST_NAME]
    stem = stem.rpartition(".")[0] or stem
    safe = "".join(char for char in stem if char.isalnum() or char in " ._-")[:80].strip()
    return f"{safe or 'file'}.{kind.extension}"


def _file_id(body: bytes, redact: Redaction) -> str:
    try:
        file_id = decode(body)["id"]
    except (ValueError, KeyError, TypeError):
        file_id = None
    if not isinstance(file_id, str) or not file_id.isascii() or not file_id.replace("-", "").isalnum():
        said = redact(body.decode("utf-8", "replace"))[:300]
        raise UpstreamError("GigaChat did not say under which id it stored a file.", code="bad_body", detail=said)
    return file_id
