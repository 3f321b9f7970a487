"""An upstream without a socket: what comes is noted, and what is read is known piece by piece."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import httpx

from xrouter_asgi.testing.openai_answers import MODELS, chunks, completion, embeddings

from .recording import Tape, pieces

URL = "http://upstream.test/v1"
JSON = {"content-type": "application/json"}
SSE = {"content-type": "text/event-stream; charset=utf-8"}
DONE = b"data: [DONE]\n\n"

Answer: TypeAlias = Callable[[httpx.Request], httpx.Response]


class Read(httpx.AsyncByteStream):
    """A body by what each read of it brings; see `pieces`."""

    def __init__(self, each: Iterable[bytes | float | BaseException]) -> None:
        self._each = each

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in pieces(self._each):
            yield piece


class Upstream(httpx.AsyncBaseTransport):
    """Gives these answers, and then what a proper upstream answers."""

    def __init__(self, tape: Tape, *answers: Answer) -> None:
        self._tape = tape
        self._answers = list(answers)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        headers = [(name.decode(), value.decode()) for name, value in request.headers.raw]
        self._tape.request("upstream", f"{request.method} {request.url.raw_path.decode()}", headers, body)
        return self._answers.pop(0)(request) if self._answers else proper(request)


def proper(request: httpx.Request) -> httpx.Response:
    """An echo: see `FakeOpenAI`."""
    path = request.url.path.removeprefix("/v1")
    if path == "/models":
        return whole(MODELS)(request)
    asked = json.loads(request.content)
    if path == "/embeddings":
        return whole(embeddings(asked))(request)
    if asked.get("stream"):
        return stream(*(event(chunk) for chunk in chunks(asked)), DONE)(request)
    return whole(completion(asked))(request)


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def whole(value: Any, status: int = 200, headers: Mapping[str, str] = JSON) -> Answer:
    """Bytes as they are, anything else as JSON."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return lambda request: httpx.Response(status, headers=headers, stream=Read([body]))


def refuse(status: int, message: str, headers: Sequence[tuple[str, str]] = (), **members: Any) -> Answer:
    """OpenAI's error envelope."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None, **members}
    return whole({"error": error}, status, {**JSON, **dict(headers)})


def stream(*each: bytes | float | BaseException) -> Answer:
    return lambda request: httpx.Response(200, headers=SSE, stream=Read(each))
