"""The addresses that an operator writes: of an upstream, and of a proxy. No message repeats what may be a password."""

from __future__ import annotations

import re

import httpx

_EXAMPLE = "Write something like 'https://api.example.com/v1'."
_PROXY = re.compile(r"https?://([^@/?#\s]*@)?[^@/?#\s]+/?")
_PROXY_EXAMPLE = (
    "Write something like 'http://USER:PASSWORD@proxy.example.com:3128', "
    "and in the password %2F for '/', %3F for '?', %23 for '#' and %40 for '@'."
)


def base_address(text: str) -> httpx.URL:
    """The base URL of an upstream. Raises ValueError."""
    if "@" in text:
        raise ValueError(
            f"A base URL holds a user or password, or another '@'. Send credentials as a header. {_EXAMPLE}"
        )
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as exc:
        raise ValueError(f"Base URL {text!r} cannot be parsed: {exc}. {_EXAMPLE}") from exc
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError(f"Base URL {text!r} has no scheme 'http' or 'https', or no host. {_EXAMPLE}")
    if url.port is not None and not 0 < url.port < 65536:
        raise ValueError(f"Base URL {text!r} has a port that does not exist. {_EXAMPLE}")
    if "?" in text or "#" in text:
        raise ValueError(f"A base URL has no query and no fragment: paths are appended to it. {_EXAMPLE}")
    return url


def proxy_address(text: str) -> httpx.Proxy:
    """A proxy, with user and password if it needs them. Raises ValueError."""
    if not text.startswith(("http://", "https://")):
        raise ValueError("'proxy' must start with 'http://' or 'https://'. For others pass a 'transport'.")
    try:
        # Else a password with a '/' would be taken for a port and a path.
        if _PROXY.fullmatch(text):
            return httpx.Proxy(text)
    except httpx.InvalidURL:
        pass
    raise ValueError(f"'proxy' is no address of a proxy. {_PROXY_EXAMPLE}")
