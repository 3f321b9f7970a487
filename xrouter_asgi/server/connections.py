"""How many connections of clients there may be, and what those get for which there is no room."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from enum import Enum, auto

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..asgi.refusal import send_refusal
from ..asgi.responses import CLOSE, with_headers
from ..asgi.scope import local_path, network_of
from ..errors import XRouterError

_RESERVE, _RESERVE_OF_ADDRESS = 32, 4


class Place(Enum):
    """What a new connection gets."""

    SERVED = auto()
    RESERVED = auto()  # one answer: to a probe, or that there is no room
    REFUSED = auto()  # what can be said without reading anything


class Connections:
    """Gives each new connection its place.

    Beyond the bound there is a reserve of 32 connections, at most 4 of one address, so that probes are answered.

    Args:
        most: How many connections are served.
        most_of_address: How many of them may come from one address; None for any number.
        trusted_proxies: Networks that the bounds of one address do not hold for.
    """

    def __init__(self, most: int, *, most_of_address: int | None = None, trusted_proxies: Iterable[str] = ()) -> None:
        self._trusted = [ipaddress.ip_network(network) for network in trusted_proxies]
        self._served = _Seats(most, most_of_address or most)
        self._reserved = _Seats(_RESERVE, _RESERVE_OF_ADDRESS)

    @property
    def any_room(self) -> bool:
        """Whether a connection may be accepted. If not, it waits in the kernel."""
        return self._served.free or self._reserved.free

    def enter(self, host: str, *, probe: bool = False) -> Place:
        """The place of a connection from that address, which is empty for a UNIX socket. `leave` gives it back.

        Args:
            probe: It is known to be a probe, so the reserve has no bound for its address.
        """
        address = network_of(host)
        bounded = not self._is_trusted(host)
        if self._served.take(address, bounded=bounded):
            return Place.SERVED
        return Place.RESERVED if self._reserved.take(address, bounded=bounded and not probe) else Place.REFUSED

    def leave(self, host: str, place: Place) -> None:
        """Give back the place of a connection that has ended."""
        if place is not Place.REFUSED:
            seats = self._served if place is Place.SERVED else self._reserved
            seats.give_back(network_of(host))

    def _is_trusted(self, host: str) -> bool:
        if not host:
            return True
        return bool(self._trusted) and any(ipaddress.ip_address(host) in network for network in self._trusted)


class _Seats:
    def __init__(self, most: int, most_of_address: int) -> None:
        self._most = most
        self._most_of_address = most_of_address
        self._taken = 0
        self._of = Counter[str]()

    @property
    def free(self) -> bool:
        return self._taken < self._most

    def take(self, address: str, *, bounded: bool) -> bool:
        if not self.free or (bounded and self._of[address] >= self._most_of_address):
            return False
        self._taken += 1
        self._of[address] += 1
        return True

    def give_back(self, address: str) -> None:
        self._taken -= 1
        self._of[address] -= 1
        if not self._of[address]:
            del self._of[address]


def is_probe(head: bytes, probes: Collection[str]) -> bool:
    """Whether the first bytes of a connection ask for one of these paths."""
    _, _, target = head.partition(b" ")
    return target.partition(b" ")[0].partition(b"?")[0].decode("latin-1") in probes


class ProbesOnly:
    """What a connection of the reserve may ask of an application: `probes`, the paths that watch the process. Any other
    request is refused. Then the connection is closed."""

    def __init__(self, app: ASGIApp, *, probes: Collection[str], no_room: Callable[[], XRouterError]) -> None:
        self.app = app
        self._probes = probes
        self._no_room = no_room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_and_close(message: Message) -> None:
            await send(with_headers(message, [CLOSE]))

        if local_path(scope) in self._probes:
            await self.app(scope, receive, send_and_close)
        else:
            await send_refusal(scope, receive, send_and_close, self._no_room())
