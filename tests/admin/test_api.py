"""What the operator's API says, and what it does."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.admin.stand import SETTINGS, Stand
from tests.asgi_client import post
from xrouter_asgi.admin import AdminApp, ThisProcess
from xrouter_asgi.context import Principal, RequestContext
from xrouter_asgi.errors import UpstreamError, UpstreamRateLimited, UpstreamUnavailable
from xrouter_asgi.events import CircuitOpened
from xrouter_asgi.live import Live
from xrouter_asgi.middleware.request_events import RequestEventsMiddleware
from xrouter_asgi.policies import Candidate, Concurrency, stack
from xrouter_asgi.providers.target import Target
from xrouter_asgi.queueing import Slots
from xrouter_asgi.reloading import Reloaded
from xrouter_asgi.router import LLMRouter
from xrouter_asgi.settings import Settings
from xrouter_asgi.testing.scripted import ScriptedProvider, chat
from xrouter_asgi.testing.virtual import virtual


async def got(stand: Stand, path: str) -> Any:
    answer = await stand.ask("GET", path)
    assert answer.status == 200, answer.body
    return answer.json


async def test_the_overview_says_what_happened_of_late(stand: Stand) -> None:
    await stand.chat()
    overview = await got(stand, "/api/overview")
    assert overview["well"]
    assert overview["settings"] == SETTINGS.version
    assert overview["workers"] == {"answering": 1, "of": 1}
    assert overview["in_flight"] == 0
    assert len(overview["minutes"]) == 60
    assert sum(minute["requests"] for minute in overview["minutes"]) == 1
    assert overview["duration"]["p95"] > 0
    assert (overview["currency"], {minute["cost"] for minute in overview["minutes"]}) == ("USD", {"0"})
    assert datetime.fromisoformat(overview["started"]).tzinfo is not None


async def test_the_overview_says_what_is_wrong_and_since_when(stand: Stand) -> None:
    stand.live(CircuitOpened(RequestContext(), "other", 5, "other/b"))
    overview = await got(stand, "/api/overview")
    assert not overview["well"]
    (problem,) = overview["problems"]
    assert (problem["kind"], problem["subject"]) == ("circuit_open", "other/b")
    assert problem["since"] < problem["until"]


async def test_requests_come_newest_first_and_page_by_page(stand: Stand) -> None:
    for number in range(5):
        await stand.chat(x_request_id=f"req_{number}")
    page = await got(stand, "/api/requests?limit=2")
    assert [each["id"] for each in page["requests"]] == ["req_4", "req_3"]
    page = await got(stand, f"/api/requests?limit=3&before={page['before']}")
    assert [each["id"] for each in page["requests"]] == ["req_2", "req_1", "req_0"]
    assert page["before"] is None


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("model=p-parrot", ["good"]),
        ("status=404", ["unknown"]),
        ("status=4xx", ["unknown"]),
        ("status=5xx", []),
        ("error=model_not_found", ["unknown"]),
        ("error=any", ["unknown"]),
        ("key=key_1", []),
        ("owner=ann", []),
    ],
)
async def test_requests_are_filtered(stand: Stand, query: str, found: list[str]) -> None:
    await stand.chat("p-parrot", x_request_id="good")
    await stand.chat("nobody's", x_request_id="unknown")
    page = await got(stand, f"/api/requests?{query}")
    assert [each["id"] for each in page["requests"]] == found


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "before=x", "status=abc", "colour=red", "model=a&model=b"])
async def test_a_filter_that_cannot_be_used_is_told_so(stand: Stand, query: str) -> None:
    answer = await stand.ask("GET", f"/api/requests?{query}")
    assert answer.status == 400
    assert query.partition("=")[0] in str(answer.error) or "more than once" in str(answer.error)


async def test_a_request_is_shown_with_the_decision_where_it_went() -> None:
    """The first upstream fails, and the second one answers."""
    live = Live()
    up, other = ScriptedProvider(UpstreamUnavailable("No."), name="up"), ScriptedProvider(name="other")
    candidates = [Candidate(Target(each), f"{each.name}/m") for each in (up, other)]
    router = LLMRouter({"m": stack(candidates)})
    await post(RequestEventsMiddleware(router, observers=[live]), "/v1/chat/completions", chat("m"))
    stand = Stand()
    stand.app = AdminApp(
        ThisProcess(router, live), identify=lambda scope: Principal("ann", scopes=frozenset({"admin"}))
    )
    (entry,) = (await stand.ask("GET", "/api/requests", headers=[(b"a", b"b")])).json["requests"]
    shown = (await stand.ask("GET", f"/api/requests/{entry['id']}", headers=[(b"a", b"b")])).json
    assert shown["request"] == entry
    failed, *_, served = shown["decision"]["attempts"]
    assert (failed["target"], failed["first"]) == ("up/m", None)
    assert failed["error"]
    assert (served["target"], served["error"]) == ("other/m", None)
    assert failed["ended"] <= served["started"] <= served["ended"]
    assert [each["target"] for each in shown["decision"]["candidates"]] == ["up/m", "other/m"]


async def test_a_request_that_is_not_remembered_is_a_404(stand: Stand) -> None:
    assert (await stand.ask("GET", "/api/requests/req_unknown")).status == 404


async def test_models_are_shown_with_their_targets_in_order(stand: Stand) -> None:
    await stand.chat("m")
    await stand.chat("p-parrot")
    named, pattern = (await got(stand, "/api/models"))["models"]
    assert (named["name"], [each["target"] for each in named["targets"]]) == ("m", ["echo/a", "other/b"])
    first, second = named["targets"]
    assert (first["state"], first["attempts"], first["share"], first["failed"]) == ("ready", 1, 1.0, 0)
    assert (second["attempts"], second["share"], second["p95"]) == (0, 0.0, None)
    assert first["capabilities"] == {"tools": True, "vision": True, "json_schema": True, "context": None}
    assert (pattern["name"], pattern["targets"][0]["attempts"]) == ("p-*", 1)


@virtual
async def test_a_target_with_an_open_circuit_is_tried_at_once_when_an_operator_says_so() -> None:
    live, up, other = Live(), ScriptedProvider(name="up"), ScriptedProvider(name="other")
    up.steps = [UpstreamUnavailable("No.")] * 100
    router = LLMRouter({"m": stack([Candidate(Target(each), f"{each.name}/m") for each in (up, other)])})
    app = RequestEventsMiddleware(router, observers=[live])
    for _ in range(40):
        await post(app, "/v1/chat/completions", chat("m"))
    stand = Stand()
    stand.app = AdminApp(
        ThisProcess(router, live), identify=lambda scope: Principal("ann", scopes=frozenset({"admin"}))
    )
    site = [(b"sec-fetch-site", b"same-origin")]
    (provider, _) = (await stand.ask("GET", "/api/providers", headers=site)).json["providers"]
    (target,) = provider["targets"]
    assert target["state"] == "circuit_open"
    assert target["until"] is not None
    assert live.problems.present
    closed = await stand.ask("POST", "/api/circuits/up/m/close", headers=site)
    assert closed.json == {"target": "up/m", "state": "ready", "until": None, "text": None, "workers": [1]}
    assert live.problems.present == []
    calls, up.steps = len(up.calls), []
    await post(app, "/v1/chat/completions", chat("m"))
    assert len(up.calls) == calls + 1


@virtual
async def test_a_target_that_cools_is_asked_at_once_when_an_operator_says_so() -> None:
    live, up, other = Live(), ScriptedProvider(name="up"), ScriptedProvider(name="other")
    up.steps = [UpstreamRateLimited("Slow down.", retry_after=50)]
    router = LLMRouter({"m": stack([Candidate(Target(each), f"{each.name}/m") for each in (up, other)])})
    await post(RequestEventsMiddleware(router, observers=[live]), "/v1/chat/completions", chat("m"))
    stand = Stand()
    stand.app = AdminApp(
        ThisProcess(router, live), identify=lambda scope: Principal("ann", scopes=frozenset({"admin"}))
    )
    site = [(b"sec-fetch-site", b"same-origin")]
    (problem,) = (await stand.ask("GET", "/api/overview", headers=site)).json["problems"]
    assert (problem["kind"], problem["subject"]) == ("cooling", "up/m")
    assert (await stand.ask("POST", "/api/circuits/up/m/close", headers=site)).json["state"] == "ready"


@pytest.mark.parametrize("path", ["/api/circuits/no/body/close", "/api/providers/nobody/probe"])
async def test_what_nobody_serves_is_a_404(stand: Stand, path: str) -> None:
    assert (await stand.ask("POST", path)).status == 404


async def test_a_provider_shows_its_last_attempt_and_its_slots() -> None:
    live, slots = Live(), Slots(1)
    up = ScriptedProvider(UpstreamError("No.", code="broken"), name="up")
    router = LLMRouter({"m": Concurrency(Target(up, model="m"), slots=slots)})
    await post(RequestEventsMiddleware(router, observers=[live]), "/v1/chat/completions", chat("m"))
    stand = Stand()
    stand.app = AdminApp(
        ThisProcess(router, live), identify=lambda scope: Principal("ann", scopes=frozenset({"admin"}))
    )
    slot = await slots.acquire()
    (provider,) = (await stand.ask("GET", "/api/providers", headers=[(b"a", b"b")])).json["providers"]
    assert provider["last"]["error"] == "broken"
    assert provider["slots"] == [{"limit": 1, "in_use": 1, "waiting": 0}]
    (target,) = provider["targets"]
    assert (target["target"], target["state"]) == ("up/m", "queue_full")
    slot.release()


async def test_a_probe_asks_a_provider_for_its_models(stand: Stand) -> None:
    probed = (await stand.ask("POST", "/api/providers/other/probe")).json
    assert (probed["provider"], probed["models"], probed["failure"]) == ("other", ["b", "parrot"], None)


class Bare:
    """A provider with what it needs, and nothing more."""

    name = "bare"

    async def send(self, call: object, /) -> Any:
        raise AssertionError

    async def aclose(self) -> None: ...


class Failing(ScriptedProvider):
    async def models(self, *args: Any, **kwargs: Any) -> Any:
        raise UpstreamError("The upstream is away.")


class Late(ScriptedProvider):
    async def models(self, *args: Any, **kwargs: Any) -> Any:
        raise TimeoutError


@pytest.mark.parametrize(
    ("provider", "told"),
    [(Bare(), "list no models"), (Failing(name="bare"), "is away"), (Late(name="bare"), "in time")],
)
async def test_a_probe_without_an_answer_says_why(provider: Any, told: str) -> None:
    stand = Stand()
    identify = lambda scope: Principal("ann", scopes=frozenset({"admin"}))  # noqa: E731
    stand.app = AdminApp(ThisProcess(LLMRouter({"m": provider}), Live()), identify=identify)
    answer = await stand.ask("POST", "/api/providers/bare/probe", headers=[(b"sec-fetch-site", b"same-origin")])
    assert told in answer.json["failure"]


async def test_the_settings_in_force_are_shown_with_what_check_says(stand: Stand) -> None:
    shown = await got(stand, "/api/settings")
    assert shown["version"] == SETTINGS.version
    assert shown["settings"]["models"]["m"]["targets"][0]["provider"] == "echo"
    assert ["keys", "off: whoever reaches this server is let in"] in shown["layers"]
    assert shown["warnings"] == []


async def test_secrets_of_the_settings_are_shown_as_references(tmp_path: Path) -> None:
    document = {
        "providers": {"up": {"kind": "openai", "base_url": "https://up.example/v1", "api_key": "env:UP_KEY"}},
        "models": {"m": {"targets": ["up/m"]}},
        "keys": {"url": "sqlite:///keys.db"},
        "rate_limit": {"storage": "redis://:hunter2@redis"},
    }
    settings = Settings.parse(document, environment={"UP_KEY": "sk-very-secret"}, folder=tmp_path)
    stand = await Stand.open()
    stand.app = AdminApp(ThisProcess(stand.router, stand.live), keys=stand.registry, settings=lambda: settings)
    answer = await stand.ask("GET", "/api/settings")
    shown = answer.json["settings"]
    assert shown["providers"]["up"]["api_key"] == "env:UP_KEY"
    assert shown["keys"]["url"] == shown["rate_limit"]["storage"] == "set in the file"
    assert shown["cache"]["store"] == "memory"
    assert b"very-secret" not in answer.body
    assert b"hunter2" not in answer.body


class WithToken(ScriptedProvider):
    """Its token expires in a minute."""

    @property
    def token_expires(self) -> float:
        return asyncio.get_running_loop().time() + 60


async def test_a_provider_with_a_token_shows_when_it_expires() -> None:
    stand = Stand()
    identify = lambda scope: Principal("ann", scopes=frozenset({"admin"}))  # noqa: E731
    router = LLMRouter({"a": WithToken(name="with"), "b": ScriptedProvider(name="without")})
    stand.app = AdminApp(ThisProcess(router, Live()), identify=identify)
    answer = await stand.ask("GET", "/api/providers", headers=[(b"a", b"b")])
    shown, none = [each["token_expires"] for each in answer.json["providers"]]
    assert none is None
    assert 50 < (datetime.fromisoformat(shown) - datetime.now(UTC)).total_seconds() <= 61


@pytest.mark.parametrize("problems", [(), ("models is missing.",)])
async def test_a_reload_says_what_came_of_it(stand: Stand, problems: tuple[str, ...]) -> None:
    stand.reloads.append(Reloaded("2", "1", problems, ("server",)))
    told = (await stand.ask("POST", "/api/reload")).json
    assert told == {
        "reloaded": not problems,
        "version": "2",
        "before": "1",
        "problems": list(problems),
        "restart": ["server"],
    }
