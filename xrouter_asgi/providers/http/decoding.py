"""Compressed answers.

An upstream is asked for none, but the network before it may compress all the same, errors above all.
Decodes gzip and deflate always; zstd and br if this Python has a module that can bound what it decodes.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Iterator
from typing import Any, Protocol

import httpx

from ...errors import UpstreamError
from .failures import TruncatedBody
from .request import Fields

MAX_RATIO = 100
"""How many times as large as what came an answer may become, beyond its first MiB."""

_FREE = 1 << 20
_PIECE = 64 << 10  # decoded at once
_DESCRIBED = (b"content-encoding", b"content-length")  # of the body as it came


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...

    def pieces(self, data: bytes) -> Iterator[bytes]: ...


class _Zlib:
    """gzip (RFC 1952), perhaps of several members, or deflate: zlib's format, or raw as some servers send it."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._inner: Any = None

    @property
    def eof(self) -> bool:
        return self._inner is None or self._inner.eof

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inner is None or (self.eof and self._gzip and data[0] == 0x1F):
                self._inner = zlib.decompressobj(31 if self._gzip else 15 if data[0] & 0x8F == 8 else -15)
            elif self.eof:
                return  # what follows is padding
            yield self._inner.decompress(data, _PIECE)
            data = self._inner.unused_data or self._inner.unconsumed_tail
        while not self.eof and (more := self._inner.decompress(b"", _PIECE)):
            yield more


class _Zstd:
    """RFC 8878."""

    def __init__(self, module: Any) -> None:
        self._inner = module.ZstdDecompressor(options={module.DecompressionParameter.window_log_max: 23})  # RFC 9659

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if not self.eof:
            yield self._inner.decompress(data, _PIECE)
        while not (self.eof or self._inner.needs_input):
            yield self._inner.decompress(b"", _PIECE)


class _Brotli:
    """RFC 7932. Only from version 1.2 on can the module bound a piece."""

    def __init__(self, module: Any) -> None:
        self._inner = module.Decompressor()

    @property
    def eof(self) -> bool:
        return bool(self._inner.is_finished())

    def pieces(self, data: bytes) -> Iterator[bytes]:
        yield self._inner.process(data, output_buffer_limit=_PIECE)
        while not self.eof and (more := self._inner.process(b"", output_buffer_limit=_PIECE)):
            yield more


class DecodedBody(httpx.AsyncByteStream):
    """The decoded pieces of a compressed body, each of at most 64 KiB; some may be empty.

    Args:
        lenient: End the body where it cannot be decoded: of an error, the status counts and the words only help.

    Raises:
        UpstreamError: From reading: `bad_protocol` if it is not compressed as it says, `too_large` beyond `MAX_RATIO`.
        TruncatedBody: From reading: the compressed data lacks its end.
    """

    def __init__(self, body: httpx.AsyncByteStream, decoder: _Decoder | None, *, lenient: bool, where: str) -> None:
        self._body = body
        self._chunks = aiter(body)
        self._decoder = decoder
        self._lenient = lenient
        self._where = where
        self._pieces: Iterator[bytes] = iter(())
        self._came = self._made = 0

    def __aiter__(self) -> DecodedBody:
        return self

    async def __anext__(self) -> bytes:
        while (piece := self._decoded()) is None:
            try:
                data = await anext(self._chunks)
            except StopAsyncIteration:
                if self._decoder is not None and self._came and not self._decoder.eof and not self._lenient:
                    raise TruncatedBody("the compressed data has no end") from None
                raise
            self._came += len(data)
            self._pieces = self._decoder.pieces(data) if self._decoder is not None else iter(())
        return piece

    async def aclose(self) -> None:
        await self._body.aclose()

    def _decoded(self) -> bytes | None:
        try:
            piece = next(self._pieces, None)
        except Exception as error:  # each module has its own
            if self._lenient:
                raise StopAsyncIteration from None
            raise _undecodable(f"{self._where}: {error}") from error
        if piece is not None:
            self._made += len(piece)
            if self._made > _FREE + MAX_RATIO * self._came:
                if self._lenient:
                    raise StopAsyncIteration
                message = "The upstream's answer is too large."
                detail = f"{self._where}: decoded to more than {MAX_RATIO} times its size"
                raise UpstreamError(message, code="too_large", trips=False, falls_back=False, detail=detail)
        return piece


def decoded(
    status: int, fields: Fields, body: httpx.AsyncByteStream, coding: str, where: str
) -> tuple[int, Fields, httpx.AsyncByteStream]:
    """An answer without its compression.

    An error whose coding is unknown loses its body.

    Raises:
        UpstreamError: `bad_protocol` for an unknown coding of any other answer.
    """
    decoder = _decoder(coding)
    if decoder is None and status < 400:
        raise _undecodable(f"{where}: content-encoding {coding[:100]!r}")
    kept = [field for field in fields if field[0].lower() not in _DESCRIBED]
    return status, kept, DecodedBody(body, decoder, lenient=status >= 400, where=where)


def _undecodable(detail: str) -> UpstreamError:
    message = "The upstream compressed its answer, which it was asked not to do, and it cannot be decoded."
    return UpstreamError(message, code="bad_protocol", detail=detail)


def _decoder(coding: str) -> _Decoder | None:
    match coding:
        case "gzip" | "x-gzip":
            return _Zlib(gzip=True)
        case "deflate":
            return _Zlib(gzip=False)
        case "zstd":
            module = _module("compression.zstd") or _module("backports.zstd")
            return _Zstd(module) if module else None
        case "br":
            module = _module("brotli")
            can_bound = hasattr(getattr(module, "Decompressor", None), "can_accept_more_data")
            return _Brotli(module) if can_bound else None
        case _:
            return None


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
