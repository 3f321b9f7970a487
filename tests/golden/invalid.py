"""Requests that are refused by the router itself."""

from __future__ import annotations

import json

from starlette.types import ASGIApp

from .house import CHAT, House, completion, hello, routed
from .recording import ID, Ask, Case, Tape, get, post


def _router(tape: Tape) -> ASGIApp:
    return routed(House(completion()), max_body=4096)


def _wrong(name: str, *changes: dict[str, object]) -> Case:
    return Case(f"parameters-{name}", _router, [post(CHAT, hello(**each)) for each in changes])


def _says(content: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": content}]}


JSON = {
    "syntax": [b'{"model":', b"", b"\xef\xbb\xbf{}", b'{model:"m"}'],
    "not-an-object": [b"[]", b'"text"', b"null", b"7"],
    "not-utf-8": [b'{"model":"\xff"}', b'{"model":"\\ud800"}'],
    "numbers": [b'{"temperature":NaN}', b'{"temperature":1e999}'],
    "twice": [b'{"model":"m","model":"n"}'],
    "depth": [b"[" * 65 + b"]" * 65],
}

PATHS = [
    *(Ask(method, path) for method in ("HEAD", "PUT", "OPTIONS") for path in (CHAT, "/v1/models")),
    get(CHAT),
    get("/v1/embeddings"),
    post("/v1/models", {}),
    post("/v1/models/m", {}),
    post("/health", {}),
    Ask("HEAD", "/health"),
    Ask("POSTPOSTPOSTPOSTPOST", CHAT),
]
UNKNOWN = [get("/"), get("/v1"), post("/v1/audio/speech", {}), get("/v1/models/"), get("/chat/completions/more")]
UNKNOWN += [get("/" + "long" * 100), Ask("HEAD", "/nowhere"), get("//health"), get("/пруд")]

CASES = [
    Case("method-not-allowed", _router, PATHS),
    Case("path-unknown", _router, UNKNOWN),
    Case("model-unknown", _router, [post(CHAT, hello(model=name)) for name in ("gpt-9", "модель", "x" * 300)]),
    *(Case(f"json-{name}", _router, [post(CHAT, body) for body in bodies]) for name, bodies in JSON.items()),
    Case("body-too-large", _router, [post(CHAT, b" " * 4097), post(CHAT, b"", ("content-length", "4097"))]),
    Case(
        "body-of-a-wrong-kind",
        _router,
        [
            post(CHAT, hello(), ("content-type", "multipart/form-data; boundary=x")),
            post(CHAT, hello(), ("content-encoding", "gzip")),
            post(CHAT, hello(), ("content-length", "61"), ("transfer-encoding", "chunked")),
        ],
    ),
    Case(
        "body-of-any-other-kind",
        _router,
        [post(CHAT, hello(), ("content-type", "text/plain"), ("content-encoding", "identity"))],
    ),
    Case("parameters-model", _router, [post(CHAT, {"messages": []}), post(CHAT, hello(model="")), post(CHAT, {})]),
    _wrong("messages", {"messages": []}, {"messages": "Hello"}, {"messages": [{"role": "robot", "content": "Hello"}]}),
    _wrong("message", {"messages": [{"role": "user"}]}, {"messages": ["Hello"]}, {"messages": [{"content": "Hello"}]}),
    _wrong("content", _says(None), _says([]), _says([{"type": "text"}]), _says([{"text": "Hi"}]), _says(7)),
    _wrong("numbers", {"temperature": 3}, {"temperature": "1"}, {"top_p": -0.1}, {"n": 0}, {"n": 129}, {"n": 1.5}),
    _wrong("tokens", {"max_tokens": 0}, {"max_completion_tokens": -1}, {"max_tokens": True}, {"seed": 0.5}),
    _wrong("stream", {"stream": "yes"}, {"stream": 1}, {"stream_options": {"include_usage": "yes"}}),
    _wrong("stop", {"stop": list("abcde")}, {"stop": []}, {"stop": 1}, {"stop": [1]}),
    _wrong("tools", {"tools": [{"type": "function"}]}, {"tools": {}}, {"tool_choice": "never"}, {"tool_choice": 1}),
    _wrong("format", {"response_format": {"type": "json_schema"}}, {"response_format": "json"}),
    _wrong("other", {"logit_bias": {"1": 101}}, {"metadata": {"a": 1}}, {"user": 1}, {"presence_penalty": 2.5}),
    Case("unknown-parameters-are-none", _router, [post(CHAT, hello(odd={"a": [1]}, temperature=None, stop=None))]),
    Case(
        "request-ids",
        _router,
        [Ask("POST", CHAT, json.dumps(hello()).encode(), [("x-request-id", name)]) for name in ("a.B_c-9", "y" * 64)]
        + [Ask("GET", "/nowhere", headers=[("x-request-id", name)]) for name in ("z" * 65, "no spaces", "", "é")]
        + [Ask("GET", "/health", headers=[]), Ask("GET", "/health", headers=[ID, ("x-request-id", "second")])],
    ),
]
