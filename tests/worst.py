"""The worst inputs that are known: once they took from 50 ms to hours on the event loop.

`python -m benchmarks.loop` measures how long each makes others wait, and `test_loop.py` what each hands to one call.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx

from xrouter_asgi import LLMRouter
from xrouter_asgi.providers.gigachat import GigaChatProvider
from xrouter_asgi.providers.openai import OpenAIProvider

from .asgi_client import Answer, Exchange, body_messages, http_scope

MIB = 1 << 20

_EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}\n\n'
_END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def _chat(content: bytes = b"Hello", more: bytes = b"", model: bytes = b"m") -> bytes:
    return b'{"model":"%b","messages":[{"role":"user","content":"%b"}]%b}' % (model, content, more)


def _messages(message: bytes, count: int) -> bytes:
    return b'{"model":"m","messages":[' + b",".join([message] * count) + b"]}"


def _many(item: bytes, size: int) -> bytes:
    return item * (size // len(item))


def _answer(content: bytes, more: bytes = b"") -> bytes:
    choice = b'{"index":0,"message":{"role":"assistant","content":"%b"%b},"finish_reason":"stop"}' % (content, more)
    return b'{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[%b]}' % choice


def _parts(*parts: dict[str, Any], tools: list[Any] | None = None) -> bytes:
    more = {"tools": tools} if tools else {}
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": parts}], **more}).encode()


def _picture(url: str) -> bytes:
    return _parts({"type": "image_url", "image_url": {"url": url}})


def _file(data: str, name: str) -> bytes:
    return _parts({"type": "file", "file": {"file_data": data, "filename": name}})


def _tool(*, description: str, references: int, tools: int = 1) -> bytes:
    schema = {
        "$defs": {"A": {"type": "object", "description": description, "properties": {"a": {"minimum": 1}}}},
        "type": "object",
        "properties": {f"p{index}": {"$ref": "#/$defs/A"} for index in range(references)},
    }
    function = {"description": "", "parameters": schema}
    named = [{"type": "function", "function": {"name": f"f{index}", **function}} for index in range(tools)]
    return _parts({"type": "text", "text": "x"}, tools=named)


_REQUESTS: Mapping[str, tuple[int, Callable[[], bytes]]] = {
    "messages that are none": (400, lambda: _messages(b"0", 127_000)),
    "biases that are none": (400, lambda: _chat(more=b',"logit_bias":{%b"":0}' % _many(b'"":"",', MIB))),
    "wrong biases": (
        400,
        lambda: _chat(more=b',"logit_bias":{%b}' % b",".join(b'"%d":""' % number for number in range(120_000))),
    ),
    "many messages": (200, lambda: _messages(b'{"role":"user","content":""}', 80_000)),
    "many parts": (200, lambda: _messages(b'{"role":"user","content":[{"type":"text","text":""}]}', 40_000)),
    "many keys": (
        200,
        lambda: _chat(more=b',"metadata":null,"x":{%b}' % b",".join(b'"%d":[]' % number for number in range(80_000))),
    ),
    "many arrays": (400, lambda: _chat(more=b',"x":[%b[]]' % _many(b"[],", 15 * MIB))),
    "many strings": (400, lambda: _many(b'""', 15 * MIB)),
    "a deep array": (400, lambda: b"[" * (31 * MIB)),
    "long numbers": (400, lambda: _chat(more=b',"x":[%b0]' % _many(b"9" * 4300 + b",", 28 * MIB))),
    "a long number": (400, lambda: _chat(more=b',"x":%b' % (b"9" * (31 * MIB)))),
    "a text": (200, lambda: _chat(b"a" * (31 * MIB))),
    "a text of escapes": (200, lambda: _chat(b"\\n" * (15 * MIB))),
    "a text of escaped quotes": (200, lambda: _chat(b'\\"' * (15 * MIB))),
    "a text of surrogate pairs": (200, lambda: _chat(_many(b"\\ud83d\\ude00", 31 * MIB))),
    "a text that ends with half a pair": (400, lambda: _chat(_many(b"\\ud83d\\ude00", 31 * MIB) + b"\\ud83d")),
    "a key twice beside a text of escapes": (400, lambda: _chat(b"\\n" * (15 * MIB), b',"a":1,"a":2')),
    "a long model name": (400, lambda: _chat(model=b"m" * MIB)),
    "spaces": (200, lambda: b" " * (31 * MIB) + _chat()),
}
"""Bodies for `/chat/completions`, and the status of their answers."""

_ANSWERS: Mapping[str, tuple[int, Callable[[], bytes]]] = {
    "arrays": (502, lambda: _answer(b"", b',"x":[%b[]]' % _many(b"[],", 15 * MIB))),
    "many arrays in 350 KiB": (200, lambda: _answer(b"", b',"x":[%b[]]' % (b"[]," * 120_000))),
    "a text of escapes": (200, lambda: _answer(b"\\n" * (15 * MIB))),
    "half pairs": (502, lambda: _answer(b"\\ud83d" * (2 * MIB))),
    "events": (200, lambda: _many(_EVENT, 2 * MIB) + _END),
    "pieces of one call": (
        200,
        lambda: (
            _many(
                b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"1","function":{"name":"f",'
                b'"arguments":"%b"}}]}}]}\n\n' % (b"a" * 64),
                2 * MIB,
            )
            + _END
        ),
    ),
    "an error that is no page": (502, lambda: b"<" + b" " * (31 * MIB)),
}
"""Whole answers to a chat, and the status that the client gets."""

_STREAMS: Mapping[str, Callable[[], bytes]] = {
    "an event of arrays": lambda: _EVENT + b"data: [%b[]]\n\n" % _many(b"[],", 15 * MIB),
    "an event of one text": lambda: _EVENT.replace(b'"x"', b'"%b"' % (b"x" * (15 * MIB))) + _END,
    "an event of many lines": lambda: _EVENT + _many(b"data: {\n", MIB) + b"\n",
    "the smallest events": lambda: _EVENT + _many(b"data:{}\n", MIB // 2) + _END,
    "the smallest chunks": lambda: _EVENT + _many(b'data:{"choices":[{}]}\n\n', MIB // 2) + _END,
    "comments": lambda: _EVENT + _many(b":\n", MIB // 2) + _END,
    "a whole answer": lambda: _answer(b"\\n" * (15 * MIB)),
}
"""Answers to a streamed chat."""

_FILES: Mapping[str, tuple[int, Callable[[], bytes]]] = {
    "a percent-encoded picture": (400, lambda: _picture("data:image/png," + "%41" * (10 * MIB))),
    "base64 with escapes": (400, lambda: _picture("data:;base64," + "%41" * (10 * MIB))),
    "a picture": (200, lambda: _picture("data:;base64,/9j/" + "A" * (16 * MIB))),
    "a picture in lines": (200, lambda: _picture("data:;base64,/9j/" + ("A" * 76 + "\n") * (160_000))),
    "a long file name": (200, lambda: _file("data:;base64,JVBERi0x", "a" * (30 * MIB))),
    "a schema that expands": (400, lambda: _tool(description="", references=4000, tools=20)),
    "a description that is repeated": (400, lambda: _tool(description="x" * MIB, references=1000)),
    "a result that looks like JSON": (
        200,
        lambda: json.dumps(
            {"model": "m", "messages": [{"role": "tool", "tool_call_id": "1", "content": "[],[" * (5 * MIB)}]}
        ).encode(),
    ),
}
"""Bodies for a chat with GigaChat, and the status of their answers."""


def _vectors(inputs: int, numbers: int) -> bytes:
    vector = b"[" + b",".join([b"-0.012345678901234567"] * numbers) + b"]"
    rows = (b'{"object":"embedding","index":%d,"embedding":%b}' % (index, vector) for index in range(inputs))
    return (
        b'{"object":"list","model":"m","data":[' + b",".join(rows) + b'],"usage":{"prompt_tokens":1,"total_tokens":1}}'
    )


def _inputs(**more: str) -> bytes:
    return json.dumps({"model": "m", "input": ["x"] * 2048, **more}).encode()


@dataclass(frozen=True)
class Case:
    """A request whose body, or whose answer from upstream, is one of the worst.

    Attributes:
        status: What the client gets.
    """

    name: str
    status: int
    body: Callable[[], bytes] = _chat
    upstream: Callable[[], bytes] = lambda: _answer(b"Hi")
    path: str = "/v1/chat/completions"
    gigachat: bool = False

    async def ask(self) -> Answer:
        """Send it through a router that has the upstream in the same process."""
        answer = self.upstream()

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(answer), 64 << 10):
                yield answer[start : start + (64 << 10)]

        def answered(request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("oauth"):
                return httpx.Response(200, json={"access_token": "t", "expires_at": 4102444800000})
            if request.url.path.endswith("files"):
                return httpx.Response(200, json={"id": "72a3ff56-b7a3-4f02-a4a4-5a5b5c5d5e5f"})
            return httpx.Response(200, content=pieces())

        transport = httpx.MockTransport(answered)
        provider: Any = (
            GigaChatProvider(credentials="YTpi", transport=transport)
            if self.gigachat
            else OpenAIProvider("http://upstream/v1", transport=transport)
        )
        router = LLMRouter({"m": provider})
        body = self.body()
        parts = body_messages(*(body[start : start + (64 << 10)] for start in range(0, len(body), 64 << 10)))
        async with router.lifespan():
            return await Exchange(router, http_scope("POST", self.path), script=parts).run()


CASES = [
    *(Case(f"request: {name}", status, body) for name, (status, body) in _REQUESTS.items()),
    *(Case(f"answer: {name}", status, upstream=upstream) for name, (status, upstream) in _ANSWERS.items()),
    *(
        Case(f"stream: {name}", 200, partial(_chat, more=b',"stream":true'), upstream)
        for name, upstream in _STREAMS.items()
    ),
    *(Case(f"GigaChat: {name}", status, body, gigachat=True) for name, (status, body) in _FILES.items()),
    *(
        Case(f"embeddings: {name}", 200, body, partial(_vectors, 2048, 1536), "/v1/embeddings")
        for name, body in (("floats", _inputs), ("base64 asked for", partial(_inputs, encoding_format="base64")))
    ),
]
