"""The socket to listen at: bound to an address, or passed by a service manager."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping

_UNSENT = 128 << 10  # bytes
_FIRST_PASSED = 3  # the descriptor of the first socket that is passed (SD_LISTEN_FDS_START)


def listener_at(host: str, port: int) -> socket.socket:
    """A socket that is bound to the address, as `Server` wants it. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Without the number of TCP asyncio does not set TCP_NODELAY, and Nagle's algorithm delays answers.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # A restart must not wait until the system forgets the last connections of the process before.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _set_bounds(listener)
    try:
        listener.bind((host, port))
    except BaseException:
        listener.close()
        raise
    return listener


def passed_listener(environment: Mapping[str, str]) -> socket.socket | None:
    """The socket that systemd passes to this process (sd_listen_fds(3)); None if it passes none.

    Raises:
        ValueError: It passes several sockets, or one that is no stream.
    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return None
    if (count := environment.get("LISTEN_FDS")) != "1":
        raise ValueError(f"The service manager passes {count} sockets. Write one ListenStream= in the socket unit.")
    listener = socket.socket(fileno=_FIRST_PASSED)
    if listener.type != socket.SOCK_STREAM:
        raise ValueError(
            "The service manager passes a socket that is no stream. Write ListenStream= in the socket unit."
        )
    listener.set_inheritable(False)
    if listener.family != socket.AF_UNIX:
        _set_bounds(listener)
    return listener


def _set_bounds(listener: socket.socket) -> None:
    # The kernel probes silent clients: a machine that is gone sends nothing.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":  # where connections inherit these from their listener
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        # The kernel would take megabytes for a client that does not read.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)


def host_of(listener: socket.socket) -> str:
    """The address that a socket is bound to; `localhost` for a UNIX socket, which only this machine reaches."""
    name = listener.getsockname()
    return name[0] if isinstance(name, tuple) else "localhost"


def address_of(listener: socket.socket, *, scheme: str = "http") -> str:
    """The address of a bound socket, such as `http://127.0.0.1:8000`, or `unix:/run/xrouter.sock`."""
    name = listener.getsockname()
    if not isinstance(name, tuple):
        return f"unix:{name}"
    host, port = name[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
