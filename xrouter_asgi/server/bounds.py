"""The time that a client has to send a request and to read its answer; the rules for the head of a request, and what
an application is told of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from urllib.parse import unquote

import httptools
from uvicorn._types import HTTPScope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..asgi.body import CREDIT, RATE
from ..errors import InvalidRequest, XRouterError

_HURRY = 0.5  # seconds: until the first byte, and then until the end of the head


class Phase(Enum):
    """What a connection waits for, or is in the middle of."""

    FIRST = auto()
    HEAD = auto()
    BODY = auto()
    IDLE = auto()
    ENDED = auto()  # the rest of what the client sends is thrown away


FIRST, HEAD, BODY, IDLE, ENDED = Phase


@dataclass(frozen=True, slots=True)
class ClientBounds:
    """The bounds on one client. Durations are in seconds, sizes in bytes.

    docs/operations.md lists the numbers under "Every bound".

    Attributes:
        first: Until the first byte on a new connection. Then the connection closes.
        head: From the first byte of a request to the end of its head. Then the answer is 408.
        body: From the end of the head to the end of the body. Then the answer is 408. Every `body_rate` bytes of the
            body add a second, but the client never has more than `body` seconds left.
        idle: Between the end of an answer and the next request. Then the connection closes. Clients and load balancers
            keep a connection for 60 seconds at most, so they close it first, and no request meets a closing server.
        write: Without progress, while the client's machine could take bytes. Then the connection is cut.
        linger: For a client that is refused in the middle of its request, to read the refusal.
        head_size: The request line and all fields. A larger head is a 431.
        fields: The number of fields. More are a 431.
    """

    first: float = 10.0
    head: float = 10.0
    body: float = CREDIT
    body_rate: int = RATE
    idle: float = 75.0
    write: float = 60.0
    linger: float = 5.0
    head_size: int = 32 << 10
    fields: int = 100

    def of(self, phase: Phase) -> float:
        """The seconds that the client has for this phase."""
        return {FIRST: self.first, HEAD: self.head, BODY: self.body, IDLE: self.idle, ENDED: self.linger}[phase]

    def hurried(self) -> ClientBounds:
        """The bounds on a client for whom there is no room: it has a second to say what it wants."""
        return replace(self, first=_HURRY, head=_HURRY, body=_HURRY, idle=_HURRY, linger=_HURRY)

    @property
    def shortest(self) -> float:
        """Seconds between two looks, which notice every bound in time."""
        return min(self.first, self.head, self.body, self.idle, self.write, self.linger)


def fault_of(
    method: bytes, url: bytes, version: str, headers: list[tuple[bytes, bytes]], bounds: ClientBounds
) -> XRouterError | None:
    """The fault in a head that httptools accepts, or None."""
    if not version.startswith("1."):  # httptools takes HTTP/0.9 and HTTP/2.0, too
        text = f"This server speaks HTTP/1.1, and the request says HTTP/{version} (RFC 9110, 15.6.6)."
        return InvalidRequest(text, status=505, code="http_version_not_supported", should_retry=False)
    size = len(method) + len(url) + len(" HTTP/1.1\r\n\r\n")
    hosts = 0
    codings = []
    for name, value in headers:
        size += len(name) + len(value) + len(": \r\n")
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding":
            codings.append(value.strip().lower())
    if size > bounds.head_size or len(headers) > bounds.fields:
        return head_too_large(bounds)
    if codings and (codings != [b"chunked"] or version == "1.0"):
        return InvalidRequest("The only Transfer-Encoding that is understood is 'chunked', once and in HTTP/1.1.")
    if hosts != 1 and (hosts or version != "1.0"):
        return InvalidRequest("A request must have one Host header (RFC 9112, 3.2).")
    if method == b"CONNECT":
        return InvalidRequest("CONNECT is for proxies, and this is none.")
    return None


def head_too_large(bounds: ClientBounds) -> XRouterError:
    """The refusal of a head above `head_size` or `fields`."""
    text = f"The head of the request is larger than {bounds.head_size} bytes, or has more than {bounds.fields} fields."
    return InvalidRequest(text, status=431, code="head_too_large")


def without_upgrade(method: bytes, url: bytes, version: str, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The bytes of a head, without its wish for another protocol."""
    lines = [b"%b %b HTTP/%b" % (method, url, version.encode())]
    lines += [b"%b: %b" % field for field in headers if field[0] != b"upgrade"]
    return b"\r\n".join([*lines, b"", b""])


def scope_of(connection: HttpToolsProtocol, method: bytes, version: str) -> HTTPScope:
    """The scope of the request whose head has come (ASGI, "HTTP Connection Scope"). uvicorn makes it in two steps."""
    url = httptools.parse_url(connection.url)
    path = url.path.decode("ascii")
    return {
        "type": "http",
        "asgi": {"version": connection.asgi_version, "spec_version": "2.3"},
        "http_version": version,
        "server": connection.server,
        "client": connection.client,
        "scheme": connection.scheme,  # type: ignore[typeddict-item]
        "method": method.decode("ascii"),
        "root_path": connection.root_path,
        "path": unquote(path) if "%" in path else path,
        "raw_path": url.path,
        "query_string": url.query or b"",
        "headers": connection.headers,
        "state": connection.app_state.copy(),
    }
