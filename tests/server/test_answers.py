"""The head of an answer as `Cycle` writes it, held against uvicorn's own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from itertools import product
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from xrouter_asgi.server.answers import Cycle
from xrouter_asgi.server.flow import Flow, LeanEvent

NAMES = (
    *(b"x-a", b"X-A", b"x_a", b"", b"x a", b"x:a", b"x\r\na", b"\xff", b"set-cookie"),
    *(b"content-length", b"Content-Length", b"connection", b"transfer-encoding"),
)
VALUES = (
    *(b"", b"a", b"a\tb", b"a\r\nb: c", b"a\rb", b"a\nb", b"a\0b", b"\x7f", b"\xff"),
    *(b"close", b"a, close", b"chunked", b"3", b"03", b" 3 ", b"+3", b"-3", b"x", b"0_3", "٣".encode()),
)
NO_HEADS: tuple[object, ...] = (
    *(None, ((b"a", b"b"),), [b"ab"], [(b"a",)], [(b"a", b"b", b"c")]),
    *([("a", "b")], [(b"a", None)], [[b"a", b"b"]], [(bytearray(b"a"), b"b")]),
)
FIELDS = st.tuples(st.sampled_from(NAMES) | st.binary(max_size=3), st.sampled_from(VALUES) | st.binary(max_size=3))
PLAIN = st.tuples(st.sampled_from([b"x-a", b"x-b", b"x-c", b"content-length"]), st.sampled_from([b"3", b"0"]))
BODIES: tuple[list[object], ...] = (
    [],
    [{"type": "http.response.body", "body": b"abc"}],
    [{"type": "http.response.body", "body": b"a", "more_body": True}, {"type": "http.response.body"}],
)


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def outcome(
    kind: type[RequestResponseCycle],
    messages: Sequence[object],
    *,
    method: str = "POST",
    keep_alive: bool = True,
    default_headers: Sequence[tuple[bytes, bytes]] = (),
) -> object:
    """What the client gets from a cycle, which error ends it, and what it has noted."""
    transport = Transport()
    cycle = kind(
        scope=cast("Any", {"method": method, "headers": []}),
        transport=transport,
        flow=Flow(transport),
        logger=logging.getLogger("test"),
        access_logger=logging.getLogger("test"),
        access_log=False,
        default_headers=list(default_headers),
        message_event=LeanEvent(),
        expect_100_continue=True,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )
    failure = None
    for message in messages:
        try:
            cycle.send(cast("Any", message)).send(None)
        except StopIteration:
            continue
        except Exception as error:
            failure = (type(error), str(error))
            break
    noted = {name: getattr(cycle, name) for name in vars(cycle) if type(getattr(cycle, name)) in (bool, int)}
    return transport.written, transport.closed, failure, noted, cycle.chunked_encoding


def start(status: int, headers: object) -> object:
    return {"type": "http.response.start", "status": status, **({} if headers is None else {"headers": headers})}


@given(
    status=st.sampled_from([200, 201, 204, 304, 429, 503, 99]),
    headers=st.lists(PLAIN, max_size=3).flatmap(
        lambda plain: st.just(plain) | FIELDS.map(lambda field: [*plain, field])
    ),
    default_headers=st.lists(PLAIN, max_size=1),
    body=st.sampled_from(BODIES),
    method=st.sampled_from(["POST", "HEAD"]),
)
def test_an_answer_is_that_of_uvicorn_byte_for_byte(
    status: int, headers: object, body: list[object], **more: Any
) -> None:
    messages = [start(status, headers), *body]
    assert outcome(Cycle, messages, **more) == outcome(RequestResponseCycle, messages, **more)


@pytest.mark.parametrize("method", ["POST", "HEAD"])
@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("status", [200, 204, 304, 99])
def test_each_field_alone_is_as_uvicorn_writes_or_refuses_it(method: str, keep_alive: bool, status: int) -> None:
    heads = [*NO_HEADS, [], *([(name, value)] for name in NAMES for value in VALUES)]
    for headers, body in product(heads, BODIES):
        messages = [start(status, headers), *body]
        ours, theirs = (
            outcome(kind, messages, method=method, keep_alive=keep_alive) for kind in (Cycle, RequestResponseCycle)
        )
        assert ours == theirs, messages


@pytest.mark.parametrize("type_", ["http.response.body", "websocket.http.response.start"])
def test_what_is_no_head_does_not_begin_an_answer(type_: str) -> None:
    messages = [{"type": type_, "status": 200, "headers": [(b"x-a", b"a")], "body": b"abc"}]
    assert outcome(Cycle, messages) == outcome(RequestResponseCycle, messages)
