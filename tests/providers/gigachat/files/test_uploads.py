from __future__ import annotations

import asyncio
import base64
import logging
import random
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest

from xrouter_asgi.errors import InvalidRequest, RequestRejected, UpstreamError, UpstreamUnauthorized
from xrouter_asgi.providers.base import Reply
from xrouter_asgi.providers.gigachat.auth.client import GigaChatClient
from xrouter_asgi.providers.gigachat.files.downloads import Downloads
from xrouter_asgi.providers.gigachat.files.uploads import Uploads
from xrouter_asgi.providers.gigachat.request.attachments import Attachment
from xrouter_asgi.providers.http import Upstream
from xrouter_asgi.testing.clock import LoopClock
from xrouter_asgi.testing.gigachat import FakeGigaChat
from xrouter_asgi.testing.gigachat.faults import Reset, ScriptedAnswer, Stall, refusal
from xrouter_asgi.testing.http import FakeExchange, FakeServer

from ..conftest import Ask, Connect

JPEG = b"\xff\xd8\xff\xe0 a picture"
PNG = b"\x89PNG\r\n\x1a\n another"
CHAT = "/chat/completions"


def data_url(data: bytes, mime: str = "image/jpeg") -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def picture(url: str, text: str = "What is this?") -> list[dict[str, Any]]:
    """Messages with one picture."""
    parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": parts}]


def attached(data: bytes, param: str = "messages[0].content[0].image_url", filename: str | None = None) -> Attachment:
    return Attachment(param=param, url=data_url(data), file_id=None, filename=filename)


@pytest.fixture
async def client(fake: FakeGigaChat) -> AsyncIterator[GigaChatClient]:
    oauth = Upstream(fake.auth_url)
    client = GigaChatClient(Upstream(fake.base_url), fake.credentials, oauth=oauth, client_id="gateway")
    yield client
    await client.aclose()


@pytest.fixture
async def files(client: GigaChatClient) -> AsyncIterator[Uploads]:
    files = Uploads(client, Downloads(), capacity=2, life=100.0)
    yield files
    await files.aclose()


# Through the provider.


async def test_a_picture_is_uploaded_and_attached(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    await connect(client_id="gateway").send(ask(messages=picture(data_url(JPEG))))
    ((file_id, upload),) = fake.uploads.items()
    assert upload == ("gateway", "image/jpeg", "file.jpg", JPEG)
    (message,) = fake.bodies()[0]["messages"]
    assert message == {"role": "user", "content": "What is this?", "attachments": [file_id]}


async def test_the_same_picture_is_uploaded_once(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    provider = connect()
    fake.parallel = 10
    await asyncio.gather(*(provider.send(ask(messages=picture(data_url(JPEG)))) for _ in range(5)))
    await provider.send(ask(messages=picture(data_url(JPEG), "Once more?")))
    assert len(fake.asked("/files")) == 1


async def test_a_file_id_of_the_client_is_passed_on(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    provider = connect(client_id="gateway")
    await provider.send(ask(messages=picture(data_url(JPEG))))
    (file_id,) = fake.uploads
    parts = [{"type": "text", "text": "And?"}, {"type": "file", "file": {"file_id": file_id}}]
    await provider.send(ask(messages=[{"role": "user", "content": parts}]))
    assert fake.bodies()[-1]["messages"][0]["attachments"] == [file_id]
    assert len(fake.asked("/files")) == 1


@pytest.mark.parametrize("gone", ["deleted", "someone else's"])
async def test_an_upload_that_is_gone_is_uploaded_again_once(
    connect: Connect, ask: Ask, fake: FakeGigaChat, gone: str
) -> None:
    provider = connect()
    await provider.send(ask(messages=picture(data_url(JPEG))))
    (file_id,) = fake.uploads
    if gone == "deleted":
        del fake.uploads[file_id]
    else:
        fake.uploads[file_id] = ("someone", *fake.uploads[file_id][1:])
    reply = await provider.send(ask(messages=picture(data_url(JPEG))))
    assert isinstance(reply, Reply)
    assert len(fake.asked("/files")) == 2
    first, stale, fresh = (body["messages"][0]["attachments"] for body in fake.bodies())
    assert first == stale != fresh


async def test_an_upload_that_stays_gone_is_given_up(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    fake.script(CHAT, *[refusal(404, "File 'x' not found")] * 5)
    with pytest.raises((RequestRejected, InvalidRequest, UpstreamError)):
        await connect().send(ask(messages=picture(data_url(JPEG))))
    assert len(fake.asked(CHAT)) == len(fake.asked("/files")) == 2


async def test_a_file_id_of_the_client_that_is_gone_is_not_tried_again(
    connect: Connect, ask: Ask, fake: FakeGigaChat
) -> None:
    parts = [
        {"type": "text", "text": "And?"},
        {"type": "file", "file": {"file_id": "c757a9c5-de04-498f-baa3-efcc54de7853"}},
    ]
    with pytest.raises((RequestRejected, InvalidRequest, UpstreamError)):
        await connect().send(ask(messages=[{"role": "user", "content": parts}]))
    assert len(fake.asked(CHAT)) == 1


async def test_a_picture_from_an_allowed_network_is_fetched(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    async def serve(exchange: FakeExchange) -> None:
        await exchange.answer(200, PNG, {"Content-Type": "text/plain"})

    async with FakeServer(serve) as store:
        await connect(allow_networks=["127.0.0.0/8"]).send(ask(messages=picture(f"{store.url}/picture")))
    ((_, mime, name, data),) = fake.uploads.values()
    assert (mime, name, data) == ("image/png", "file.png", PNG)


async def test_a_picture_from_anywhere_else_inside_is_not(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    with pytest.raises(InvalidRequest, match="public internet") as caught:
        await connect().send(ask(messages=picture(f"{fake.base_url}/models")))
    assert caught.value.param == "messages[0].content[1].image_url"
    assert fake.requests == []


async def test_a_picture_that_cannot_be_had_takes_no_slot(connect: Connect, ask: Ask, fake: FakeGigaChat) -> None:
    provider = connect()
    for _ in range(3):
        with pytest.raises(InvalidRequest):
            await provider.send(ask(messages=picture("data:image/png;base64,!")))
    await provider.send(ask())
    assert len(fake.asked(CHAT)) == 1


# data: URLs.


LONG = JPEG + bytes(range(256)) * 2
CODED = base64.b64encode(LONG).decode()


@pytest.mark.parametrize(
    "url",
    [
        f"data:image/jpeg;base64,{base64.encodebytes(LONG).decode()}",
        "data:image/jpeg;base64," + base64.encodebytes(LONG).decode().replace("\n", "\r\n"),
        f"data:image/jpeg;base64,{quote(base64.encodebytes(LONG))}",
        f" data:image/jpeg;base64,  {CODED} ",
        f"data:image/jpeg;base64,{CODED.rstrip('=')}",
        f"data:image/jpeg;base64,{base64.urlsafe_b64encode(LONG).decode()}",
        f"data:image/jpeg;base64,{base64.urlsafe_b64encode(LONG).decode().rstrip('=')}",
        f"DATA:IMAGE/JPEG;BASE64,{CODED}",
        f"Data:image/jpeg; Base64,{CODED}",
        f"data:image/jpeg;base64;name=a.jpg,{CODED}",
        f"data:image/png;base64,{CODED}",
        f"data:text/plain;base64,{CODED}",
        f"data:;base64,{CODED}",
        CODED,
        base64.encodebytes(LONG).decode(),
    ],
)
async def test_a_picture_is_taken_as_clients_make_it(connect: Connect, ask: Ask, fake: FakeGigaChat, url: str) -> None:
    assert CODED.endswith("=")
    assert "+" in CODED
    await connect().send(ask(messages=picture(url)))
    (upload,) = fake.asked("/files")
    assert LONG in upload.body
    assert b"image/jpeg" in upload.body


@pytest.mark.parametrize(
    "url",
    [
        "data:image/png;base64,###",
        "data:image/png;base64,",
        "not base64!",
        "example.com/a.png",
        f"data:image/png;base64,{base64.b64encode(b'a text').decode()}",
        base64.b64encode(b"a text").decode(),
        "data:image/png,a%20text",
    ],
)
async def test_what_is_no_picture_is_refused_where_it_is(
    connect: Connect, ask: Ask, fake: FakeGigaChat, url: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await connect().send(ask(messages=picture(url)))
    assert (caught.value.status, caught.value.param) == (400, "messages[0].content[1].image_url")
    assert not fake.asked("/files")


@pytest.mark.parametrize(
    "url",
    [
        data_url(JPEG),
        f"data:image/jpeg;base64,{quote(base64.b64encode(JPEG).decode(), safe='')}",
        f"DATA:;BASE64,{base64.b64encode(JPEG).decode()}",
        f"data:image/jpeg,{quote(JPEG)}",
    ],
)
async def test_a_data_url_may_be_encoded_in_either_way(files: Uploads, fake: FakeGigaChat, url: str) -> None:
    await files.ids([Attachment(param="messages[0].content[0].image_url", url=url, file_id=None, filename=None)])
    ((_, mime, _, data),) = fake.uploads.values()
    assert (mime, data) == ("image/jpeg", JPEG)


@pytest.mark.parametrize(
    "url",
    [
        "data:",
        "data:image/jpeg;base64",
        "data:;base64,=",
        "data:;base64,",
        "data:;base64, \n",
        "data:;base64,A",
        "data:;base64,AAAAA",
        "data:;base64,AA=A",
        f"data:;base64,{'A' * ((1 << 20) - 2)}==AAAA",
        "data:;base64,AA.A",
        "data:;base64,a text file",
        "data:;base64,\ud800",
    ],
)
async def test_a_data_url_that_is_none_is_refused(files: Uploads, fake: FakeGigaChat, url: str) -> None:
    with pytest.raises(InvalidRequest, match="not a data URL") as caught:
        await files.ids([Attachment(param="messages[0].content[0].image_url", url=url, file_id=None, filename=None)])
    assert (caught.value.code, caught.value.param) == ("invalid_file_data", "messages[0].content[0].image_url")
    assert fake.requests == []


async def test_a_percent_encoded_url_is_short(files: Uploads, fake: FakeGigaChat) -> None:
    def document(size: int) -> Attachment:
        url = "data:text/plain," + "%41" * (size // 3) + "A" * (size % 3)
        return Attachment(param="messages[0].content[0].file", url=url, file_id=None, filename=None)

    await files.ids([document(64 << 10)])
    with pytest.raises(InvalidRequest, match=r"at most 64 KiB\. Write it with base64") as caught:
        await files.ids([document((64 << 10) + 1)])
    assert (caught.value.code, caught.value.param) == ("invalid_file_data", "messages[0].content[0].file")
    assert len(fake.uploads) == 1


async def test_a_picture_of_several_mebibytes_is_uploaded_as_it_is(files: Uploads, fake: FakeGigaChat) -> None:
    picture = JPEG + random.Random(1).randbytes((3 << 20) + 1)
    await files.ids([attached(picture)])
    [(*_, uploaded)] = fake.uploads.values()
    assert uploaded == picture


async def test_a_picture_that_is_too_large_is_not_uploaded(files: Uploads, fake: FakeGigaChat) -> None:
    with pytest.raises(InvalidRequest, match="15 MiB"):
        await files.ids([attached(JPEG.ljust((15 << 20) + 1, b"\0"))])
    assert fake.requests == []


async def test_pictures_that_are_too_large_together_are_refused(files: Uploads, fake: FakeGigaChat) -> None:
    with pytest.raises(InvalidRequest, match="80 MiB together"):
        await files.ids([attached(JPEG.ljust(14 << 20, b"\0"))] * 6)
    assert fake.requests == []


async def test_documents_do_not_count_as_pictures_and_recordings(files: Uploads, fake: FakeGigaChat) -> None:
    document = attached(b"%PDF-".ljust(28 << 20, b"\0"), param="messages[0].content[0].file")
    await files.ids([document] * 3)
    assert len(fake.uploads) == 1


# Uploads.


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, "file.jpg"),
        ("отчёт 1.pdf", "отчёт 1.jpg"),
        ("noend", "noend.jpg"),
        ('a"; filename="b\r\nX: y.exe', "a filenamebX y.jpg"),
        ("../../etc/passwd", "....jpg"),
        ("///", "file.jpg"),
    ],
)
async def test_a_file_name_is_made_harmless_and_ends_as_its_type_demands(
    files: Uploads, fake: FakeGigaChat, given: str | None, sent: str
) -> None:
    await files.ids([attached(JPEG, filename=given)])
    ((_, _, name, data),) = fake.uploads.values()
    assert (name, data) == (sent, JPEG)


async def test_uploads_at_once_share_a_flight_and_each_failure_names_its_own_place(
    files: Uploads, fake: FakeGigaChat
) -> None:
    fake.script("/files", refusal(400, "No such format"))
    outcomes = await asyncio.gather(
        files.ids([attached(JPEG, "messages[0].content[0].image_url")]),
        files.ids([attached(JPEG, "messages[4].content[1].image_url")]),
        return_exceptions=True,
    )
    assert len(fake.asked("/files")) == 1
    params = []
    for outcome in outcomes:
        assert isinstance(outcome, InvalidRequest)
        assert (outcome.status, outcome.code) == (400, "file_rejected")
        params.append(outcome.param)
    assert params == ["messages[0].content[0].image_url", "messages[4].content[1].image_url"]


@pytest.mark.parametrize("status", [404, 413, 422])
async def test_a_file_that_gigachat_does_not_take_is_the_requests_fault(
    files: Uploads, fake: FakeGigaChat, status: int
) -> None:
    fake.script("/files", refusal(status, "No."))
    with pytest.raises(InvalidRequest) as caught:
        await files.ids([attached(JPEG)])
    assert caught.value.status == 400


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_failing_gigachat_is_not_the_requests_fault(files: Uploads, fake: FakeGigaChat, status: int) -> None:
    fake.script("/files", ScriptedAnswer(status))
    with pytest.raises(UpstreamError) as caught:
        await files.ids([attached(JPEG)])
    assert caught.value.status >= 500


async def test_a_refused_token_is_not_the_requests_fault(files: Uploads, fake: FakeGigaChat) -> None:
    fake.script("/files", *[refusal(401, "Unauthorized")] * 2)
    with pytest.raises(UpstreamUnauthorized):
        await files.ids([attached(JPEG)])


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id":5}', b'{"id":"../models"}', b'{"id":""}'])
async def test_an_answer_without_a_file_id_is_an_upstream_error(
    files: Uploads, fake: FakeGigaChat, body: bytes
) -> None:
    fake.script("/files", ScriptedAnswer(200, body))
    with pytest.raises(UpstreamError) as caught:
        await files.ids([attached(JPEG)])
    assert caught.value.code == "bad_body"


async def test_a_cancelled_caller_leaves_the_upload_to_the_others(files: Uploads, fake: FakeGigaChat) -> None:
    class Slow:
        async def play(self, exchange: FakeExchange) -> None:
            await exchange.until(release)
            await exchange.answer(200, b'{"id":"shared"}')

    release = asyncio.Event()
    fake.script("/files", Slow())
    leaving = asyncio.ensure_future(files.ids([attached(JPEG)]))
    staying = asyncio.ensure_future(files.ids([attached(JPEG)]))
    await fake.arrived("/files")
    leaving.cancel()
    await asyncio.wait({leaving})
    release.set()
    assert list((await staying).values()) == ["shared"]


async def test_an_upload_that_nobody_waits_for_any_more_ends(files: Uploads, fake: FakeGigaChat) -> None:
    class Watching:
        async def play(self, exchange: FakeExchange) -> None:
            await exchange.gone.wait()
            gone.set()

    gone = asyncio.Event()
    fake.script("/files", Watching())
    leaving = [asyncio.ensure_future(files.ids([attached(JPEG)])) for _ in range(2)]
    await fake.arrived("/files")
    leaving[0].cancel()
    await asyncio.wait({leaving[0]})
    assert not gone.is_set()
    leaving[1].cancel()
    async with asyncio.timeout(10):
        await gone.wait()
    # The same picture is uploaded anew.
    assert list((await files.ids([attached(JPEG)])).values()) == list(fake.uploads)
    assert len(fake.asked("/files")) == 2


async def test_closing_ends_an_upload(files: Uploads, fake: FakeGigaChat) -> None:
    fake.script("/files", Stall())
    waiting = asyncio.ensure_future(files.ids([attached(JPEG)]))
    await fake.arrived("/files")
    await files.aclose()
    with pytest.raises(UpstreamError):
        await waiting
    await fake.asked("/files")[0].gone.wait()


# Memory.


async def deleted(fake: FakeGigaChat, count: int) -> list[str]:
    """The files deleted so far, once they are so many."""
    await fake.until(lambda: len(fake.deleted) >= count)
    return fake.deleted


async def test_an_old_upload_is_deleted_from_the_account(files: Uploads, fake: FakeGigaChat, clock: LoopClock) -> None:
    (first,) = (await files.ids([attached(JPEG)])).values()
    clock.advance(99)
    assert list((await files.ids([attached(JPEG)])).values()) == [first]
    clock.advance(1)
    (second,) = (await files.ids([attached(JPEG)])).values()
    assert await deleted(fake, 1) == [first]
    assert list(fake.uploads) == [second]


async def test_the_least_recently_used_upload_makes_room(files: Uploads, fake: FakeGigaChat) -> None:
    (first,) = (await files.ids([attached(JPEG)])).values()
    (second,) = (await files.ids([attached(PNG)])).values()
    await files.ids([attached(JPEG)])
    (third,) = (await files.ids([attached(JPEG + b"!")])).values()
    assert await deleted(fake, 1) == [second]
    assert set(fake.uploads) == {first, third}


class Signal(logging.Filter):
    """Tells that something was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.event = asyncio.Event()

    def filter(self, record: logging.LogRecord) -> bool:
        self.event.set()
        return True


async def test_a_deletion_that_fails_harms_nobody(
    files: Uploads, fake: FakeGigaChat, clock: LoopClock, caplog: pytest.LogCaptureFixture
) -> None:
    (first,) = (await files.ids([attached(JPEG)])).values()
    clock.advance(100)
    logged = Signal()
    caplog.handler.addFilter(logged)
    # Twice, as a request on a kept connection is repeated when that one turns out to be closed.
    fake.script(f"/files/{first}/delete", Reset(), Reset())
    with caplog.at_level(logging.INFO, "xrouter"):
        await files.ids([attached(PNG)])
        await asyncio.wait_for(logged.event.wait(), 5)
    assert "was not deleted" in caplog.text


async def test_closing_ends_a_deletion(files: Uploads, fake: FakeGigaChat, clock: LoopClock) -> None:
    (first,) = (await files.ids([attached(JPEG)])).values()
    clock.advance(100)
    fake.script(f"/files/{first}/delete", Stall())
    await files.ids([attached(PNG)])
    await fake.arrived(f"/files/{first}/delete")
    await files.aclose()
    await fake.asked(f"/files/{first}/delete")[0].gone.wait()
