"""One address of a provider: the only place from which HTTP goes upstream."""

from __future__ import annotations

import importlib.util
import math
from asyncio import get_running_loop
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from types import MappingProxyType
from typing import TypeAlias

import httpx

from ...checks import Seconds, SecondsOrInf, require_positive
from ...errors import UpstreamError, UpstreamTimeout
from .addresses import base_address, proxy_address
from .answer import AnswerStream, UpstreamAnswer, timed
from .cancel_safe import OwnedTransport
from .decoding import decoded
from .failures import has_unknown_issuer, upstream_error
from .request import Endpoint, Fields, SharedFields, site_of, start
from .tls import TLS
from .transport import KEEPALIVE, HTTPTransport, PooledBody

Instrument: TypeAlias = Callable[[httpx.AsyncBaseTransport], httpx.AsyncBaseTransport]

USER_AGENT = f"xrouter-asgi/{version('xrouter-asgi')}"

_NONE: Mapping[str, str] = MappingProxyType({})
_NO_BODY = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each phase of an exchange may last, in seconds. Each above 0.

    Args:
        connect: For TCP and TLS together.
        first: From the written request to the head of the answer.
        idle: Between two reads of a body. Framing without content does not count as life.
        total: For the whole exchange, last byte included; `inf` sets no bound.
        write: Until the upstream has taken the request.
        pool: Waiting for a free connection.

    Raises:
        ValueError: For a value that is not above 0.
    """

    connect: Seconds = 5.0
    first: Seconds = 120.0
    idle: Seconds = 60.0
    total: SecondsOrInf | None = 600.0
    write: Seconds = 30.0
    pool: Seconds = 5.0

    def __post_init__(self) -> None:
        require_positive(**asdict(self))


class Upstream:
    """Sends requests to one base URL and hands back answers, or errors of `xrouter_asgi.errors`.

    4xx and 5xx are answers here; what they mean is the provider's business. Redirects are refused: a request carries
    credentials for this address and no other. No answer should come compressed; one that does is decoded.

    Nothing is opened before the first request. An instance belongs to the event loop of that request.

    Args:
        base_url: `http://` or `https://`, host, optional port and path; a request's path is appended as it is.
        headers: Sent with every request.
        timeouts: See `Timeouts`.
        tls: Whom to trust, and as whom. Certificates are read only if the connections need them.
        proxy: `http://` or `https://` address of a proxy. None uses none, whatever the environment says.
        http2: Offer HTTP/2. Needs the extra `http2`.
        max_connections: Most connections at once; further requests wait for up to `timeouts.pool`.
        transport: Replaces the one that `tls`, `proxy`, `http2` and `max_connections` describe. Closed by `aclose()`.
            Wrap httpx's own in `OwnedTransport`: it does not survive being cancelled.
        instrument: Wraps the transport, such as in one that makes a span of each request.

    Raises:
        ValueError: For a URL, proxy, header or certificate that cannot be used.
        ImportError: For `http2` without its extra.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] = _NONE,
        timeouts: Timeouts = Timeouts(),
        tls: TLS = TLS(),  # noqa: B008 -- frozen
        proxy: str | None = None,
        http2: bool = False,
        max_connections: int = 1000,
        transport: httpx.AsyncBaseTransport | None = None,
        instrument: Instrument | None = None,
    ) -> None:
        url = base_address(base_url)
        if max_connections < 1:
            raise ValueError(f"'max_connections' is {max_connections}. Write a number above 0.")
        self.base_url = base_url.rstrip("/")
        self.timeouts = timeouts
        self._trusted = tls.trusted
        self.host = url.host
        self._headers = [(b"Host", url.netloc), (b"Accept-Encoding", b"identity"), *_encoded(headers)]
        self._endpoint = lru_cache(maxsize=256)(self._make_endpoint)
        self._clocks = {
            "connect": timeouts.connect,
            "read": timeouts.idle,
            "write": timeouts.write,
            "pool": timeouts.pool,
            "first": timeouts.first,
        }
        plain = transport or _transport(url, tls=tls, proxy=proxy, http2=http2, max_connections=max_connections)
        self._transport = plain if instrument is None else instrument(plain)
        # Without httpx's objects if nobody needs to see them: they cost as much as all the rest.
        direct = self._transport.exchange if isinstance(self._transport, HTTPTransport) else None
        self._exchange = direct or self._through_httpx
        self._head_by = timeouts.pool + timeouts.connect + timeouts.write + timeouts.first

    async def fetch(
        self,
        method: str,
        path: str,
        *,
        shared: SharedFields = (),
        headers: Fields = (),
        content: bytes = b"",
        limit: int = 32 << 20,
        deadline: float | None = None,
    ) -> UpstreamAnswer:
        """Send a request and read its whole answer, at most `limit` bytes of it. See `open`.

        Raises:
            UpstreamError: Also for an answer that is too large.
        """
        begun = await self._begin(method, path, shared, headers, content, deadline)
        body = begun[2]
        whole = body.take(limit) if isinstance(body, PooledBody) else None  # a small one came together with its head
        return UpstreamAnswer(begun[0], begun[1], await AnswerStream(*begun).read(limit) if whole is None else whole)

    async def open(
        self,
        method: str,
        path: str,
        *,
        shared: SharedFields = (),
        headers: Fields = (),
        content: bytes = b"",
        deadline: float | None = None,
    ) -> AnswerStream:
        """Send a request and return when the head of its answer is here. Close what is returned.

        Args:
            shared: See `SharedFields`.
            deadline: When everything has to be over, the end of the answer included, in the loop's time.

        Raises:
            UpstreamError: No answer, a redirect or one compressed in an unknown way: see `failures`.
        """
        return AnswerStream(*await self._begin(method, path, shared, headers, content, deadline))

    async def _begin(
        self, method: str, path: str, shared: SharedFields, headers: Fields, content: bytes, deadline: float | None
    ) -> tuple[int, Fields, httpx.AsyncByteStream, float, float, str, bool]:
        """Send a request. What returns is what an `AnswerStream` is made of."""
        endpoint = self._endpoint(method, path, shared)
        began = get_running_loop().time()
        until, hurried = self._earlier(began, deadline)
        try:
            step = self._exchange(endpoint, headers, content, self._clocks)
            # No timer if the transport gives up before the deadline.
            status, answered, body = await (step if began + self._head_by < until else timed(until, step))
        except (httpx.RequestError, OSError) as exc:
            error = upstream_error(exc, started=False, where=endpoint.where, hurried=hurried)
            raise self.explained(error, exc) from exc
        try:
            if (coding := _coding(status, answered, endpoint.where)) is not None:
                status, answered, body = decoded(status, answered, body, coding, endpoint.where)
        except UpstreamError:
            await body.aclose()
            raise
        return status, answered, body, until, self.timeouts.idle, endpoint.where, hurried

    def explained(self, error: UpstreamError, cause: Exception) -> UpstreamError:
        """The error for a request without an answer. A provider that knows more about the cause replaces it."""
        if has_unknown_issuer(cause):
            return error.but(detail=f"{error.detail} Trusted now: {self._trusted}.")
        return error

    async def aclose(self) -> None:
        """Close the transport and what is open on it."""
        await self._transport.aclose()

    def __repr__(self) -> str:
        return f"Upstream({self.base_url!r})"

    def _earlier(self, began: float, deadline: float | None) -> tuple[float, bool]:
        """The earlier of a deadline and our own, and whether it leaves less time than a head may take."""
        own = began + (math.inf if self.timeouts.total is None else self.timeouts.total)
        if deadline is None or deadline >= own:
            return own, False
        if deadline <= began:
            raise UpstreamTimeout("No time is left to ask the upstream.", code="total_timeout", trips=False)
        return deadline, deadline < began + self.timeouts.first

    async def _through_httpx(
        self, endpoint: Endpoint, fields: Fields, content: bytes, timeouts: Mapping[str, float | None]
    ) -> tuple[int, Fields, httpx.AsyncByteStream]:
        sized = [(b"Content-Length", b"%d" % len(content))] if content or endpoint.takes_body else []
        request = httpx.Request(
            endpoint.method,
            endpoint.url,
            headers=[*endpoint.fields, *fields, *sized],
            stream=httpx.ByteStream(content),  # with `content` httpx adds fields of its own, at twice the price
            extensions={"timeout": timeouts},
        )
        response = await self._transport.handle_async_request(request)
        if not isinstance(response.stream, httpx.AsyncByteStream):
            raise TypeError(f"The transport answered with a body that cannot be awaited: {type(response.stream)!r}.")
        return response.status_code, response.headers.raw, response.stream

    def _make_endpoint(self, method: str, path: str, shared: SharedFields) -> Endpoint:
        fields = [*self._headers, *shared]
        url = httpx.URL(self.base_url + path)
        return Endpoint(
            method,
            url,
            site_of(url),
            fields,
            start(method, url, fields),
            where=f"{method} {self.base_url}{path.partition('?')[0]}",
            takes_body=method not in _NO_BODY,
        )


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    for name, value in headers.items():
        if any(char in "\r\n\0" for char in name + value):
            raise ValueError(f"Header {name!r} holds a line break or a NUL. Copy its value again, without.")
        if not (name + value).isascii():
            raise ValueError(f"Header {name!r} holds characters outside ASCII. Check that its value was copied whole.")
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def _transport(
    url: httpx.URL, *, tls: TLS, proxy: str | None, http2: bool, max_connections: int
) -> httpx.AsyncBaseTransport:
    if proxy is None and not http2:
        return HTTPTransport(tls=tls.context() if url.scheme == "https" else None, max_connections=max_connections)
    if http2 and importlib.util.find_spec("h2") is None:
        raise ImportError('HTTP/2 needs h2. Install it with: pip install "xrouter-asgi[http2]"')
    through = None if proxy is None else proxy_address(proxy)
    limits = httpx.Limits(
        max_connections=max_connections, max_keepalive_connections=max_connections, keepalive_expiry=KEEPALIVE
    )
    inner = httpx.AsyncHTTPTransport(verify=tls.context(), trust_env=False, http2=http2, limits=limits, proxy=through)
    return OwnedTransport(inner)


_NO_CODINGS = (b"", b"identity", b"none", b"utf-8")  # the last two are mistakes that some servers make


def _coding(status: int, fields: Fields, where: str) -> str | None:
    """How the body is compressed, if it is. Raises UpstreamError for a redirect."""
    if 300 <= status < 400:
        raise UpstreamError(
            "The upstream answered with a redirect, which is not followed.",
            code="redirect_refused",
            trips=False,
            detail=f"{where}: status {status}",
        )
    for name, value in fields:
        if name.lower() == b"content-encoding" and (coding := value.strip().lower()) not in _NO_CODINGS:
            return coding.decode("latin-1")
    return None
