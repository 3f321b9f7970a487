from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
import schemathesis
from hypothesis import Phase, settings
from jsonschema_rs import Draft202012Validator
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import positive_data_acceptance
from schemathesis.specs.openapi.definitions import OPENAPI_31

from tests.asgi_client import get, request
from xrouter_asgi import envelopes
from xrouter_asgi.errors import UpstreamRateLimited
from xrouter_asgi.providers.echo import EchoProvider
from xrouter_asgi.router.openapi import openapi
from xrouter_asgi.router.openapi.parts import ERRORS
from xrouter_asgi.router.openapi.words import WORDS
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.standalone import EXPOSED
from xrouter_asgi.testing.scripted import ScriptedProvider, chat


class CompletingEcho(EchoProvider):
    """One that takes every legacy completion, also what chat cannot say."""

    def speaks(self, dialect: str, /) -> bool:
        return True


ROUTER = LLMRouter({"echo": CompletingEcho(), "busy": ScriptedProvider(UpstreamRateLimited("Slow down."))})

MESSAGE = b'{"model": "echo", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}'

schema = schemathesis.openapi.from_asgi("/openapi.json", ROUTER, config=SchemathesisConfig.from_dict({"seed": 1}))


@schema.parametrize()
@settings(max_examples=20, derandomize=True, phases=[Phase.explicit, Phase.generate])
def test_no_request_gets_what_the_document_does_not_say(case: schemathesis.Case[Any]) -> None:
    case.body = _with_integers(case.body)
    # No schema can say which responses are kept, that `tool_choice` names one of `tools`, or that prompts and `n` make
    # too many choices.
    unsaid = case.method == "POST" and case.operation.path.startswith(("/v1/responses", "/v1/completions"))
    case.call_and_validate(excluded_checks=[positive_data_acceptance] if unsaid else [])


def _with_integers(value: Any) -> Any:
    """For JSON Schema 1.0 is an integer, for OpenAI it is not; a schema cannot say so."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _with_integers(item) for name, item in value.items()}
    return [_with_integers(item) for item in value] if isinstance(value, list) else value


def test_the_document_is_openapi_3_1() -> None:
    Draft202012Validator(OPENAPI_31).validate(openapi("/llm"))


def everything(node: Any) -> Iterator[dict[str, Any]]:
    """Each object of the document."""
    if isinstance(node, dict):
        yield node
    for below in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from everything(below)


def test_the_document_has_the_version_of_the_package() -> None:
    assert openapi("/")["info"]["version"] == version("xrouter-asgi")


def test_every_property_header_and_parameter_says_what_it_means() -> None:
    document = openapi("/", usage=True)
    schemas = document["components"]["schemas"].items()
    silent = [f"{model}.{name}" for model, schema in schemas for name in _silent(schema.get("properties", {}))]
    silent += _silent(document["components"]["headers"])
    for each in everything(document["paths"]):
        silent += [parameter["name"] for parameter in each.get("parameters", []) if not parameter.get("description")]
    assert silent == []


def _silent(described: dict[str, Any]) -> list[str]:
    return [name for name, value in described.items() if not value.get("description")]


def test_every_word_of_the_table_is_about_something_in_the_document() -> None:
    schemas = openapi("/", usage=True)["components"]["schemas"]
    names = {
        name for model in schemas for own in schemas[model].get("properties", {}) for name in (own, f"{model}.{own}")
    }
    assert set(WORDS) - names == set()


def test_every_operation_has_a_tag_that_is_described() -> None:
    document = openapi("/", usage=True)
    told = {tag["name"] for tag in document["tags"]}
    used = [each["tags"] for each in everything(document["paths"]) if "operationId" in each]
    assert {tag for (tag,) in used} == told


def test_every_example_is_of_its_schema_and_every_post_has_one_whole_and_one_of_each_error() -> None:
    document = openapi("/")
    for path, methods in document["paths"].items():
        for status, answer in methods.get("post", {}).get("responses", {}).items():
            content = answer["content"]["application/json"]
            told = Draft202012Validator({**content["schema"], "components": document["components"]})
            assert told.is_valid(content["example"]), (path, status)


@pytest.mark.parametrize("envelope", [envelopes.openai, envelopes.anthropic])
def test_the_example_of_an_error_has_the_status_under_which_it_stands(envelope: envelopes.Envelope) -> None:
    statuses = set(ERRORS) if envelope is envelopes.anthropic else set(ERRORS) - {402, 529}
    assert {status: envelope(ERRORS[status], "")[0] for status in statuses} == {status: status for status in statuses}


def test_every_way_to_bring_a_key_is_told() -> None:
    schemes = openapi("/")["components"]["securitySchemes"]
    assert {scheme.get("name", "authorization") for scheme in schemes.values()} == {
        "authorization",
        "x-api-key",
        "api-key",
        "x-provider-key",
    }


def test_every_header_that_a_browser_may_read_is_told() -> None:
    assert set(EXPOSED) - set(openapi("/", usage=True)["components"]["headers"]) == set()


def test_every_reference_in_the_document_leads_somewhere() -> None:
    document = openapi("/")
    references = set(_references(document))
    assert references
    for reference in references:
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [*([node["$ref"]] if "$ref" in node else []), *_references(list(node.values()))]
    return [found for item in node for found in _references(item)] if isinstance(node, list) else []


def test_the_server_is_not_kept_from_one_mount_to_the_next() -> None:
    assert openapi("/a")["servers"] == [{"url": "/a"}]
    assert openapi("/b")["servers"] == [{"url": "/b"}]


async def kept_response() -> str:
    """The id of a response that the router keeps."""
    answer = await request(ROUTER, "POST", "/v1/responses", body=b'{"model": "echo", "input": "hi"}')
    id: str = answer.json["id"]
    return id


async def test_the_document_names_every_path_of_version_1_and_no_more() -> None:
    served = set()
    for path, methods in openapi("/")["paths"].items():
        for method in methods.keys() - {"parameters"}:
            id = "echo" if "models" in path else await kept_response()
            answer = await request(ROUTER, method.upper(), path.replace("{id}", id))
            assert answer.status != 404
            assert answer.status != 405
            served.add((method, path))
    assert served == {
        ("post", "/v1/chat/completions"),
        ("post", "/v1/completions"),
        ("post", "/v1/embeddings"),
        ("post", "/v1/responses"),
        ("post", "/v1/responses/input_tokens"),
        ("get", "/v1/responses/{id}"),
        ("delete", "/v1/responses/{id}"),
        ("get", "/v1/responses/{id}/input_items"),
        ("post", "/v1/messages"),
        ("post", "/v1/messages/count_tokens"),
        ("get", "/v1/models"),
        ("get", "/v1/models/{id}"),
        ("get", "/health"),
        ("get", "/ready"),
    }


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/chat/completions", json.dumps(chat("echo")).encode(), 200),
        ("POST", "/v1/chat/completions", json.dumps(chat("busy")).encode(), 429),
        ("POST", "/v1/chat/completions", json.dumps(chat("gpt-5")).encode(), 404),
        ("POST", "/v1/chat/completions", b"{", 400),
        ("PUT", "/v1/chat/completions", b"", 405),
        ("POST", "/v1/responses", b'{"model": "echo", "input": "a"}', 200),
        ("POST", "/v1/responses", b'{"model": "echo", "input": "a", "background": true}', 400),
        ("POST", "/v1/responses/input_tokens", b'{"model": "echo", "input": "a"}', 200),
        ("POST", "/v1/embeddings", b'{"model": "echo", "input": ["a", "b"]}', 200),
        ("POST", "/v1/embeddings", b'{"model": "echo", "input": "a", "encoding_format": "base64"}', 200),
        ("POST", "/v1/messages", MESSAGE, 200),
        ("POST", "/v1/messages", MESSAGE.replace(b"echo", b"busy"), 429),
        ("POST", "/v1/messages", MESSAGE.replace(b"echo", b"gpt-5"), 404),
        ("POST", "/v1/messages", b"{", 400),
        ("POST", "/v1/messages/count_tokens", MESSAGE, 200),
        ("POST", "/v1/messages/count_tokens", b"{}", 400),
        ("GET", "/v1/models", b"", 200),
        ("GET", "/v1/models/echo", b"", 200),
        ("GET", "/v1/models/gpt-5", b"", 404),
        ("GET", "/health", b"", 200),
        ("GET", "/ready", b"", 200),
    ],
)
async def test_an_answer_is_of_the_schema_its_status_has_in_the_document(
    method: str, path: str, body: bytes, status: int
) -> None:
    answer = await request(ROUTER, method, path, body=body)
    assert answer.status == status
    document = (await get(ROUTER, "/openapi.json")).json
    template = path if path in document["paths"] else "/v1/models/{id}"
    operation = document["paths"][template]["post" if "post" in document["paths"][template] else "get"]
    content = operation["responses"][str(status)]["content"]["application/json"]["schema"]
    Draft202012Validator({**content, "components": document["components"]}).validate(answer.json)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "/v1/responses/{id}", 200),
        ("get", "/v1/responses/{id}/input_items", 200),
        ("get", "/v1/responses/{id}/input_items?limit=0", 400),
        ("delete", "/v1/responses/{id}", 200),
    ],
)
async def test_what_is_kept_is_shown_in_the_schema_of_the_document(method: str, path: str, status: int) -> None:
    path, _, query = path.partition("?")
    answer = await request(ROUTER, method.upper(), path.replace("{id}", await kept_response()), query=query)
    assert answer.status == status
    document = openapi("/")
    content = document["paths"][path][method]["responses"][str(status)]["content"]["application/json"]["schema"]
    Draft202012Validator({**content, "components": document["components"]}).validate(answer.json)


def test_an_answer_of_another_shape_is_not_of_the_schema() -> None:
    """What the test above relies on."""
    document = openapi("/")
    reference = {"$ref": "#/components/schemas/ErrorEnvelope", "components": document["components"]}
    assert not Draft202012Validator(reference).is_valid({"error": {"message": "only"}})


def test_what_openai_s_own_document_asks_of_a_request_is_there() -> None:
    schemas = openapi("/")["components"]["schemas"]
    assert {"model", "messages"} <= set(schemas["ChatRequest"]["required"])
    assert set(schemas["EmbeddingsRequest"]["required"]) == {"model", "input"}
    assert "oneOf" not in json.dumps(schemas)
