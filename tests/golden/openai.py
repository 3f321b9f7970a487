"""An upstream that speaks OpenAI's API: what goes up to it, and what comes down."""

from __future__ import annotations

from typing import Any

import httpx
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from starlette.types import ASGIApp

from xrouter_asgi import BringYourOwnKey, LLMRouter, OpenAIProvider, Target, TracingMiddleware
from xrouter_asgi.testing.openai_answers import chunk

from .chat import WEATHER
from .house import CHAT, EMBEDDINGS, hello, streamed
from .recording import Case, Make, Tape, post
from .streams import WITH_USAGE
from .upstream import DONE, URL, Answer, Upstream, event, refuse, stream, whole


def provider(tape: Tape, *answers: Answer, **options: Any) -> OpenAIProvider:
    """It knows the models `chat` and `vectors`."""
    options = {"api_key": "sk-ours", **options}
    provider = OpenAIProvider(URL, transport=Upstream(tape, *answers), **options)
    tape.closing.push_async_callback(provider.aclose)
    return provider


def of(*answers: Answer, model: str = "chat", **options: Any) -> Make:
    return lambda tape: LLMRouter({"m": Target(provider(tape, *answers, **options), model=model)})


def _own_key(tape: Tape) -> ASGIApp:
    own = BringYourOwnKey(lambda key: provider(tape, api_key=key), name="own")
    return LLMRouter({"m": Target(own, model="chat")})


class _Counted(IdGenerator):
    """Ids of spans that are known beforehand."""

    def __init__(self) -> None:
        self._last = 0

    def generate_trace_id(self) -> int:
        return 0xABC

    def generate_span_id(self) -> int:
        self._last += 1
        return self._last


def _traced(tape: Tape) -> ASGIApp:
    tracers = TracerProvider(id_generator=_Counted(), shutdown_on_exit=False)
    return TracingMiddleware(of()(tape), tracer_provider=tracers)  # type: ignore[arg-type]  # it is no awaitable


TRACEPARENT = ("traceparent", f"00-{0xDEF:032x}-{0x123:016x}-01")
ODD = (
    b'{ "model" : "m" ,\n "messages":[{"role":"user","content":"\\u041f\\u0440\xd1\x83\xd0\xb4"}],'
    b' "min_p":1.0e0, "odd":[] }'
)
CALLS = {"tools": [WEATHER], "messages": [{"role": "user", "content": 'call weather {"city": "Tver"}'}]}
HELLO = event(chunk({"role": "assistant", "content": "Hel"}))
END = event(chunk({}, "stop"))

FAILURES: dict[str, Answer] = {
    "400": refuse(400, "'temperature' is too hot.", param="temperature", code="invalid_value"),
    "401": refuse(401, "Incorrect API key provided: sk-ours.", code="invalid_api_key"),
    "403": refuse(403, "You may not."),
    "404": refuse(404, "The model `chat` does not exist.", code="model_not_found"),
    "429": refuse(429, "Slow down.", [("retry-after", "3")], type="requests", code="rate_limit_exceeded"),
    "429-quota": refuse(429, "You exceeded your quota.", type="insufficient_quota", code="insufficient_quota"),
    "500": refuse(500, "The server had an error.", [("x-request-id", "req-theirs")], type="server_error"),
    "502": whole(b"<html>\n<h1>502 Bad Gateway</h1>\n</html>\n", 502, {"content-type": "text/html"}),
    "no-json": whole(b"OK"),
    "no-answer": whole({"object": "list"}),
}

CASES = [
    Case("chat", of(), [post(CHAT, hello())]),
    Case("chat-as-it-came", of(), [post(CHAT, ODD)]),
    Case("chat-with-tools", of(), [post(CHAT, hello(**CALLS))]),
    Case("stream", of(), [post(CHAT, streamed()), post(CHAT, streamed(**WITH_USAGE))]),
    Case("stream-with-tools", of(), [post(CHAT, streamed(**CALLS))]),
    Case("stream-without-asking-for-usage", of(ask_usage=False), [post(CHAT, streamed(**WITH_USAGE))]),
    Case(
        "stream-in-odd-pieces",
        of(stream(HELLO[:20], HELLO[20:] + b": ping\n\n" + HELLO[:9], HELLO[9:], END + DONE)),
        [post(CHAT, streamed())],
    ),
    Case("stream-without-done", of(stream(HELLO + END)), [post(CHAT, streamed())]),
    Case("stream-broken", of(stream(HELLO, httpx.ReadError("reset"))), [post(CHAT, streamed())]),
    Case(
        "stream-that-fails",
        of(stream(HELLO, event({"error": {"message": "Overloaded.", "type": "server_error", "code": "overloaded"}}))),
        [post(CHAT, streamed())],
    ),
    Case("stream-of-garbage", of(stream(HELLO, b"data: {]\n\n")), [post(CHAT, streamed())]),
    Case("stream-refused", of(FAILURES["429"]), [post(CHAT, streamed())]),
    Case(
        "embeddings",
        of(model="vectors"),
        [
            post(EMBEDDINGS, {"model": "m", "input": ["Hello", "пруд"]}),
            post(EMBEDDINGS, {"model": "m", "input": "Hello", "encoding_format": "base64", "dimensions": 4}),
        ],
    ),
    Case("headers", of(api_key=None, headers={"api-key": "ours"}), [post(CHAT, hello(), ("x-mine", "1"))]),
    Case("own-key", _own_key, [post(CHAT, hello(), ("x-provider-key", "sk-theirs")), post(CHAT, hello())]),
    Case("traced", _traced, [post(CHAT, hello()), post(CHAT, streamed(), TRACEPARENT, ("baggage", "a=b"))]),
    *(Case(f"error-{name}", of(answer), [post(CHAT, hello())]) for name, answer in FAILURES.items()),
]
