"""The standalone app on a real socket, before an upstream that plays the corpus: the model is the name of a case."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.serving import uvicorn_here
from xrouter_asgi.settings import Settings
from xrouter_asgi.standalone import create_app
from xrouter_asgi.testing.gigachat import FakeGigaChat
from xrouter_asgi.testing.http import FakeExchange, FakeServer, Handler
from xrouter_asgi.testing.openai import refuse, stream, whole
from xrouter_asgi.testing.openai_answers import chunks, completion

from .asking import described
from .corpus import CASES, FAILURES, KINDS, REFUSED, STRUCTURED

_PLAYED = (*CASES, *KINDS, REFUSED, STRUCTURED)
_SCRIPTS = {case.name: {"whole": case.whole, "stream": case.stream} for case in _PLAYED} | {
    failure.name: {"whole": failure.script, "stream": failure.script} for failure in FAILURES
}


@dataclass
class Stand:
    """A running gateway and its upstreams.

    `NAME` is the case of that name. `backed/NAME` has a second target, which says `Hello, world!`. `picture` is a model
    of GigaChat.

    Attributes:
        url: Ends in `/v1`.
    """

    url: str
    gigachat: FakeGigaChat = field(repr=False)

    def pictures(self) -> list[tuple[str, bytes]]:
        """The types and bytes of those in the last chat that reached GigaChat."""
        last = self.gigachat.bodies()[-1]["messages"][-1]
        uploads = [self.gigachat.uploads[each] for each in last.get("attachments") or ()]
        return [(mime, data) for _, mime, _, data in uploads]


@asynccontextmanager
async def stand() -> AsyncIterator[Stand]:
    async with FakeServer(_play) as upstream, FakeGigaChat(parallel=10) as gigachat:
        document = _settings(f"{upstream.url}/v1", gigachat)
        settings = Settings.parse(document, environment={"KEY": gigachat.key})
        async with uvicorn_here(create_app(settings)) as url:
            yield Stand(f"{url}/v1", gigachat)


def _settings(upstream: str, gigachat: FakeGigaChat) -> Mapping[str, Any]:
    once = {"patience": {"attempts": 1}}
    return {
        "providers": {
            "upstream": {"kind": "openai", "base_url": upstream},
            "spare": {"kind": "openai", "base_url": upstream},
            "gigachat": {
                "kind": "gigachat",
                "base_url": gigachat.base_url,
                "auth_url": gigachat.auth_url,
                "credentials": "env:KEY",
            },
        },
        "models": {
            "*": {"targets": ["upstream/*"], **once},
            "backed/*": {"targets": ["upstream/*", "spare/proper"], **once},
            "picture": {"targets": ["gigachat/GigaChat-2-Max"]},
        },
    }


async def _play(exchange: FakeExchange) -> None:
    request = json.loads(exchange.body)
    script = _SCRIPTS[request["model"]]["stream" if request.get("stream") else "whole"]
    if request["messages"][-1]["role"] == "tool":
        script = _after_calls(request)
    await (script or refuse(400, "The case has no such answer."))(exchange)


def _after_calls(request: Mapping[str, Any]) -> Handler:
    """As strict as OpenAI about calls and their results: each id must be known, and arguments a text of JSON."""
    messages = request["messages"]
    calls = {call["id"]: call for message in messages for call in message.get("tool_calls") or ()}
    results = [message["tool_call_id"] for message in messages if message["role"] == "tool"]
    if sorted(calls) != sorted(results):
        return refuse(400, f"There are results of {results}, and calls {list(calls)}.")
    functions = [calls[each]["function"] for each in results]
    text = described((function["name"], json.loads(function["arguments"])) for function in functions)
    asked = {"model": request["model"], "messages": [{"role": "user", "content": text}]}
    return stream(*chunks(asked)) if request.get("stream") else whole(completion(asked))
