"""What an answer is expected to take."""

from __future__ import annotations

import pytest

from xrouter_asgi.context import CostEstimate, RequestContext, Usage
from xrouter_asgi.limits.estimates import OutputEstimates


def answer(estimates: OutputEstimates, tokens: int, *, key: str = "key", model: str = "model", choices: int = 1) -> int:
    """Ask and be answered. Returns what was reserved for the output."""
    context = RequestContext()
    work = estimates.begin(context, key, CostEstimate(model, 0, None, choices), None)
    context.usage = Usage(0, tokens)
    estimates.end(work)
    return work.output


def expected(estimates: OutputEstimates, *, key: str = "key", model: str = "model", choices: int = 1) -> int:
    work = estimates.begin(RequestContext(), key, CostEstimate(model, 0, None, choices), None)
    estimates.end(work)
    return work.output


def learned(*tokens: int, assumed: int = 0) -> OutputEstimates:
    estimates = OutputEstimates(assumed=assumed)
    for each in tokens:
        answer(estimates, each)
    return estimates


def test_at_least_the_assumed_output_is_expected() -> None:
    assert expected(OutputEstimates()) == 1024
    assert expected(learned(*[1] * 31, assumed=1024)) == 1024
    assert expected(learned(*[2000] * 31, assumed=1024)) == 2000


def test_nine_in_ten_answers_were_no_longer_than_expected() -> None:
    assert expected(learned(*range(1, 11))) == 10
    assert expected(learned(*[10] * 19, 5000)) == 10
    assert expected(learned(*[5] * 7)) == 0  # too few to say


def test_only_the_last_32_count() -> None:
    assert expected(learned(*[9000] * 32, *[10] * 32)) == 10


def test_while_requests_run_the_largest_answer_is_expected_again() -> None:
    estimates = learned(*[10] * 32)
    running = estimates.begin(RequestContext(), "key", CostEstimate("other", 0, 5), None)
    answer(estimates, 5000)
    assert expected(estimates) == 5000
    assert expected(estimates, model="another") == 5000
    assert expected(estimates, key="other") == 0
    estimates.end(running)
    assert expected(estimates) == 10


def test_each_choice_may_be_as_long_as_one() -> None:
    estimates = OutputEstimates()
    assert answer(estimates, 128 * 9000, choices=128) == 128 * 1024
    for _ in range(8):
        answer(estimates, 2 * 3000, choices=2)
    assert expected(estimates, choices=3) == 3 * 9000


def test_a_bound_of_the_client_is_what_is_reserved() -> None:
    estimates = learned(*[9000] * 32)
    assert estimates.begin(RequestContext(), "key", CostEstimate("model", 7, 20, 2), None).output == 20


def test_embeddings_teach_nothing() -> None:
    estimates = OutputEstimates(assumed=0)
    for _ in range(8):
        context = RequestContext()
        work = estimates.begin(context, "key", CostEstimate("model", 7, 0), None)
        context.usage = Usage(7, 99)
        estimates.end(work)
    assert expected(estimates) == 0


def test_keys_and_models_are_learned_apart() -> None:
    estimates = learned(*[5] * 8)
    assert expected(estimates) == 5
    assert expected(estimates, key="other") == 0
    assert expected(estimates, model="other") == 0


def test_the_pair_met_longest_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xrouter_asgi.limits.estimates._PAIRS", 2)
    estimates = OutputEstimates(assumed=0)
    for model in ["one"] * 8 + ["two"] * 8 + ["one", "three"]:
        answer(estimates, 5, model=model)
    assert [expected(estimates, model=model) for model in ("one", "two", "three")] == [5, 0, 0]
