"""Candidates whose providers follow a script, and the calls for them."""

from __future__ import annotations

from typing import Any

from xrouter_asgi.context import RequestContext
from xrouter_asgi.policies.candidates import Candidate
from xrouter_asgi.providers.base import Call, Unready
from xrouter_asgi.providers.target import Target
from xrouter_asgi.testing.scripted import ScriptedProvider, Step, chat
from xrouter_asgi.wire import ChatRequest, EmbeddingsRequest


def candidate(name: str, *steps: Step, unready: Unready | None = None, **options: Any) -> Candidate:
    """A model `m` at a provider of that name, which says that it is `unready`."""
    provider = ScriptedProvider(*steps, name=name)
    provider.unready = unready
    return Candidate(Target(provider, model="m"), f"{name}/m", **options)


def scripted(one: Candidate) -> ScriptedProvider:
    """The provider at the bottom of a candidate."""
    assert isinstance(one.provider, Target)
    assert isinstance(one.provider.inner, ScriptedProvider)
    return one.provider.inner


def call(*, context: RequestContext | None = None, deadline: float | None = None, key: str = "", **more: Any) -> Call:
    """A chat; `more` goes into the request."""
    headers = [(b"x-provider-key", key.encode())] if key else []
    request = ChatRequest.of(chat("assistant", **more))
    return Call(request, headers=headers, context=context or RequestContext(), deadline=deadline)


def embedding(value: Any) -> Call:
    return Call(EmbeddingsRequest.of({"model": "assistant", "input": value}))
