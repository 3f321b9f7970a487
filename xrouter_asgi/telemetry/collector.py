"""An OpenTelemetry collector, and how documents of OTLP/JSON come to it over HTTP.

Rules: https://opentelemetry.io/docs/specs/otlp/#otlphttp.
"""

from __future__ import annotations

import asyncio
import logging
import math
import zlib
from collections.abc import Mapping
from random import uniform
from types import MappingProxyType

from ..errors import UpstreamError
from ..providers.http import TLS, USER_AGENT, Timeouts, Upstream, UpstreamAnswer, json_object, retry_after

LOCAL = "http://localhost:4318"
"""Where a collector listens unless somebody says otherwise."""
TIMEOUT = 10.0
"""Seconds for an export and its repetitions, the default of OpenTelemetry's SDKs."""

_AGAIN = frozenset({429, 502, 503, 504})  # the statuses that OTLP lets an exporter repeat after
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0  # seconds before a repetition; each is up to twice as long as the one before
_ANSWER = 64 << 10  # bytes
_STEP = 16 << 10  # bytes that are compressed at once: a fifth of a millisecond
_LONGEST = 256  # characters of what a collector says
_WHOLE = 16 + zlib.MAX_WBITS  # asks zlib for gzip

logger = logging.getLogger("xrouter")


class ExportFailed(Exception):
    """A collector did not take a document. The message is for the log and holds no secret."""


class Collector:
    """POSTs documents of OTLP/JSON to a collector.

    It tries again when the collector cannot be reached or answers 429, 502, 503 or 504: after the time that
    `Retry-After` asks for, else after a pause that grows from half a second to five.

    Nothing is opened before the first document. An instance belongs to the event loop of that document.

    Args:
        endpoint: The base URL. The path of a signal is appended to it.
        headers: Sent with every document, such as a token.
        tls: Whom to trust, and as whom. Certificates are read at once.
        proxy: `http://` or `https://` address of a proxy.
        timeout: Seconds for a document and its repetitions.
        compress: Send documents as gzip.

    Raises:
        ValueError: For an endpoint, header, certificate or proxy that cannot be used.
    """

    def __init__(
        self,
        endpoint: str = LOCAL,
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        tls: TLS = TLS(),  # noqa: B008 -- frozen
        proxy: str | None = None,
        timeout: float = TIMEOUT,
        compress: bool = False,
    ) -> None:
        coding = {"content-encoding": "gzip"} if compress else {}
        fields = {"user-agent": USER_AGENT, **headers, "content-type": "application/json", **coding}
        timeouts = Timeouts(first=timeout, idle=timeout, total=timeout)
        self.endpoint = endpoint
        self._timeout = timeout
        self._compress = compress
        self._upstream = Upstream(endpoint, headers=fields, timeouts=timeouts, tls=tls, proxy=proxy)

    async def post(self, path: str, document: bytes, *, within: float = math.inf) -> int:
        """Deliver a document, and log what the collector says of a part that it rejected.

        Args:
            path: That of the signal: `/v1/traces` or `/v1/metrics`.
            within: Seconds, if they are fewer than `timeout`.

        Returns:
            How many spans or data points the collector rejected.

        Raises:
            ExportFailed: The collector refused the document, or did not take it in time.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + min(within, self._timeout)
        content = await _gzip(document) if self._compress else document
        pause = _FIRST_PAUSE
        while True:
            try:
                answer = await self._upstream.fetch("POST", path, content=content, limit=_ANSWER, deadline=deadline)
            except UpstreamError as error:
                failure, again, wait = f"cannot be reached: {error.code}", error.code != "redirect_refused", None
            else:
                if 200 <= answer.status < 300:
                    return self._rejected(answer)
                failure, again, wait = _refusal(answer), answer.status in _AGAIN, retry_after(answer.headers)
            wait = uniform(pause / 2, pause) if wait is None else wait  # noqa: S311 -- no secret
            if not again or clock() + wait >= deadline:
                raise ExportFailed(f"The collector at {self._upstream.host} {failure}")
            await asyncio.sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._upstream.aclose()

    def __repr__(self) -> str:
        return f"Collector({self.endpoint!r})"

    def _rejected(self, answer: UpstreamAnswer) -> int:
        said = _object(answer).get("partialSuccess")
        if not isinstance(said, dict):
            return 0
        rejected = next((_number(said[name]) for name in ("rejectedSpans", "rejectedDataPoints") if name in said), 0)
        if rejected or said.get("errorMessage"):
            message = _shown(said.get("errorMessage"))
            logger.warning("The collector at %s rejected %d items: %s", self._upstream.host, rejected, message)
        return rejected


async def _gzip(document: bytes) -> bytes:
    """Compress in steps, between which the event loop does other things."""
    packer = zlib.compressobj(1, wbits=_WHOLE)  # level 1: half the time of level 6 for a tenth more bytes
    packed = []
    for begin in range(0, len(document), _STEP):
        packed.append(packer.compress(document[begin : begin + _STEP]))
        await asyncio.sleep(0)
    return b"".join([*packed, packer.flush()])


def _refusal(answer: UpstreamAnswer) -> str:
    message = _shown(_object(answer).get("message"))  # google.rpc.Status
    return f"answered with status {answer.status}" + (f": {message}" if message else "")


def _object(answer: UpstreamAnswer) -> Mapping[str, object]:
    """What an answer says. Nobody depends on it, so it may say anything."""
    try:
        return json_object(answer.body)
    except UpstreamError:
        return {}


def _number(value: object) -> int:
    """A 64-bit integer, which OTLP/JSON writes as text."""
    try:
        return int(value) if isinstance(value, int | str) else 0
    except ValueError:
        return 0


def _shown(message: object) -> str:
    text = message[:_LONGEST] if isinstance(message, str) else ""
    return "".join(char if char.isprintable() else " " for char in text)
