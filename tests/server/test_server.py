"""The address at which `Server` listens."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress

import pytest

from xrouter_asgi.server.listener import listener_at


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system decides")
def test_a_client_whose_machine_is_gone_is_noticed_within_a_minute() -> None:
    with listener_at("127.0.0.1", 0) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            idle, interval, count = (
                accepted.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
    assert idle + interval * count <= 60


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system decides")
def test_the_kernel_keeps_little_for_a_client_that_does_not_read() -> None:
    with listener_at("127.0.0.1", 0) as listener, socket.socket() as client:
        listener.listen()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(listener.getsockname())
        with listener.accept()[0] as accepted:
            accepted.setblocking(False)
            taken = 0
            with suppress(BlockingIOError):
                while True:
                    taken += accepted.send(b"a" * 65536)
            assert taken < 1 << 20
