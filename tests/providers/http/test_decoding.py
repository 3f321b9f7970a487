"""Answers that come compressed though nobody asked."""

from __future__ import annotations

import gzip
import importlib
import json
import random
import zlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.providers.openai.calls import chat, read, stream_of, text_of
from xrouter_asgi.errors import UpstreamError, UpstreamUnavailable, XRouterError
from xrouter_asgi.providers.http import Upstream
from xrouter_asgi.providers.openai import OpenAIProvider
from xrouter_asgi.testing.openai import JSON, SSE, FakeOpenAI, chunked, event, raw, whole
from xrouter_asgi.testing.openai_answers import chunk, completion
from xrouter_asgi.wire import ChatCompletion


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def members(data: bytes) -> bytes:
    return gzip.compress(data[:7]) + gzip.compress(data[7:])


def by(module: str) -> Callable[[bytes], bytes]:
    def compress(data: bytes) -> bytes:
        try:
            packed: bytes = importlib.import_module(module).compress(data)
        except ImportError:
            pytest.skip(f"{module} is not here")
        return packed

    return compress


CODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "capitals": (" GZip ", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "two members": ("gzip", members),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", by("brotli")),
    "zstd": ("zstd", by("backports.zstd")),
}
TEXT = "".join(random.Random(1).choices("абвгд xyz", k=300_000))


def mocked(status: int, content: bytes, coding: str) -> Upstream:
    answer = httpx.Response(status, headers={"content-encoding": coding}, stream=httpx.ByteStream(content))
    return Upstream("http://x.test", transport=httpx.MockTransport(lambda _: answer))


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_compressed_completion_is_read(coding: str) -> None:
    name, compress = CODINGS[coding]
    said = completion({"model": "m", "messages": [{"role": "user", "content": TEXT}]})
    async with FakeOpenAI() as fake:
        provider = OpenAIProvider(fake.base_url)
        fake.next(whole(compress(json.dumps(said).encode()), headers={**JSON, "content-encoding": name}))
        reply = await provider.send(chat())
        assert isinstance(reply.body, ChatCompletion)
        assert reply.body.value == said
        await provider.aclose()


@pytest.mark.parametrize("size", [None, 1])
@pytest.mark.parametrize("coding", CODINGS)
async def test_a_compressed_stream_is_read_in_whatever_pieces_it_comes(coding: str, size: int | None) -> None:
    name, compress = CODINGS[coding]
    events = b"".join(event(chunk({"content": f"{number} "})) for number in range(30)) + event(chunk({}, "stop"))
    async with FakeOpenAI() as fake:
        provider = OpenAIProvider(fake.base_url)
        fake.next(raw(chunked(compress(events), headers={**SSE, "content-encoding": name}), size=size))
        assert text_of(await read(await stream_of(provider))) == "".join(f"{number} " for number in range(30))
        await provider.aclose()


async def test_an_event_is_here_before_the_compressed_stream_ends() -> None:
    packer = zlib.compressobj(wbits=31)
    first = packer.compress(b"data: 1\n\n") + packer.flush(zlib.Z_SYNC_FLUSH)
    answer = await mocked(200, first, "gzip").open("GET", "/")
    assert await anext(answer) == b"data: 1\n\n"
    await answer.aclose()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("coding", "body", "words"),
    [
        ("gzip", gzip.compress(b'{"error":{"message":"Slow down, please."}}', mtime=0), "Slow down, please."),
        ("gzip", gzip.compress(b'{"error":{"message":"Slow down, please."}}', mtime=0)[:-6], "Slow down, please."),
        ("gzip", b"no gzip", None),
        ("gzip", b"", None),
        ("lzma", b"who knows", None),
        ("gzip, br", b"who knows", None),
    ],
    ids=["whole", "cut", "wrong", "empty", "unknown", "two"],
)
async def test_the_status_of_a_compressed_error_counts(
    stream: bool, coding: str, body: bytes, words: str | None
) -> None:
    headers = {**JSON, "content-encoding": coding, "retry-after": "7"}
    async with FakeOpenAI() as fake:
        provider = OpenAIProvider(fake.base_url)
        fake.next(whole(body, status=429, headers=headers))
        with pytest.raises(XRouterError, match=words) as caught:
            await provider.send(chat(stream=stream))
        assert (caught.value.status, caught.value.code) == (429, "rate_limit_exceeded")
        assert caught.value.retry_after == 7
        await provider.aclose()


@pytest.mark.parametrize("coding", [name for name in CODINGS if name not in ("capitals", "x-gzip", "two members")])
async def test_an_answer_that_grows_too_much_is_too_large(coding: str) -> None:
    name, compress = CODINGS[coding]
    bomb = compress(bytes(30 << 20))
    assert len(bomb) < 100_000
    with pytest.raises(UpstreamError) as caught:
        await mocked(200, bomb, name).fetch("GET", "/")
    assert (caught.value.code, caught.value.trips, caught.value.falls_back) == ("too_large", False, False)
    answer = await mocked(500, bomb, name).fetch("GET", "/")
    assert len(answer.body) < 12 << 20


async def test_the_limit_is_one_of_what_was_decoded() -> None:
    packed = gzip.compress(TEXT.encode())
    with pytest.raises(UpstreamError) as caught:
        await mocked(200, packed, "gzip").fetch("GET", "/", limit=len(packed) + 1)
    assert caught.value.code == "too_large"
    assert (await mocked(200, packed, "gzip").fetch("GET", "/", limit=len(TEXT) * 2)).body == TEXT.encode()


@pytest.mark.parametrize(
    ("coding", "body", "kind", "code"),
    [
        ("gzip", gzip.compress(b"x" * 999, mtime=0)[:-9], UpstreamUnavailable, "truncated"),
        ("gzip", b"{}", UpstreamError, "bad_protocol"),
        ("deflate", b"\xff\xff", UpstreamError, "bad_protocol"),
        ("gzip, gzip", gzip.compress(b"{}", mtime=0), UpstreamError, "bad_protocol"),
        ("compress", b"{}", UpstreamError, "bad_protocol"),
    ],
)
async def test_what_cannot_be_decoded_is_an_error(coding: str, body: bytes, kind: type[Any], code: str) -> None:
    with pytest.raises(kind) as caught:
        await mocked(200, body, coding).fetch("GET", "/")
    assert caught.value.code == code


@pytest.mark.parametrize("padding", [b"\0" * 9, b"junk"])
async def test_what_follows_the_compressed_data_is_no_content(padding: bytes) -> None:
    assert (await mocked(200, gzip.compress(b"{}", mtime=0) + padding, "gzip").fetch("GET", "/")).body == b"{}"


async def test_the_fields_of_a_decoded_answer_describe_what_is_handed_over() -> None:
    answer = await mocked(200, gzip.compress(b"{}", mtime=0), "gzip").fetch("GET", "/")
    assert "content-encoding" not in answer.headers
