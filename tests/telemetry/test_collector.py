from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
from collections.abc import Callable
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path

import pytest
import trustme

from xrouter_asgi.providers.http import TLS
from xrouter_asgi.telemetry import collector
from xrouter_asgi.telemetry.collector import Collector, ExportFailed
from xrouter_asgi.telemetry.otlp_json import attributes, resource_of
from xrouter_asgi.testing.http import FakeExchange, FakeServer, Handler

DOCUMENT = b'{"resourceSpans":[]}'


class Answering:
    """A collector that gives these answers in turn, and then takes everything."""

    def __init__(self, *answers: Handler) -> None:
        self.requests: list[FakeExchange] = []
        self.times: list[float] = []
        self._answers = list(answers)

    async def __call__(self, exchange: FakeExchange) -> None:
        self.requests.append(exchange)
        self.times.append(asyncio.get_running_loop().time())
        await (self._answers.pop(0) if self._answers else answer(200))(exchange)


def answer(status: int, body: bytes = b"{}", **headers: str) -> Handler:
    async def handler(exchange: FakeExchange) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        await exchange.answer(status, body, {"content-type": "application/json", **named})

    return handler


async def reset(exchange: FakeExchange) -> None:
    exchange.reset()


async def silence(exchange: FakeExchange) -> None:
    await exchange.gone.wait()


async def posted(endpoint: str, *, timeout: float = 5.0, **options: object) -> int:
    """What `post` returns for the document of this file."""
    sending = Collector(endpoint, timeout=timeout, **options)  # type: ignore[arg-type]
    try:
        return await sending.post("/v1/traces", DOCUMENT)
    finally:
        await sending.aclose()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "_FIRST_PAUSE", 0.01)


async def test_a_document_comes_whole_with_our_headers_to_the_path_of_its_signal() -> None:
    taking = Answering()
    async with FakeServer(taking) as server:
        await posted(f"{server.url}/otlp/", headers={"x-token": "t"})
    (request,) = taking.requests
    assert (request.method, request.path, request.body) == ("POST", "/otlp/v1/traces", DOCUMENT)
    assert request.headers["x-token"] == "t"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("xrouter-asgi/")
    assert "content-encoding" not in request.headers


async def test_a_document_of_many_steps_comes_compressed() -> None:
    taking = Answering()
    document = json.dumps([{"key": str(number)} for number in range(5000)]).encode()
    async with FakeServer(taking) as server:
        sending = Collector(server.url, compress=True)
        await sending.post("/v1/traces", document)
        await sending.aclose()
    (request,) = taking.requests
    assert request.headers["content-encoding"] == "gzip"
    assert gzip.decompress(request.body) == document
    assert len(request.body) < len(document) / 4


@pytest.mark.parametrize("failure", [*map(answer, (429, 502, 503, 504)), reset])
async def test_what_may_be_repeated_is_repeated_until_it_is_taken(failure: Handler) -> None:
    taking = Answering(failure, failure, failure)
    async with FakeServer(taking) as server:
        await posted(server.url)
    assert len(taking.requests) == 4
    assert {request.body for request in taking.requests} == {DOCUMENT}


@pytest.mark.parametrize("status", [400, 401, 404, 500, 302])
async def test_what_may_not_be_repeated_fails_at_once(status: int) -> None:
    taking = Answering(answer(status))
    async with FakeServer(taking) as server:
        with pytest.raises(ExportFailed):
            await posted(server.url)
    assert len(taking.requests) == 1


async def test_a_failure_says_what_the_collector_said() -> None:
    async with FakeServer(Answering(answer(400, b'{"code":3,"message":"bad\\nspan"}'))) as server:
        with pytest.raises(ExportFailed, match=r"^The collector at 127.0.0.1 answered with status 400: bad span$"):
            await posted(server.url)


async def test_pauses_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "uniform", lambda low, high: high)
    taking = Answering(*[answer(503)] * 3)
    async with FakeServer(taking) as server:
        await posted(server.url)
    first, second, third = (later - earlier for earlier, later in pairwise(taking.times))
    assert first > 0.009
    assert second > 0.019
    assert third > 0.039


async def test_the_time_that_a_collector_asks_for_is_waited() -> None:
    taking = Answering(answer(503, retry_after="0.2"))
    async with FakeServer(taking) as server:
        await posted(server.url)
    assert taking.times[1] - taking.times[0] > 0.19


async def test_a_wait_beyond_the_time_out_is_not_begun() -> None:
    taking = Answering(answer(503, retry_after="30"))
    async with FakeServer(taking) as server:
        with pytest.raises(ExportFailed, match="answered with status 503"):
            await posted(server.url)
    assert len(taking.requests) == 1


async def test_a_collector_that_does_not_answer_is_given_up_in_time() -> None:
    async with FakeServer(silence) as server:
        with pytest.raises(ExportFailed, match="cannot be reached: "):
            await posted(server.url, timeout=0.1)


async def test_a_hurry_cuts_the_time_out_short() -> None:
    async with FakeServer(silence) as server:
        sending = Collector(server.url)
        with pytest.raises(ExportFailed):
            await sending.post("/v1/traces", DOCUMENT, within=0.1)
        await sending.aclose()


async def test_a_collector_that_is_down_is_told_by_a_word() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(ExportFailed, match=r"^The collector at 127.0.0.1 cannot be reached: connect_refused$"):
            await posted(f"http://127.0.0.1:{closed.getsockname()[1]}", timeout=0.1)


@pytest.mark.parametrize(
    ("said", "rejected", "logged"),
    [
        (b'{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too\\nold"}}', 3, "rejected 3 items: too old"),
        (b'{"partialSuccess":{"rejectedDataPoints":2}}', 2, "rejected 2 items: "),
        (b'{"partialSuccess":{"errorMessage":"use a newer version"}}', 0, "rejected 0 items: use a newer version"),
    ],
)
async def test_a_partial_success_is_counted_and_logged(
    said: bytes, rejected: int, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeServer(Answering(answer(200, said))) as server:
        assert await posted(server.url) == rejected
    assert caplog.messages == [f"The collector at 127.0.0.1 {logged}"]


@pytest.mark.parametrize("said", [b"", b"\x0a\x02ok", b"[]", b'{"partialSuccess":{}}', b'{"partialSuccess":7}'])
async def test_a_whole_success_is_not_logged(said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with FakeServer(Answering(answer(200, said))) as server:
        assert await posted(server.url) == 0
    assert caplog.messages == []


async def test_a_nonsensical_count_of_rejected_items_harms_nothing() -> None:
    said = b'{"partialSuccess":{"rejectedSpans":"many"}}'
    async with FakeServer(Answering(answer(200, said))) as server:
        assert await posted(server.url) == 0


async def test_certificates_are_checked_and_ours_is_shown(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    ours = tmp_path / "ours.pem"
    authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(ours)
    bundle = authority.cert_pem.bytes().decode()
    async with FakeServer(Answering(), tls=context) as server:
        assert await posted(server.url, tls=TLS(bundle, cert=str(ours))) == 0
        with pytest.raises(ExportFailed):
            await posted(server.url, timeout=0.1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Collector("collector:4318"),
        lambda: Collector(headers={"x": "a\nb"}),
        lambda: Collector(proxy="nonsense"),
        lambda: Collector(timeout=0),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(make: Callable[[], Collector]) -> None:
    with pytest.raises(ValueError, match=r"\."):
        make()


def test_a_collector_shows_no_secret() -> None:
    assert repr(Collector("http://c:4318", headers={"x-token": "marked"})) == "Collector('http://c:4318')"


# OTLP/JSON


def test_attributes_are_written_as_the_specification_wants() -> None:
    written = attributes(
        {"text": 'a"\n\u00e9', "unknown": None, "half": "\ud800"},
        {"int": 2**40, "float": 0.5, "yes": True, "list": ("a", "b")},
    )
    assert json.loads(written) == [
        {"key": "text", "value": {"stringValue": 'a"\n\u00e9'}},
        {"key": "half", "value": {"stringValue": "?"}},
        {"key": "int", "value": {"intValue": str(2**40)}},
        {"key": "float", "value": {"doubleValue": 0.5}},
        {"key": "yes", "value": {"boolValue": True}},
        {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "a"}, {"stringValue": "b"}]}}},
    ]
    assert written.isascii()
    assert attributes({"a": HTTPStatus.OK}) == attributes({"a": 200})  # as a host's application may give it
    assert [attributes({"a": value}) for value in (1, True, 1.0)] == [
        '[{"key":"a","value":{"intValue":"1"}}]',
        '[{"key":"a","value":{"boolValue":true}}]',
        '[{"key":"a","value":{"doubleValue":1.0}}]',
    ]


def test_a_resource_names_its_service_and_its_process() -> None:
    one, other = (resource_of("gateway", {"host.name": "h", "telemetry.sdk.name": "told"}) for _ in range(2))
    assert (one["service.name"], one["host.name"], one["telemetry.sdk.name"]) == ("gateway", "h", "told")
    assert one["service.instance.id"] != other["service.instance.id"]
