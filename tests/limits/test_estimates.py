from __future__ import annotations

import pytest

from xrouter_asgi.limits.estimates import OutputEstimates

PLENTY = 1_000_000


def learned(*tokens: int) -> OutputEstimates:
    estimates = OutputEstimates()
    for each in tokens:
        estimates.learn("key", "model", each)
    return estimates


def test_what_is_not_known_yet_is_1024_but_a_tenth_of_the_limit_at_most() -> None:
    estimates = learned(*[5] * 7)
    assert estimates.expect("key", "model", limit=PLENTY) == 1024
    assert estimates.expect("key", "model", limit=500) == 50


def test_nine_in_ten_answers_were_no_longer_than_expected() -> None:
    assert learned(*range(1, 11)).expect("key", "model", limit=PLENTY) == 10
    assert learned(*[10] * 19, 5000).expect("key", "model", limit=PLENTY) == 10
    assert learned(*[0] * 8).expect("key", "model", limit=PLENTY) == 0


def test_what_is_known_is_not_cut_to_a_tenth() -> None:
    assert learned(*[300] * 8).expect("key", "model", limit=500) == 300


def test_only_the_last_32_count() -> None:
    assert learned(*[9000] * 32, *[10] * 32).expect("key", "model", limit=PLENTY) == 10


def test_keys_and_models_are_learned_apart() -> None:
    estimates = learned(*[5] * 8)
    assert estimates.expect("other", "model", limit=PLENTY) == 1024
    assert estimates.expect("key", "other", limit=PLENTY) == 1024


def test_the_pair_met_longest_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xrouter_asgi.limits.estimates._PAIRS", 2)
    estimates = OutputEstimates()
    for model in ["one"] * 8 + ["two"] * 8 + ["one", "three"]:
        estimates.learn("key", model, 5)
    expected = [estimates.expect("key", model, limit=PLENTY) for model in ("one", "two", "three")]
    assert expected == [5, 1024, 1024]
