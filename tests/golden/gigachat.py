"""GigaChat: what goes up to it, and what comes down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.types import ASGIApp

from xrouter_asgi import GigaChatProvider, LLMRouter, Target
from xrouter_asgi.providers.gigachat import GigaChatOptions
from xrouter_asgi.testing.gigachat import FakeGigaChat
from xrouter_asgi.testing.gigachat.faults import HTML_502, Events, Fault, ScriptedAnswer, refusal

from .chat import CALL, WEATHER
from .house import CHAT, EMBEDDINGS, hello, streamed
from .recording import Ask, Case, Make, Tape, get, post
from .streams import WITH_USAGE


def of(*faults: Fault, path: str = "/chat/completions", model: str = "GigaChat-2", **options: Any) -> Make:
    """A router whose `m` is a model of GigaChat's, and `giga/*` any; `faults` are the first answers at `path`."""

    async def make(tape: Tape) -> ASGIApp:
        fake = await tape.closing.enter_async_context(FakeGigaChat())
        fake.script(path, *faults)
        tape.watch(fake.requests)
        provider = GigaChatProvider(
            credentials=fake.credentials,
            base_url=fake.base_url,
            client_id="golden",
            options=GigaChatOptions(**options),
        )
        tape.closing.push_async_callback(provider.aclose)
        return LLMRouter({"m": Target(provider, model=model), "giga/*": Target(provider, model="*")})

    return make


def case(name: str, make: Make, *asks: Ask) -> Case:
    return Case(name, make, asks, sockets=True)


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "title": "City"}
FORMAT = {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA, "strict": True}}
CALLING: dict[str, Any] = {
    "tools": [WEATHER],
    "messages": [{"role": "user", "content": 'call weather {"city": "Тверь"}'}],
}
HISTORY: Sequence[dict[str, Any]] = (
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "What is"}, {"type": "text", "text": "the weather?"}]},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    {"role": "developer", "content": "Answer in verse."},
    {"role": "user", "content": "Go on"},
)
MANY = {
    "temperature": 0,
    "top_p": 0.5,
    "max_completion_tokens": 9,
    "n": 1,
    "seed": 7,
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "logprobs": False,
    "user": "anna",
    "metadata": {"a": "b"},
    "stop": ["said"],
}
BROKEN = Events(
    [{"created": 1, "choices": [{"delta": {"role": "assistant", "content": "При"}, "index": 0}]}], done=False, cut=True
)

CASES = [
    case("chat", of(), post(CHAT, hello()), post(CHAT, hello())),
    case("parameters", of(), post(CHAT, hello(**MANY))),
    case("history", of(), post(CHAT, hello(messages=HISTORY, tools=[WEATHER]))),
    case("stream", of(), post(CHAT, streamed()), post(CHAT, streamed(**WITH_USAGE))),
    case("call", of(), post(CHAT, hello(**CALLING)), post(CHAT, streamed(**CALLING))),
    case(
        "forced-call",
        of(),
        post(CHAT, hello(tools=[WEATHER], tool_choice={"type": "function", "function": {"name": "weather"}})),
        post(CHAT, hello(tools=[WEATHER], tool_choice="required")),
        post(CHAT, hello(**CALLING, tool_choice="none")),
    ),
    case("schema", of(), post(CHAT, hello(response_format=FORMAT)), post(CHAT, streamed(response_format=FORMAT))),
    case("schema-by-function", of(structured_output="function"), post(CHAT, hello(response_format=FORMAT))),
    case("json", of(), post(CHAT, hello(response_format={"type": "json_object"}))),
    case("unsupported", of(), post(CHAT, hello(n=2)), post(CHAT, hello(logprobs=True))),
    case("strict", of(strict=True), post(CHAT, hello(seed=7))),
    case(
        "embeddings",
        of(model="Embeddings"),
        post(EMBEDDINGS, {"model": "m", "input": ["Hello", "пруд"]}),
        post(EMBEDDINGS, {"model": "m", "input": "Hello", "encoding_format": "base64"}),
        post(EMBEDDINGS, {"model": "m", "input": [1, 2]}),
        post(EMBEDDINGS, {"model": "m", "input": "Hello", "dimensions": 2}),
    ),
    case("models", of(), get("/v1/models"), get("/v1/models/giga/GigaChat-2"), get("/v1/models/giga/none")),
    case("headers", of(), post(CHAT, hello(), ("x-trace-id", "t-1"), ("x-session-id", "s-1"), ("x-mine", "1"))),
    case("token-refused-once", of(refusal(401, "Token has expired")), post(CHAT, hello())),
    case("token-refused-twice", of(*[refusal(401, "Token has expired")] * 2), post(CHAT, hello())),
    case(
        "credentials-refused",
        of(ScriptedAnswer(401, {"code": 6, "message": "credentials doesn't match db data"}), path="/oauth"),
        post(CHAT, hello()),
    ),
    case("rejected", of(refusal(422, "Invalid params: too odd")), post(CHAT, hello())),
    case("model-unknown", of(model="GigaChat-9"), post(CHAT, hello())),
    case("rate-limited", of(refusal(429, "Too many requests")), post(CHAT, hello())),
    case("out-of-tokens", of(refusal(402, "Payment required")), post(CHAT, hello())),
    case("unavailable", of(refusal(500, "Internal error"), HTML_502), post(CHAT, hello()), post(CHAT, streamed())),
    case("stream-broken", of(BROKEN), post(CHAT, streamed())),
    case("pattern", of(), post(CHAT, hello(model="giga/GigaChat-2-Pro"))),
]
