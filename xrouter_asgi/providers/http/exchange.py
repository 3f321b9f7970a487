"""The seam between `Upstream` and whatever carries its requests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import NamedTuple, Protocol, TypeAlias

import httpx

from .request import Fields, Site


class Endpoint(NamedTuple):
    """What all requests of one method to one path share.

    Attributes:
        fields: Header fields that each of them has.
        start: The request line and these fields, as they go on the wire.
        where: Method and address, for the operator's eyes only.
        takes_body: Whether a request without a body has to say so.
    """

    method: str
    url: httpx.URL
    site: Site
    fields: Fields
    start: bytes
    where: str
    takes_body: bool


class ResponseBody(Protocol):
    """A body that is still to come, in pieces as they are read. Close it on every way out."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def take(self, limit: int) -> bytes | None:
        """All of it, if it is here already and has at most `limit` bytes; else None."""
        ...

    async def aclose(self) -> None: ...


ResponseHead: TypeAlias = tuple[int, Fields, ResponseBody]
"""An answer whose head is here: its status, its fields and the body to come."""


class Exchange(Protocol):
    """Sends one request."""

    def __call__(
        self, endpoint: Endpoint, fields: Fields, content: bytes, timeouts: Mapping[str, float | None]
    ) -> Awaitable[ResponseHead]:
        """Send `content` with the endpoint's fields and these, and return when the head of the answer is here.

        Raises:
            httpx.RequestError, OSError: There is no answer.
        """
        ...


def exchange_through(transport: httpx.AsyncBaseTransport) -> Exchange:
    """The way to send requests through any transport of httpx's."""

    async def exchange(
        endpoint: Endpoint, fields: Fields, content: bytes, timeouts: Mapping[str, float | None]
    ) -> ResponseHead:
        request = httpx.Request(
            endpoint.method,
            endpoint.url,
            headers=[*endpoint.fields, *fields],
            stream=httpx.ByteStream(content),  # with `content` httpx adds fields of its own, at twice the price
            extensions={"timeout": timeouts},
        )
        response = await transport.handle_async_request(request)
        stream = response.stream
        if not isinstance(stream, httpx.AsyncByteStream):
            raise TypeError(f"The transport answered with a body that cannot be awaited: {type(stream)!r}.")
        return response.status_code, response.headers.raw, _HTTPXBody(stream)

    return exchange


class _HTTPXBody:
    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._stream)

    def take(self, limit: int) -> bytes | None:
        return None

    async def aclose(self) -> None:
        await self._stream.aclose()
