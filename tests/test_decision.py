from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from xrouter_asgi.context import Attempt, RequestContext
from xrouter_asgi.decision import CandidateVerdict, Decision, Unready
from xrouter_asgi.errors import ModelNotFound, RequestRejected, UpstreamTimeout


def attempt(provider: str, started: float, ended: float | None, **more: Any) -> Attempt:
    return Attempt(provider, "m", started=started, ended=ended, **more)


def told(decision: Decision) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(decision.to_json())
    return value


def test_a_context_and_its_decision_hold_the_same_attempts() -> None:
    context = RequestContext()
    context.attempts.append(attempt("a", 0, None))
    assert context.decision.attempts is context.attempts


def test_it_tells_candidates_attempts_waits_and_who_served() -> None:
    failed = attempt("a", 10.1, 10.2, error=UpstreamTimeout("slow", code="first_byte_timeout"))
    good = attempt("b", 10.7, 11.9, first=11.0)
    decision = Decision([failed, good], served=good, began=10.0, version="v1", strategy="lowest_cost")
    decision.candidates = (
        CandidateVerdict("a/m", 0.123456),
        CandidateVerdict("b/m", 2.0),
        CandidateVerdict("c/m", excluded=Unready("capability", None, "lacks vision")),
    )
    assert told(decision) == {
        "version": "v1",
        "strategy": "lowest_cost",
        "candidates": [
            {"target": "a/m", "score": 0.1235},
            {"target": "b/m", "score": 2.0},
            {"target": "c/m", "excluded": "lacks vision"},
        ],
        "attempts": [
            {"target": "a/m", "waited_ms": 100, "took_ms": 100, "error": "first_byte_timeout"},
            {"target": "b/m", "waited_ms": 500, "first_ms": 300, "took_ms": 1200},
        ],
        "hedges": 0,
        "provider": "b",
        "model": "m",
    }


def test_a_hedge_has_not_waited_for_what_still_runs() -> None:
    decision = Decision([attempt("a", 1.0, None), attempt("b", 3.0, 3.5, first=3.5)], began=1.0, hedges=1)
    assert [each["waited_ms"] for each in told(decision)["attempts"]] == [0, 0]


def test_an_attempt_that_began_before_another_ended_has_not_waited() -> None:
    decision = Decision([attempt("a", 1.0, 9.0), attempt("b", 3.0, 3.5)], began=1.0)
    assert [each["waited_ms"] for each in told(decision)["attempts"]] == [0, 0]


def test_an_attempt_that_was_given_up_is_told_as_cancelled() -> None:
    decision = Decision([attempt("a", 1.0, 2.0, first=2.0), attempt("b", 1.5, 2.0, error=asyncio.CancelledError())])
    assert told(decision)["attempts"][1]["error"] == "cancelled"


def test_an_attempt_at_a_model_that_the_upstream_does_not_know_tells_what_to_do() -> None:
    decision = Decision([attempt("a", 1.0, 2.0, error=ModelNotFound("m"))])
    (told_of,) = told(decision)["attempts"]
    expected = "the provider 'a' has no model 'm'; map it with Target(provider, model=...) or 'targets' in the settings"
    assert told_of["hint"] == expected


def test_an_attempt_or_a_hedge_more_and_who_was_passed_over_are_out_of_the_ordinary() -> None:
    assert Decision().is_trivial
    assert Decision([attempt("a", 1.0, 2.0)], candidates=(CandidateVerdict("a/m"), CandidateVerdict("b/m"))).is_trivial
    assert not Decision([attempt("a", 1.0, 2.0), attempt("b", 2.0, 3.0)]).is_trivial
    assert not Decision([attempt("a", 1.0, 2.0)], hedges=1).is_trivial
    assert not Decision(
        candidates=(CandidateVerdict("a/m"), CandidateVerdict("b/m", excluded=Unready("own_key", None, "own key")))
    ).is_trivial


def test_nothing_served_is_left_out() -> None:
    assert Decision().served is None
    assert told(Decision()) == {"candidates": [], "attempts": [], "hedges": 0}


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (RequestRejected("the prompt was: secret", code="odd", detail="https://up.example"), "request_rejected"),
        (KeyError("secret"), "defect"),
    ],
)
def test_of_an_error_only_a_word_of_ours_is_told(error: Exception, word: str) -> None:
    decision = Decision([attempt("a", 1.0, 2.0, error=error)])
    assert told(decision)["attempts"][0]["error"] == word
    assert "secret" not in decision.to_json()
    assert "KeyError" not in decision.to_json()


def test_a_name_that_a_client_made_up_is_cut_and_is_ascii() -> None:
    decision = Decision([Attempt("a", "я" * 10_000)])
    assert told(decision)["attempts"][0]["target"] == "a/" + "я" * 128
    assert decision.to_json().isascii()


def test_of_very_many_candidates_the_last_are_only_counted() -> None:
    decision = Decision(candidates=tuple(CandidateVerdict(f"provider/model-{index}", 0.5) for index in range(1000)))
    value = told(decision)
    assert len(decision.to_json()) <= 4000
    assert value["candidates"][0]["target"] == "provider/model-0"
    assert len(value["candidates"]) + value["more_candidates"] == 1000
