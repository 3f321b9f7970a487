from __future__ import annotations

from typing import Any

import pytest

from tests.asgi_client import Answer, Exchange, Headers, http_scope
from xrouter_asgi import LLMRouter
from xrouter_asgi.policies import Candidate, Capabilities, stack
from xrouter_asgi.router.listing import described
from xrouter_asgi.testing.scripted import ScriptedProvider

VERSION = [(b"anthropic-version", b"2023-06-01")]
NAMES = ("a", "org/b", "c")
ROUTER = LLMRouter({name: ScriptedProvider(name="house") for name in NAMES}, commit_after=None)


def entry(name: str, *, window: int | None = None) -> dict[str, Any]:
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": window,
    }


async def get(app: LLMRouter, path: str, *, headers: Headers = ()) -> Answer:
    path, _, query = path.partition("?")
    return await Exchange(app, http_scope("GET", path, headers=headers, query_string=query.encode())).run()


async def test_clients_of_openai_get_its_list() -> None:
    answer = await get(ROUTER, "/v1/models?limit=1")
    assert answer.json == {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": 0, "owned_by": "house"} for name in NAMES],
    }
    assert answer.header("request-id") is None


async def test_clients_of_anthropic_get_its_list() -> None:
    answer = await get(ROUTER, "/v1/models", headers=VERSION)
    assert answer.json == {
        "data": [entry(name) for name in NAMES],
        "has_more": False,
        "first_id": "a",
        "last_id": "c",
    }
    assert answer.header("request-id") == answer.header("x-request-id")


async def test_codex_gets_a_list_that_none_of_its_releases_fails_on() -> None:
    assert (await get(ROUTER, "/v1/models?client_version=0.171.0")).json == {"models": []}


@pytest.mark.parametrize(
    ("query", "ids", "more"),
    [
        ("?limit=2", ["a", "org/b"], True),
        ("?limit=2&after_id=org/b", ["c"], False),
        ("?after_id=a&limit=1", ["org/b"], True),
        ("?before_id=c&limit=1", ["org/b"], True),
        ("?before_id=org%2Fb", ["a"], False),
        ("?after_id=c", [], False),
    ],
)
async def test_the_list_comes_in_pages(query: str, ids: list[str], more: bool) -> None:
    page = (await get(ROUTER, f"/v1/models{query}", headers=VERSION)).json
    assert [model["id"] for model in page["data"]] == ids
    assert page["has_more"] == more
    assert (page["first_id"], page["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))


@pytest.mark.parametrize("query", ["?limit=0", "?limit=1001", "?limit=x", "?after_id=d", "?before_id=d"])
async def test_a_page_that_cannot_be_is_refused(query: str) -> None:
    answer = await get(ROUTER, f"/v1/models{query}", headers=VERSION)
    assert answer.status == 400
    assert answer.json["error"]["type"] == "invalid_request_error"


async def test_one_model_is_told_in_the_same_shape() -> None:
    assert (await get(ROUTER, "/v1/models/org/b", headers=VERSION)).json == entry("org/b")


async def test_a_model_that_is_not_there_is_told_to_clients_of_anthropic_in_their_envelope() -> None:
    answer = await get(ROUTER, "/v1/models/d", headers=VERSION)
    assert (answer.status, answer.json["error"]["type"]) == (404, "not_found_error")


@pytest.mark.parametrize(
    ("created", "told"),
    [(1_700_000_000, "2023-11-14T22:13:20Z"), ("1", "1970-01-01T00:00:00Z"), (1 << 40, "1970-01-01T00:00:00Z")],
)
def test_when_a_model_was_made_is_told_where_it_is_known(created: object, told: str) -> None:
    assert described({"id": "m", "created": created})["created_at"] == told


async def test_how_much_a_model_holds_is_told_where_it_is_configured() -> None:
    def candidate(name: str, context: int | None) -> Candidate:
        return Candidate(ScriptedProvider(name=name, models=["p/x"]), name, capabilities=Capabilities(context=context))

    known = stack([candidate("small", 8000), candidate("unknown", None), candidate("large", 32000)])
    router = LLMRouter({"known": known, "unknown": stack([candidate("u", None)]), "p/*": known}, commit_after=None)
    models = (await get(router, "/v1/models")).json["data"]
    assert {model["id"]: model.get("max_model_len") for model in models} == {
        "known": 32000,
        "unknown": None,
        "p/x": 32000,
    }
    assert "max_model_len" not in models[1]
    assert (await get(router, "/v1/models/known", headers=VERSION)).json == entry("known", window=32000)
