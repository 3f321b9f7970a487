"""Our heads against uvicorn's own: the same bytes, or the same refusal."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from xrouter_asgi.server.cycle import Cycle, CycleUntilClosed

Fields = list[tuple[bytes, bytes]]

NAMES = st.sampled_from([b"x-a", b"X-B", b"content-type", b"a_b", b"x!#$%&'*+.^`|~9"])
VALUES = st.sampled_from([b"", b"1", b"a\tb", b"\xff\xd0", b'"a, b"'])
FRAMING = st.sampled_from(
    [
        (b"content-length", b"5"),
        (b"Content-Length", b"0"),
        (b"transfer-encoding", b"chunked"),
        (b"transfer-encoding", b"identity"),
        (b"connection", b"keep-alive"),
    ]
)
HEADS = st.lists(st.tuples(NAMES, VALUES) | FRAMING, max_size=5)


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += data


def begun(kind: type[RequestResponseCycle], fields: Fields, *, status: int, method: str, keep_alive: bool) -> Any:
    """What the cycle wrote and knows after the head, None for one that it refused."""
    transport = Transport()
    cycle = kind(
        scope={"type": "http", "method": method, "headers": []},  # type: ignore[typeddict-item]  # all that is read
        transport=transport,
        flow=FlowControl(transport),
        logger=logging.getLogger(),
        access_logger=logging.getLogger(),
        access_log=False,
        default_headers=[(b"date", b"today")],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )
    try:
        cycle.send({"type": "http.response.start", "status": status, "headers": fields}).send(None)
    except StopIteration:
        pass
    except RuntimeError:
        return None
    return transport.written, cycle.keep_alive, cycle.chunked_encoding, cycle.expected_content_length


@given(fields=HEADS, status=st.sampled_from([200, 204, 304, 404]), method=st.sampled_from(["GET", "HEAD"]))
def test_a_head_is_the_one_that_uvicorn_writes(fields: Fields, status: int, method: str) -> None:
    ours, theirs = (
        begun(kind, fields, status=status, method=method, keep_alive=True) for kind in (Cycle, RequestResponseCycle)
    )
    assert ours == theirs


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("value", [b"close", b"Close", b"x, close"])
def test_that_the_connection_ends_is_said_once(value: bytes, keep_alive: bool) -> None:
    written, kept, *_ = begun(Cycle, [(b"connection", value)], status=200, method="GET", keep_alive=keep_alive)
    assert written.lower().count(b"connection:") == 1
    assert b"connection: close\r\n" in written
    assert not kept


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\nb", b"a\nb", b"a(", b"a\x00", b"a\x7f", b"\xe9"], ids=repr)
def test_a_field_without_a_proper_name_is_refused(name: bytes) -> None:
    assert begun(Cycle, [(b"x-a", b"1"), (name, b"x")], status=200, method="GET", keep_alive=True) is None


@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\n", b"\r", b"\x00", b"\x7f", b"\x1b[0m"], ids=repr)
def test_a_field_that_could_end_itself_is_refused(value: bytes) -> None:
    assert begun(Cycle, [(b"x-a", value), (b"x-b", b"1")], status=200, method="GET", keep_alive=True) is None


def test_a_client_of_http_1_0_gets_no_chunks() -> None:
    written, _, chunked, _ = begun(CycleUntilClosed, [], status=200, method="GET", keep_alive=False)
    assert b"transfer-encoding" not in written
    assert chunked is False
