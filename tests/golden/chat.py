"""Chat completions that come whole."""

from __future__ import annotations

from starlette.types import ASGIApp

from xrouter_asgi import Candidate, Fallback, LLMRouter, Target
from xrouter_asgi.errors import UpstreamUnavailable
from xrouter_asgi.policies import in_order
from xrouter_asgi.wire import ChatCompletion

from .house import CHAT, House, choice, completion, hello, routed, says, streamed
from .recording import Case, Tape, post

EXPLAIN = ("x-xrouter-explain", "1")
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Tver"}'}}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def _facts(tape: Tape) -> ASGIApp:
    warnings = ["seed_ignored", "temperature_raised"]
    headers = [("x-house-id", "7"), ("x-house-text", "line\r\nx-evil: 1 \u043f\u0440\u0438\u0432\u0435\u0442 \xe9")]
    return routed(House(completion(), warnings=warnings, headers=headers))


def _fallback(tape: Tape) -> ASGIApp:
    return fallback_to(House(completion(), name="second"))


def fallback_to(second: House) -> LLMRouter:
    """The first provider cannot be reached."""
    first = House(UpstreamUnavailable("The upstream refused the connection.", code="connect_refused"), name="first")
    candidates = [
        Candidate(Target(first, model="one"), "first/one"),
        Candidate(Target(second, model="two"), "second/two"),
    ]
    return LLMRouter({"m": Fallback(candidates, strategy=in_order)}, explain=True, version="v7")


def _as_written(tape: Tape) -> ASGIApp:
    data = b'{ "id" : "chatcmpl-1", "choices":[ ],"odd": 1.50,\n "object":"chat.completion", "model":"\\u0041"}\n'
    return routed(House(ChatCompletion({"id": "chatcmpl-1", "choices": []}, data)))


CASES = [
    Case("whole", lambda tape: routed(House(completion())), [post(CHAT, hello())]),
    Case("not-streamed", lambda tape: routed(House(completion())), [post(CHAT, hello(stream=False))]),
    Case(
        "paths",
        lambda tape: routed(House(completion())),
        [post("/chat/completions", hello()), post("/v1/chat/completions/", hello())],
    ),
    Case("without-target", lambda tape: LLMRouter({"m": House(completion())}), [post(CHAT, hello())]),
    Case("cyrillic", lambda tape: routed(House(completion(says("Привет 🙂 \x7f")))), [post(CHAT, hello())]),
    Case("as-the-upstream-wrote-it", _as_written, [post(CHAT, hello())]),
    Case("warnings-and-facts", _facts, [post(CHAT, hello(seed=1))]),
    Case(
        "tool-calls",
        lambda tape: routed(
            House(completion(choice({"role": "assistant", "content": None, "tool_calls": [CALL]}, "tool_calls")))
        ),
        [post(CHAT, hello(tools=[WEATHER], tool_choice="auto", parallel_tool_calls=True))],
    ),
    Case(
        "choices",
        lambda tape: routed(House(completion(says("One"), says("Two", index=1)))),
        [post(CHAT, hello(n=2))],
    ),
    Case("without-usage", lambda tape: routed(House(completion(usage=None))), [post(CHAT, hello())]),
    Case("fallback", _fallback, [post(CHAT, hello())]),
    Case("explained", _fallback, [post(CHAT, hello(), EXPLAIN)]),
    Case("explained-to-nobody", lambda tape: routed(House(completion())), [post(CHAT, hello(), EXPLAIN)]),
    Case(
        "error-explained",
        lambda tape: fallback_to(House(UpstreamUnavailable("Overloaded."), name="second")),
        [post(CHAT, hello(), EXPLAIN), post(CHAT, streamed(), EXPLAIN)],
    ),
    Case(
        "pattern",
        lambda tape: LLMRouter({"house/*": Target(House(completion()), model="house-*")}),
        [post(CHAT, hello(model="house/9")), post(CHAT, hello(model="house/"))],
    ),
]
