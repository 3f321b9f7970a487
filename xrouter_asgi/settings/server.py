"""The table of the server."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from ..checks import Amount, Count, Seconds
from .base import OPEN, Network, NoBound, Port, Table
from .references import ExistingPath


class ServerSettings(Table):
    """`[server]`: where and how the gateway serves.

    Attributes:
        host: The address to listen at.
        port: The port to listen at; 0 takes a free one.
        max_body: The largest body of a request, in bytes.
        workers: How many processes serve. `xrouter serve --workers` says it, too.
        drain: Seconds that running requests get to finish after SIGTERM.
        reload: Whether `xrouter serve` reloads the file when it changes. It always reloads on SIGHUP.
        explain: Whether callers may ask how their request was routed (`x-xrouter-explain: 1`).
        docs: Whether browsers are shown `/docs`. It and `/openapi.json` need no key then.
        commit_after: Seconds of silence in a stream until a comment keeps the connection open. If the comment is the
            first thing sent, the status is 200, and an error comes as an event. `inf`: never.
        trusted_proxies: Addresses or networks of the proxies whose `X-Forwarded-For` names the client.
        ssl_certfile: PEM with the certificate of this gateway and those above it, and perhaps its key. With it `xrouter
            serve` speaks HTTPS only.
        ssl_keyfile: PEM with the key, which is not encrypted.
    """

    host: str = "127.0.0.1"
    port: Port = 8000
    max_body: Count = 32 << 20
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    drain: Amount = 30.0
    reload: bool = True
    explain: bool = False
    docs: bool = False
    commit_after: Annotated[Seconds | None, NoBound] = 15.0
    trusted_proxies: tuple[Network, ...] = ()
    ssl_certfile: ExistingPath | None = None
    ssl_keyfile: ExistingPath | None = None

    @property
    def open_paths(self) -> tuple[str, ...]:
        """Paths that need no key and count against no limit: those of `OPEN`, and what the page at `/docs` reads."""
        return (*OPEN, "/openapi.json") if self.docs else OPEN

    @property
    def certificate_files(self) -> tuple[Path, ...]:
        """What `tls` reads; empty for a server that speaks HTTP."""
        return tuple(file for file in (self.ssl_certfile, self.ssl_keyfile) if file is not None)

    def tls(self) -> ssl.SSLContext:
        """What new connections are met with: TLS 1.2 or newer. Reads the files. Raises ValueError."""
        if self.ssl_certfile is None:
            raise ValueError("has ssl_keyfile without ssl_certfile. Write both.")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        try:
            # OpenSSL would ask on the terminal for a password that is missing.
            context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile, password="")
        except ssl.SSLError as exc:
            key = "the key in it" if self.ssl_keyfile is None else f"ssl_keyfile {str(self.ssl_keyfile)!r}"
            raise ValueError(
                f"has ssl_certfile {str(self.ssl_certfile)!r}, which cannot be used with {key}: "
                f"{exc.reason or 'no PEM'}. Both are PEM, belong together, and the key is not encrypted."
            ) from exc
        except OSError as exc:
            raise ValueError(f"has ssl_certfile or ssl_keyfile that cannot be read: {exc.strerror}.") from exc
        return context

    @model_validator(mode="after")
    def _certificate_can_be_used(self) -> Self:
        if self.certificate_files:
            self.tls()
        return self
