"""Models, health, and the description of the API."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xrouter_asgi import LLMRouter, Target

from .house import House, completion, routed
from .openai import provider
from .recording import Case, Tape, get
from .upstream import refuse


def changed(app: ASGIApp, change: Callable[[bytes], bytes]) -> ASGIApp:
    """Changes a whole body, and leaves its length out."""

    async def changing(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_changed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [each for each in message["headers"] if each[0] != b"content-length"]}
            else:
                message = {**message, "body": change(message["body"])}
            await send(message)

        await app(scope, receive, send_changed)

    return changing


def _described(tape: Tape) -> ASGIApp:
    # Python 3.13 has the words of RFC 9110 for this status, earlier ones those of RFC 2616.
    old, new = b'"Request Entity Too Large"', b'"Content Too Large"'
    return changed(routed(House(completion())), lambda body: body.replace(old, new))


def _several(tape: Tape) -> ASGIApp:
    house = House(completion())
    upstream = provider(tape)
    return LLMRouter(
        {"zoo": house, "team/large": Target(house, model="l"), "u/*": Target(upstream, model="*"), "a": upstream}
    )


def _patterns(tape: Tape) -> ASGIApp:
    failing = provider(tape, *[refuse(500, "The server had an error.")] * 9)
    return LLMRouter({"f/*": Target(failing, model="*")})


def _half(tape: Tape) -> ASGIApp:
    failing = provider(tape, refuse(500, "The server had an error."))
    return LLMRouter({"f/*": Target(failing, model="*"), "m": House(completion())})


def _draining(tape: Tape) -> ASGIApp:
    router = routed(House(completion()))
    router.drain()
    return router


NAMES = ("zoo", "team/large", "u/chat", "u/nothing", "a", "nobody", "u/")

CASES = [
    Case("models", _several, [get("/v1/models"), get("/models")]),
    Case("models-one", _several, [get(f"/v1/models/{name}") for name in NAMES] + [get("/models/zoo")]),
    Case("models-of-nobody", lambda tape: LLMRouter({}), [get("/v1/models")]),
    Case("models-unknown-to-a-failing-upstream", _patterns, [get("/v1/models"), get("/v1/models/f/chat")]),
    Case("models-with-a-failing-upstream", _half, [get("/v1/models")]),
    Case("health", lambda tape: routed(House(completion())), [get("/health"), get("/ready"), get("/health/")]),
    Case("health-while-draining", _draining, [get("/health"), get("/ready")]),
    Case("openapi", _described, [get("/openapi.json")]),
]
