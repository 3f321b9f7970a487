"""One upstream with an endpoint for each client API that it has."""

from __future__ import annotations

from typing import Any

import pytest

from xrouter_asgi.dialects.messages import MESSAGES
from xrouter_asgi.errors import UpstreamError
from xrouter_asgi.providers.base import Call, Reply, Unready
from xrouter_asgi.providers.by_dialect import ByDialect
from xrouter_asgi.testing.scripted import chat
from xrouter_asgi.wire import ChatCompletion, ChatRequest, ModelList


class Named:
    """Answers with its name, or fails."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.error: UpstreamError | None = None
        self.calls = 0
        self.closed = 0

    def ready(self, call: Call, /) -> Unready | None:
        return Unready("closed", None, self.name)

    async def send(self, call: Call, /) -> Reply:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return Reply(ChatCompletion({}), self.name)

    async def count_tokens(self, call: Call, /) -> int | None:
        return 7

    async def models(self, *, deadline: float | None = None) -> ModelList:
        return ModelList({"data": [{"id": self.name}]})

    async def aclose(self) -> None:
        self.closed += 1


def messages(**members: Any) -> Call:
    asked: dict[str, Any] = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}], **members}
    parsed = MESSAGES.read(asked, b"{}", ())
    return Call(parsed.request, document=parsed.document, original=parsed.original)


CHAT = Call(ChatRequest.of(chat("m")))


async def test_each_client_is_answered_by_who_speaks_its_api() -> None:
    inner, other = Named("inner"), Named("other")
    both = ByDialect(inner, {"messages": other})
    assert both.name == "inner"
    assert (both.speaks("messages"), both.speaks("responses")) == (True, False)
    assert (await both.send(messages())).provider == "other"
    assert (await both.send(CHAT)).provider == "inner"
    assert (await both.count_tokens(messages()), await both.count_tokens(CHAT)) == (7, None)
    assert (await both.models()).value["data"] == [{"id": "inner"}]
    assert both.ready(CHAT) == Unready("closed", None, "inner")
    await both.aclose()
    assert (inner.closed, other.closed) == (1, 1)


async def test_an_endpoint_that_is_not_there_is_asked_once() -> None:
    inner, other = Named("inner"), Named("other")
    both = ByDialect(inner, {"messages": other})
    other.error = UpstreamError("No.", code="upstream_not_found")
    for _ in range(2):
        assert (await both.send(messages())).provider == "inner"
    assert (other.calls, both.speaks("messages"), await both.count_tokens(messages())) == (1, False, None)


async def test_what_no_translation_can_say_is_not_translated_for_want_of_an_endpoint() -> None:
    inner, other = Named("inner"), Named("other")
    both = ByDialect(inner, {"messages": other})
    other.error = UpstreamError("No.", code="upstream_not_found")
    with pytest.raises(UpstreamError, match="No"):
        await both.send(messages(stop_sequences=list("abcde")))
    assert (inner.calls, both.speaks("messages")) == (0, True)


async def test_another_error_is_not_made_good_by_a_translation() -> None:
    inner, other = Named("inner"), Named("other")
    both = ByDialect(inner, {"messages": other})
    other.error = UpstreamError("No.", code="upstream_error")
    with pytest.raises(UpstreamError, match="No"):
        await both.send(messages())
    assert inner.calls == 0
