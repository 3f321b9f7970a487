from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrouter_asgi.providers.http.failures import TruncatedBody
from xrouter_asgi.providers.http.parser import MAX_FIELDS, MAX_HEAD, AnswerParser

ANSWERS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nhello world",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nT: 1\r\n\r\n",
    "eof": b"HTTP/1.1 200 OK\r\n\r\nhello world",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
}


def parsed(*pieces: bytes, method: str = "GET") -> AnswerParser:
    parser = AnswerParser(method)
    for piece in pieces:
        parser.feed(piece)
    return parser


@pytest.mark.parametrize("name", ANSWERS)
@given(data=st.data())
def test_an_answer_parses_the_same_wherever_it_is_split(name: str, data: st.DataObject) -> None:
    answer = ANSWERS[name]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(answer) - 1))))
    pieces = [answer[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(answer)], strict=True)]
    whole = parsed(answer)
    split = parsed(*pieces)
    assert (split.status, split.headers, split.complete, split.keep_alive) == (
        whole.status,
        whole.headers,
        whole.complete,
        whole.keep_alive,
    )
    assert split.take() == whole.take() == b"hello world"
    assert split.end(None) is None


def test_fields_of_interim_answers_and_trailers_are_not_the_answers() -> None:
    assert parsed(ANSWERS["interim"]).headers == [(b"Content-Length", b"11")]
    assert parsed(ANSWERS["chunks"]).headers == [(b"Transfer-Encoding", b"chunked")]


@pytest.mark.parametrize(
    ("head", "keep_alive"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", True),
    ],
)
def test_a_complete_answer_says_whether_the_connection_lives_on(head: bytes, keep_alive: bool) -> None:
    parser = parsed(head)
    assert parser.complete
    assert parser.keep_alive is keep_alive


def test_an_answer_to_head_has_no_body_whatever_its_length_says() -> None:
    parser = parsed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", method="HEAD")
    assert parser.complete
    assert parser.keep_alive


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nho",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhigarbage",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhimore",),
    ],
)
def test_bytes_after_the_end_spoil_the_connection_but_not_the_answer(pieces: tuple[bytes, ...]) -> None:
    parser = parsed(*pieces)
    assert parser.complete
    assert parser.take() == b"hi"
    assert not parser.keep_alive


def test_a_body_in_an_answer_to_head_spoils_the_connection() -> None:
    parser = parsed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", method="HEAD")
    assert parser.take() == b""
    assert not parser.keep_alive


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 99 Low\r\n\r\n",
        b"HTTP/1.1 000 Zero\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 099 Low\r\n\r\n",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/0.9 200 OK\r\n\r\n",
        b"HTTP/1.1 600 High\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x00",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
)
def test_what_is_not_http_is_refused(data: bytes) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        parsed(data)


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (HEAD + b"A: ", b"a" * 1000),
        (HEAD, b"A: %b\r\n" % (b"a" * 1000)),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 40),
        (b"HTTP/1.1 200 ", b"a" * 1000),
        (CHUNKED + b"1;", b"a" * 1000),
        (CHUNKED + b"0\r\nT: ", b"a" * 1000),
        (CHUNKED + b"0\r\n", b"T: %b\r\n" % (b"a" * 1000)),
    ],
    ids=["value", "fields", "interim", "reason", "extension", "trailer-value", "trailers"],
)
@pytest.mark.parametrize("at_once", [False, True])
def test_endless_framing_is_refused_at_the_bound(start: bytes, piece: bytes, at_once: bool) -> None:
    step = piece * (2 * MAX_HEAD // len(piece) if at_once else 1)
    with pytest.raises(httpx.RemoteProtocolError):
        parsed(start, *[step] * (MAX_HEAD // len(step) + 1))


def test_a_head_has_at_most_so_many_fields() -> None:
    assert len(parsed(HEAD + b"A: b\r\n" * MAX_FIELDS + b"\r\n").headers) == MAX_FIELDS
    with pytest.raises(httpx.RemoteProtocolError, match="200 fields"):
        parsed(HEAD + b"A: b\r\n" * (MAX_FIELDS + 1) + b"\r\n")


def test_small_chunks_of_a_long_body_do_not_reach_the_bound_of_framing() -> None:
    parser = parsed(CHUNKED)
    for _ in range(MAX_HEAD // 4):
        parser.feed(b"1\r\na\r\n")
    parser.feed(b"0\r\n\r\n")
    assert parser.complete
    assert len(parser.take()) == MAX_HEAD // 4


@pytest.mark.parametrize(
    ("data", "cause", "kind"),
    [
        (b"", None, httpx.ReadError),
        (b"HTTP/1.1 200 OK\r\nA: b", None, httpx.ReadError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", None, TruncatedBody),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", ConnectionResetError("reset"), TruncatedBody),
        (CHUNKED + b"5\r\nhi", None, TruncatedBody),
        (CHUNKED + b"2\r\nhi\r\n", None, TruncatedBody),
        (b"HTTP/1.1 200 OK\r\n\r\nhi", ConnectionResetError("reset"), httpx.ReadError),
    ],
)
def test_an_early_end_says_what_is_missing(data: bytes, cause: Exception | None, kind: type[Exception]) -> None:
    parser = AnswerParser("GET")
    if data:
        parser.feed(data)
    assert type(parser.end(cause)) is kind
