"""What a client is given to send a request and to take its answer, and what the head of a request must be like."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InvalidRequest, XRouterError


@dataclass(frozen=True, slots=True)
class ClientBounds:
    """What a client is given. Durations are seconds, sizes bytes.

    The numbers are those of docs/operations.md, "Every bound".

    Attributes:
        first: Until the first byte on a new connection; then it is closed.
        head: From the first byte of a request to the end of its head; then 408.
        body: From there to the end of its body; then 408. A second more for every `body_rate` bytes that came.
        idle: Between the end of an answer and the next request; then it is closed. Longer than clients and load
            balancers keep a connection (60 seconds is the usual most), so that it is never this side which closes it
            under a request that is on its way.
        write: Without the client's machine taking a byte of what is there for it; then the connection is cut.
        linger: For a client that was refused in the middle of its request, to read why before the connection closes.
        head_size: Of the request line and all fields; above it 431.
        fields: How many; above it 431.
    """

    first: float = 10.0
    head: float = 10.0
    body: float = 30.0
    body_rate: int = 10 << 10
    idle: float = 75.0
    write: float = 60.0
    linger: float = 5.0
    head_size: int = 32 << 10
    fields: int = 100

    @property
    def shortest(self) -> float:
        """How often to look, so that no bound is missed."""
        return min(self.first, self.head, self.body, self.idle, self.write, self.linger)


def fault_of(
    method: bytes, url: bytes, version: str, headers: list[tuple[bytes, bytes]], bounds: ClientBounds
) -> XRouterError | None:
    """What is wrong with the head of a request that httptools lets pass."""
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
    """The refusal of such a head."""
    text = f"The head of the request is larger than {bounds.head_size} bytes, or has more than {bounds.fields} fields."
    return InvalidRequest(text, status=431, code="head_too_large")
