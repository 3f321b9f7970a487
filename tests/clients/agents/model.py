"""A model that calls tools by a plan, so that an agent does the same work over every upstream."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xrouter_asgi.testing.gigachat.answers import complete
from xrouter_asgi.testing.http import FakeExchange
from xrouter_asgi.testing.openai import refuse, stream, whole
from xrouter_asgi.testing.openai_answers import chunk

from ..corpus.parts import COUNTED, STOP, call, calling, completion, fragments

WORD = "zebra-77"
"""What the file holds that the first tool reads. The model knows it from that tool's result only."""

SAYS = f"The word is {WORD}."
TOO_LONG = "This model's maximum context length is 200000 tokens. However, your messages resulted in 250000 tokens."


@dataclass(frozen=True)
class Step:
    """A call of a tool. `{word}` in its arguments is what the results told so far."""

    name: str
    arguments: Mapping[str, Any]


@dataclass
class Model:
    """Takes one step of its plan after the other, and says at the end which word it read.

    Attributes:
        plan: The next step is the one after all that have a result.
        requests: What came from the agent's main loop, translated by the gateway.
        asides: How often it was asked for something else: a title, or a summary.
        broken: How many of the next streams end in the middle of a text.
        full: How many of the next requests with a result are too long.
    """

    plan: tuple[Step, ...]
    requests: list[dict[str, Any]] = field(default_factory=list, repr=False)
    asides: int = 0
    broken: int = 0
    full: int = 0

    def answer(self, request: dict[str, Any]) -> str | Step:
        tools = [tool["function"] for tool in request.get("tools") or ()] + (request.get("functions") or [])
        knows = WORD in str([message.get("content") for message in request["messages"]])
        summary = "summary of the conversation" in str(request["messages"][-1])
        if summary or self.plan[0].name not in {tool["name"] for tool in tools}:
            self.asides += 1
            return SAYS if knows else "A title"
        self.requests.append(request)
        results = results_in(request)
        if knows and len(results) in (0, len(self.plan)):
            return SAYS
        step = self.plan[len(results)]
        arguments = json.dumps(step.arguments)
        if "{word}" in arguments:
            assert WORD in results[0], results
        return Step(step.name, json.loads(arguments.replace("{word}", WORD)))

    async def openai(self, exchange: FakeExchange) -> None:
        """As an OpenAI-compatible upstream."""
        request = json.loads(exchange.body)
        streams = bool(request.get("stream"))
        said = self.answer(request)
        if self.broken and streams and self.requests[-1:] == [request]:
            self.broken -= 1
            script = stream(chunk({"role": "assistant", "content": "The word"}), end=b"")
        elif self.full and results_in(request):
            self.full -= 1
            script = refuse(400, TOO_LONG, code="context_length_exceeded")
        elif isinstance(said, str):
            message = {"role": "assistant", "content": said}
            script = stream(chunk(message), STOP, COUNTED) if streams else whole(completion(message))
        else:
            called = call(json.dumps(said.arguments), name=said.name, id=f"call_{len(request['messages'])}")
            script = fragments([{**called, "index": 0}]) if streams else whole(calling(called))
        await script(exchange)

    async def openai_without_results(self, exchange: FakeExchange) -> None:
        """As an upstream that is away as soon as there is the result of a tool."""
        away = results_in(json.loads(exchange.body))
        await (refuse(503, "Overloaded.") if away else self.openai)(exchange)

    def gigachat(self, body: dict[str, Any]) -> dict[str, Any]:
        """As GigaChat: its fake does what the last message says."""
        said = self.answer(body)
        text = said if isinstance(said, str) else f"call {said.name} {json.dumps(said.arguments)}"
        return complete({**body, "messages": [{"role": "user", "content": text}]})


def results_in(request: Mapping[str, Any]) -> list[str]:
    """What the tools said."""
    messages = [message for message in request["messages"] if message["role"] in ("tool", "function")]
    return [str(message["content"]) for message in messages]
