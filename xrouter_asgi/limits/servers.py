"""Which Redis counts what: one server, the master of a Sentinel set, or the nodes of a cluster."""

from __future__ import annotations

import asyncio
import re
from bisect import bisect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import unquote

from .link import Link, Word

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

_ASK_TIMEOUT: Final = 0.3  # seconds for one of several servers to say where the others are
_SLOTS: Final = 16_384  # of a cluster
_BASES: Final = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss"}
SCHEMES: Final = (*_BASES, "unix", *(f"{base}+{kind}" for kind in ("unix", "sentinel", "cluster") for base in _BASES))

_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[^@/?#:,\[\]\s]*)(?::\d{1,5})?"
_USER = r"(?:[^@/?#\[\]\x00-\x1f\x7f-\U0010ffff]*@)?"
_ADDRESS = re.compile(rf"[a-z+]+://{_USER}{_HOST}(?:,{_HOST})*(?:/[^@?#]*)?(?:\?[^@#]*)?")

_Address: TypeAlias = tuple[str, int]


class RedisServer:
    """One Redis.

    Args:
        url: As redis-py takes it.
        scripts: The Lua that every connection loads.

    Raises ValueError for a URL that cannot be used, and ImportError without redis-py.
    """

    def __init__(self, url: str, scripts: tuple[str, ...]) -> None:
        try:
            from redis.asyncio import ConnectionPool
        except ImportError as error:
            message = 'RedisLimits needs redis-py. Install it with: pip install "xrouter-asgi[redis]"'
            raise ImportError(message) from error
        pool = ConnectionPool.from_url(url)
        self._connection = pool.connection_class
        # A connection reads all the time, so it must not time out while there is nothing to read.
        self._options: dict[str, Any] = {**pool.connection_kwargs, "socket_timeout": None, "retry": None}
        self._scripts = scripts
        self._links: dict[_Address | None, Link] = {}
        self._owners: list[tuple[int, Link]] = []  # by the first slot of each range, in order

    @property
    def connected(self) -> bool:
        """Whether every server that counts has a connection."""
        return bool(self._owners) and all(link.is_open for link in self._links.values())

    @property
    def links(self) -> Iterable[Link]:
        return self._links.values()

    def slot(self, tag: str) -> int:
        """What has one slot can be reached by one script. Keys with the same hash tag have one slot."""
        return 0

    def link(self, slot: int) -> Link:
        """The connection to the server of a slot."""
        return self._owners[bisect(self._owners, slot, key=lambda owner: owner[0]) - 1][1]

    async def connect(self) -> None:
        """Find the servers, and connect to those that have no connection. Raises what redis-py raises, and OSError."""
        owners = await self._locate()
        addresses = set(dict(owners).values())
        for address in self._links.keys() - addresses:
            self._links.pop(address).close()
        for address in addresses:
            if address not in self._links or not self._links[address].is_open:
                link = Link(self._connect_to(address), self._scripts)
                await link.open()
                self._links[address] = link
        self._owners = [(first, self._links[address]) for first, address in owners]

    def disconnect(self) -> None:
        """Close every connection at once. Commands that wait fail."""
        for link in self._links.values():
            link.close()
        self._links, self._owners = {}, []

    async def _locate(self) -> list[tuple[int, _Address | None]]:
        """The address of each range of slots, by its first slot; None for that of the URL."""
        return [(0, None)]

    async def session(self) -> AbstractConnection:
        """A connection of the caller's own to a server that counts, for pub/sub. Raises what redis-py raises."""
        (_, address), *_ = await self._locate()
        connection = self._connect_to(address, protocol=2)  # in which what is published comes as answers do
        await connection.connect()  # type: ignore[no-untyped-call]  # redis-py's
        return connection

    def _connect_to(self, address: _Address | None, **more: Any) -> AbstractConnection:
        options = {**self._options, **more}
        if address is not None:
            options |= {"host": address[0], "port": address[1]}
        connection: AbstractConnection = self._connection(**options)
        return connection


class _Discovered(RedisServer):
    """Several servers that know where to find what counts."""

    def __init__(self, base: str, rest: str, scripts: tuple[str, ...], *, port: int) -> None:
        user, at, rest = rest.rpartition("@") if "@" in rest else ("", "", rest)
        hosts, slash, path = rest.partition("/")
        hosts, _, query = hosts.partition("?") if not slash else (hosts, "", "")
        self._path, _, more = path.partition("?")
        self._known = list(map(_address(port), hosts.split(",")))
        super().__init__(f"{base}://{user}{at}{self._known[0][0]}?{query or more}", scripts)

    async def _ask(self, *command: Word) -> tuple[_Address, Any]:
        """The first answer that is not None, and who gave it. Later questions begin with him."""
        problem: Exception = ConnectionRefusedError("None of the servers knows.")
        for address in self._known:
            connection = self._connect_to(address)
            try:
                async with asyncio.timeout(_ASK_TIMEOUT):
                    await connection.connect()  # type: ignore[no-untyped-call]  # redis-py's
                    await connection.send_command(*command)
                    answer = await connection.read_response()
            except Exception as error:
                problem = error
                continue
            finally:
                await connection.disconnect(nowait=True)
            if answer is not None:
                self._known.sort(key=lambda known: known != address)
                return address, answer
        raise problem


class SentinelMaster(_Discovered):
    """The master that the Sentinels name: `redis+sentinel://[user:password@]host:port,host:port/service`.

    The Sentinels and the master have the same user and password, as in the library `limits`.
    """

    def __init__(self, base: str, rest: str, scripts: tuple[str, ...]) -> None:
        super().__init__(base, rest, scripts, port=26_379)
        self._service = unquote(self._path.strip("/"))
        if not self._service:
            raise ValueError("The URL names no service. Write redis+sentinel://HOST:26379,HOST:26379/SERVICE.")

    async def _locate(self) -> list[tuple[int, _Address | None]]:
        _, (host, port) = await self._ask("SENTINEL GET-MASTER-ADDR-BY-NAME", self._service)
        return [(0, (_text(host), int(port)))]


class Cluster(_Discovered):
    """The nodes of a cluster: `redis+cluster://[user:password@]host:port,host:port`."""

    def __init__(self, base: str, rest: str, scripts: tuple[str, ...]) -> None:
        super().__init__(base, rest, scripts, port=6379)

    def slot(self, tag: str) -> int:
        from redis.crc import key_slot

        return int(key_slot(tag.encode()))

    async def _locate(self) -> list[tuple[int, _Address | None]]:
        (asked, _), ranges = await self._ask("CLUSTER SLOTS")
        # A node that does not know its own name means the one that was asked.
        found = sorted((first, last, (_text(node[0]) or asked, int(node[1]))) for first, last, node, *_ in ranges)
        if sum(last - first + 1 for first, last, _ in found) < _SLOTS:
            raise ConnectionRefusedError("The cluster does not serve all slots.")
        self._known += [address for _, _, address in found if address not in self._known]
        return [(first, address) for first, _, address in found]


def _check_address(url: str) -> None:
    """Raise ValueError for a URL whose password would be taken for a part of the address. redis-py would show it."""
    if not _ADDRESS.fullmatch(url):
        example = "Write something like redis://:PASSWORD@redis.example.com:6379/0"
        escapes = "%2F for '/', %3F for '?', %23 for '#', %40 for '@', %5B for '[' and %5D for ']'"
        raise ValueError(f"The URL of Redis cannot be read. {example}, and in the password {escapes}.")


def _address(port: int) -> Callable[[str], _Address]:
    def read(text: str) -> _Address:
        host, colon, given = text.rpartition(":")
        if not colon or given.endswith("]"):  # an IPv6 address without a port
            host, given = text, str(port)
        if not host or not given.isdecimal():
            raise ValueError("The URL must name its servers. Write HOST:PORT, and commas between several of them.")
        return host.strip("[]"), int(given)

    return read


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


def server_at(url: str, scripts: tuple[str, ...]) -> RedisServer:
    """The server of a URL. Raises ValueError for one that cannot be used."""
    scheme, _, rest = url.partition("://")
    if scheme not in SCHEMES:  # the message shows nothing of the URL, which may be a password by mistake
        raise ValueError(f"RedisLimits cannot use a URL of this scheme. Known: {', '.join(SCHEMES)}.")
    _check_address(url)
    base, _, kind = scheme.partition("+")
    if base == "unix" or kind == "unix":
        return RedisServer(f"unix://{rest}", scripts)
    match kind:
        case "sentinel":
            return SentinelMaster(_BASES[base], rest, scripts)
        case "cluster":
            return Cluster(_BASES[base], rest, scripts)
    return RedisServer(f"{_BASES[base]}://{rest}", scripts)
