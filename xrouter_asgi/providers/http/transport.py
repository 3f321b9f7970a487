from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    import ssl

KEEPALIVE = 14.0


class HTTPTransport(httpx.AsyncHTTPTransport):
    def __init__(self, *, tls: ssl.SSLContext | None = None, max_connections: int = 1000) -> None:
        super().__init__(verify=tls or True, trust_env=False)
