"""Downloads from addresses that clients choose. Clients cannot use them to reach this gateway's own network.

Each hop of a download is resolved once, and every address it resolves to must be public or explicitly allowed. The
connection goes to the address that was checked: a name that resolves differently a moment later changes nothing. The
name stays in `Host` and in TLS. There are no cookies, credentials, client certificates or proxies.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import httpx

from ....errors import InvalidRequest, UpstreamTimeout
from ...http import TLS, USER_AGENT, OwnedTransport

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]

_MAX_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_TIMEOUT = {"connect": 5.0, "read": 10.0, "write": 5.0, "pool": 5.0, "first": 10.0}

# What has a special purpose, by the registries of IANA (November 2026). Python's own lists differ by its version.
_SPECIAL_IPV4 = [
    ipaddress.IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
        *("192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("224.0.0.0/3", "168.63.129.16/32"),  # the last one is Azure's metadata: public by number, internal by use
    )
]
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # all that IANA has given out; the rest is special or nobody's
_SPECIAL_IPV6 = [ipaddress.IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "3fff::/20")]
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last 32 bits


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, by the system's resolver. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Downloads:
    """Fetches files over https from public addresses.

    Args:
        allow_networks: Networks such as `10.20.0.0/16` that may be fetched from although they are not public; from
            them `http` is allowed too. Raises ValueError for one that is none.
        tls: None trusts the public authorities.
        timeout: Seconds for one download, redirects included.
    """

    def __init__(
        self,
        *,
        allow_networks: Sequence[str] = (),
        tls: ssl.SSLContext | None = None,
        timeout: float = 30.0,
        resolve: Resolve = resolve,
    ) -> None:
        self._allowed = [ipaddress.ip_network(network) for network in allow_networks]
        self._tls = tls
        self._timeout = timeout
        self._resolve = resolve
        self._transport: OwnedTransport | None = None

    async def get(self, url: str, *, limit: int, param: str, deadline: float | None = None) -> bytes:
        """The body of the file at `url`, at most `limit` bytes.

        Raises:
            InvalidRequest: About `param`: the file cannot be fetched, or must not be.
            UpstreamTimeout: `total_timeout`: the deadline came first.
        """
        until = asyncio.get_running_loop().time() + self._timeout
        try:
            async with asyncio.timeout_at(until if deadline is None else min(until, deadline)):
                return await self._follow(url, limit=limit, param=param)
        except TimeoutError:
            if deadline is not None and deadline < until:
                message = "The file at this address was not fetched in the time of this call."
                raise UpstreamTimeout(message, code="total_timeout", param=param, trips=False) from None
            raise _refused("it took too long", param) from None
        except (httpx.HTTPError, OSError, UnicodeError) as exc:  # UnicodeError: a name that cannot be one
            raise _refused("its server could not be reached, or broke off", param) from exc

    async def aclose(self) -> None:
        """End downloads under way."""
        if self._transport is not None:
            await self._transport.aclose()

    async def _follow(self, address: str, *, limit: int, param: str) -> bytes:
        url = _checked(address, param)
        for _ in range(_MAX_REDIRECTS + 1):
            response = await self._opened().handle_async_request(await self._request(url, param))
            try:
                if response.status_code not in _REDIRECTS:
                    return await _content_of(response, limit, param)
            finally:
                await response.aclose()
            url = _checked(response.headers.get("location", ""), param, base=url)
        raise _refused(f"it was redirected more than {_MAX_REDIRECTS} times", param)

    async def _request(self, url: httpx.URL, param: str) -> httpx.Request:
        pinned = await self._pin(url, param)
        return httpx.Request(
            "GET",
            url.copy_with(host=str(pinned)),
            headers=[
                (b"Host", url.netloc),
                (b"User-Agent", USER_AGENT.encode()),
                (b"Accept", b"*/*"),
                (b"Accept-Encoding", b"identity"),
                (b"Connection", b"close"),
            ],
            extensions={"timeout": _TIMEOUT, "sni_hostname": url.raw_host.decode("ascii")},
        )

    async def _pin(self, url: httpx.URL, param: str) -> Address:
        """The address to connect to. Refused if any of a name's addresses must not be reached."""
        port = url.port or {"http": 80, "https": 443}[url.scheme]
        # A zone belongs to this machine's interfaces, never to a public address.
        found = [ipaddress.ip_address(text) for text in await self._resolve(url.host, port) if "%" not in text]
        if not found:
            raise _refused("its name has no address", param)
        for address in found:
            allowed = any(address in network for network in self._allowed)
            if not allowed and (url.scheme == "http" or not is_public(address)):
                # One sentence for every reason and address: clients must not learn what is inside.
                raise _refused("only https addresses on the public internet are fetched", param)
        return found[0]

    def _opened(self) -> OwnedTransport:
        if self._transport is None:
            tls = self._tls if self._tls is not None else TLS().context()
            # No connection is kept: it goes to an address that was checked for one download.
            limits = httpx.Limits(max_connections=100, max_keepalive_connections=0)
            self._transport = OwnedTransport(httpx.AsyncHTTPTransport(verify=tls, trust_env=False, limits=limits))
        return self._transport


def is_public(address: Address) -> bool:
    """Whether anyone on the internet could reach that address too, whatever it is wrapped in."""
    if isinstance(address, ipaddress.IPv6Address):
        if (inner := _embedded(address)) is not None:
            return is_public(inner)
        return address in _GLOBAL_UNICAST and not any(address in network for network in _SPECIAL_IPV6)
    return not any(address in network for network in _SPECIAL_IPV4)


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour


def _checked(address: str, param: str, *, base: httpx.URL | None = None) -> httpx.URL:
    try:
        url = httpx.URL(address) if base is None else base.join(address)
    except httpx.InvalidURL:
        raise _refused("it cannot be parsed", param) from None
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo:
        raise _refused("it must be an https URL without user and password", param)
    return url


async def _content_of(response: httpx.Response, limit: int, param: str) -> bytes:
    if response.status_code != 200:
        raise _refused(f"its server answered with status {response.status_code}", param)
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise _refused("its server compressed it", param)
    chunks = bytearray()
    async for chunk in response.aiter_raw():
        chunks += chunk
        if len(chunks) > limit:
            raise _refused(f"it has more than {limit >> 20} MiB", param)
    return bytes(chunks)


def _refused(reason: str, param: str) -> InvalidRequest:
    return InvalidRequest(f"The file at this address was not fetched: {reason}.", code="invalid_file_url", param=param)
