"""Anthropic's API on a socket: as strict as the real one, and broken in any way a test asks for.

async with FakeAnthropic() as fake:
    provider = AnthropicProvider("key", base_url=fake.base_url)
    fake.next(refuse(529, "overloaded_error", "Overloaded"))
"""

from __future__ import annotations

import json
from typing import Any

from ..http import FakeExchange, Handler
from ..openai import JSON, FakeOpenAI, whole
from .answers import events, message, page, words
from .faults import ID, refuse, told
from .rules import RuleBroken, check, marked

VERSIONS = ("2023-06-01", "2026-10-21")


class FakeAnthropic(FakeOpenAI):
    """Answers `/v1/messages`, `/v1/messages/count_tokens` and `/v1/models`. An async context manager.

    It echoes the last message, streamed word by word; each line `call NAME {…}` calls the tool of that name. It thinks
    if it is asked to, and checks its signature when the thinking comes back. Usage counts words; what is marked is
    written to a cache once, and read from it from then on. Scripts are those of `FakeOpenAI`.

    Args:
        api_key: Answer 401 to any other `x-api-key`; None takes all.
    """

    def __init__(self, *, api_key: str | None = None) -> None:
        super().__init__()
        self._key = api_key
        self._cached: set[str] = set()

    async def proper(self, exchange: FakeExchange) -> None:
        """The proper answer, for scripts that only want to come before it."""
        if self._key is not None and exchange.headers.get("x-api-key") != self._key:
            await refuse(401, "authentication_error", "invalid x-api-key")(exchange)
        elif exchange.headers.get("anthropic-version") not in VERSIONS:
            await refuse(400, "invalid_request_error", "anthropic-version: header is required")(exchange)
        else:
            await self._answer(exchange)(exchange)

    def _answer(self, exchange: FakeExchange) -> Handler:
        path, _, query = exchange.path.partition("?")
        try:
            match exchange.method, path:
                case "GET", "/v1/models":
                    first = "after_id" not in query
                    listed = page("claude-one", "chat", has_more=True) if first else page("claude-two")
                    return whole(listed, headers={**JSON, **ID})
                case "POST", "/v1/messages":
                    return self._message(json.loads(exchange.body), beta="anthropic-beta" in exchange.headers)
                case "POST", "/v1/messages/count_tokens":
                    request = json.loads(exchange.body)
                    check(request, counting=True)
                    return whole({"input_tokens": words(request["messages"])}, headers={**JSON, **ID})
        except RuleBroken as reason:
            return refuse(400, "invalid_request_error", str(reason))
        return refuse(404, "not_found_error", "Not Found")

    def _message(self, request: dict[str, Any], *, beta: bool) -> Handler:
        check(request, beta=beta)
        if request["model"] == "missing":
            return refuse(404, "not_found_error", "model: missing")
        kept = json.dumps([*marked(request)])
        size, known = words(json.loads(kept)), kept in self._cached
        self._cached.add(kept)
        said = message(request, read=size if known else 0, written=0 if known else size)
        if request.get("stream"):
            return told(*events(said))
        return whole(said, headers={**JSON, **ID})
