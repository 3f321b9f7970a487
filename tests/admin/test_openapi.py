from __future__ import annotations

import asyncio
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from jsonschema_rs import Draft202012Validator
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance
from schemathesis.specs.openapi.definitions import OPENAPI_31

from tests.admin.stand import Stand
from xrouter_asgi.reloading import Reloaded

STAND = asyncio.run(Stand.open())
HEADERS = {"Authorization": f"Bearer {STAND.admin.secret}"}


async def _reloaded() -> Reloaded:
    return Reloaded("1", "0")


STAND.reload = _reloaded  # type: ignore[method-assign]
STAND.__post_init__()
schema = schemathesis.openapi.from_asgi(
    "/api/openapi.json", STAND.app, headers=HEADERS, config=SchemathesisConfig.from_dict({"seed": 1})
).exclude(path="/api/events")


@schema.parametrize()
@settings(
    max_examples=10,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_request_gets_what_the_document_does_not_say(case: schemathesis.Case[Any]) -> None:
    # No schema says which keys there are, what a limit looks like, or which providers can list models. Wrong keys are
    # throttled after a few, and have tests of their own.
    case.call_and_validate(headers=HEADERS, excluded_checks=[positive_data_acceptance, ignored_auth])


async def test_the_document_is_openapi_3_1(stand: Stand) -> None:
    document = (await stand.ask("GET", "/api/openapi.json")).json
    Draft202012Validator(OPENAPI_31).validate(document)
    assert document["servers"] == [{"url": "/"}]


async def test_the_document_has_every_path_of_the_api(stand: Stand) -> None:
    document = (await stand.ask("GET", "/api/openapi.json")).json
    assert {path for path in document["paths"] if path.startswith("/api/keys")} == {
        "/api/keys",
        "/api/keys/{id}",
        *(f"/api/keys/{{id}}/{step}" for step in ("rotate", "suspend", "resume", "revoke", "audit")),
    }
    assert "/api/circuits/{target}/close" in document["paths"]
    assert {each["name"] for each in document["paths"]["/api/requests"]["get"]["parameters"]} >= {"model", "before"}
