"""What a scope says about a request: the path below the mount, and who the peer is."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from starlette.types import Scope


def local_path(scope: Scope) -> str:
    """The path below the mount, without a trailing slash; `/` for the mount itself.

    Hosts differ. Starlette, FastAPI and BlackSheep pass the full path and `root_path`. A proxy may have stripped the
    part that `app_root_path` names. Litestar strips the prefix, leaves `root_path` empty and appends a slash; mounted
    at `/`, it removes the first slash. Only `path` and these two decide, never a URL made from the Host header.
    """
    path: str = scope["path"]
    if not path.startswith("/"):
        path = "/" + path
    if root := scope.get("root_path"):
        for prefix in (root, root.removeprefix(scope.get("app_root_path", ""))):
            prefix = prefix.rstrip("/")
            if prefix and path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/"):
                path = path[len(prefix) :]
                break
    return path.rstrip("/") or "/"


def peer_address(scope: Scope) -> str:
    """The address of the peer; for IPv6 its network of 64 bits. Empty when the server names no peer.

    One customer holds a whole /64 (RFC 4291, 2.5.4), so single addresses in it say nothing. No header is believed:
    behind a proxy let the server put the client's address here (uvicorn: `--proxy-headers`).
    """
    client = scope.get("client")
    return network_of(client[0]) if client else ""


@lru_cache(maxsize=4096)
def network_of(host: str) -> str:
    """The address, or for IPv6 its network of 64 bits; a text that is none as it is."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a Unix socket, or a test client
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address.packed[:8] + bytes(8), 64)))
