"""The rows of the table for parameters: mapped, ignored, warned about, refused."""

from __future__ import annotations

from typing import Any

import pytest

from ..translating import chat, refusal, translated


def mapped(model: str = "GigaChat-2", **members: Any) -> dict[str, Any]:
    """What the parameters add to the body, without a warning."""
    translation = translated(chat(**members), model=model)
    assert translation.warnings == ()
    return {name: value for name, value in translation.body.items() if name not in ("model", "messages")}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"temperature": 0.7}, {"temperature": 0.7}),
        ({"temperature": 2}, {"temperature": 2}),
        ({"temperature": 0}, {"top_p": 0}),
        ({"temperature": 0.0, "top_p": 0.9}, {"top_p": 0}),
        ({"top_p": 0.9}, {"top_p": 0.9}),
        ({"top_p": 0}, {"top_p": 0}),
        ({"temperature": 0.7, "top_p": 0.9}, {"temperature": 0.7, "top_p": 0.9}),
        ({"max_tokens": 10}, {"max_tokens": 10}),
        ({"max_completion_tokens": 10}, {"max_tokens": 10}),
        ({"max_completion_tokens": 10, "max_tokens": 20}, {"max_tokens": 10}),
        ({"stream": True}, {"stream": True}),
        ({"stream": False}, {}),
        ({"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": True}}, {"stream": True}),
        ({"profanity_check": False}, {"profanity_check": False}),
        ({"repetition_penalty": 1.1}, {"repetition_penalty": 1.1}),
        ({"update_interval": 0}, {"update_interval": 0}),
        ({"flags": ["a"]}, {"flags": ["a"]}),
        ({"function_ranker": {"enabled": True, "top_n": 3}}, {"function_ranker": {"enabled": True, "top_n": 3}}),
    ],
)
def test_a_parameter_is_mapped(given: dict[str, Any], sent: dict[str, Any]) -> None:
    assert mapped(**given) == sent


@pytest.mark.parametrize(
    "given",
    [
        {"n": 1},
        {"stop": "END"},
        {"logprobs": False, "top_logprobs": 0},
        {"logit_bias": {}},
        {"presence_penalty": 0, "frequency_penalty": 0.0},
        {"user": "u", "safety_identifier": "s"},
        {"prompt_cache_key": "k", "prompt_cache_retention": "24h", "prompt_cache_options": {"mode": "implicit"}},
        {"store": True, "metadata": {"a": "b"}, "service_tier": "auto"},
        {"modalities": ["text"]},
        {"modalities": None, "audio": None, "web_search_options": None, "storage": None, "flags": None, "seed": None},
    ],
)
def test_a_parameter_without_effect_is_ignored_silently(given: dict[str, Any]) -> None:
    assert mapped(**given) == {}


WARNED = [
    ("seed", 0, "seed_ignored"),
    ("logit_bias", {"1": 5}, "logit_bias_ignored"),
    ("presence_penalty", 0.5, "presence_penalty_ignored"),
    ("frequency_penalty", -0.5, "frequency_penalty_ignored"),
    ("verbosity", "low", "verbosity_ignored"),
    ("prediction", {"type": "content", "content": "x"}, "prediction_ignored"),
    ("top_k", 40, "top_k_ignored"),
    ("Guided-JSON/2", {}, "guided_json_2_ignored"),
    ("reasoning_effort", "high", "reasoning_effort_ignored"),
]


@pytest.mark.parametrize(("name", "value", "word"), WARNED)
def test_a_parameter_gigachat_lacks_is_dropped_with_a_warning(name: str, value: Any, word: str) -> None:
    translation = translated(chat(**{name: value}))
    assert translation.body.keys() == {"model", "messages"}
    assert translation.warnings == (word,)


@pytest.mark.parametrize(("name", "value", "word"), WARNED)
def test_strictness_refuses_what_would_be_dropped(name: str, value: Any, word: str) -> None:
    assert refusal(chat(**{name: value}), strict=True) == (name, "unsupported_parameter")


def test_strictness_takes_what_can_be_honoured() -> None:
    request = chat(temperature=0.5, stop="x", user="u", n=1, max_tokens=5)
    assert translated(request, strict=True).warnings == ()


@pytest.mark.parametrize(
    ("effort", "sent"),
    [
        ("none", {}),
        ("minimal", {"reasoning_effort": "low"}),
        ("low", {"reasoning_effort": "low"}),
        ("medium", {"reasoning_effort": "medium"}),
        ("high", {"reasoning_effort": "high"}),
        ("xhigh", {"reasoning_effort": "high"}),
        ("max", {"reasoning_effort": "high"}),
    ],
)
def test_effort_is_mapped_for_a_model_that_reasons(effort: str, sent: dict[str, Any]) -> None:
    assert mapped("GigaChat-2-Reasoning", reasoning_effort=effort) == sent
    assert mapped("GigaChat-3-Reasoning-preview", reasoning_effort=effort) == sent


def test_which_models_reason_is_a_choice() -> None:
    request = chat(reasoning_effort="low")
    assert translated(request, model="glm-5.1", reasoning_models=["glm-*"]).body["reasoning_effort"] == "low"


def test_no_effort_from_a_model_that_does_not_reason_is_no_loss() -> None:
    assert mapped(reasoning_effort="none") == {}


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_models_maximum_is_not_exceeded(name: str) -> None:
    translation = translated(chat(**{name: 9000}), max_tokens=8192)
    assert translation.body["max_tokens"] == 8192
    assert translation.warnings == ("max_tokens_lowered",)
    assert refusal(chat(**{name: 9000}), max_tokens=8192, strict=True) == (name, "unsupported_parameter")
    assert translated(chat(**{name: 8192}), max_tokens=8192).warnings == ()


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"logprobs": True, "top_logprobs": 3}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "alloy", "format": "mp3"}}, "audio"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"storage": {"is_stateful": True}}, "storage"),
    ],
)
def test_what_would_change_the_answer_is_refused(given: dict[str, Any], param: str) -> None:
    assert refusal(chat(**given)) == (param, "unsupported_parameter")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reasoning_effort", "extreme"),
        ("profanity_check", "yes"),
        ("repetition_penalty", 0),
        ("repetition_penalty", True),
        ("update_interval", -1),
        ("update_interval", "1"),
        ("flags", "a"),
        ("flags", [1]),
        ("function_ranker", True),
    ],
)
def test_a_value_gigachat_would_refuse_is_refused_here(name: str, value: Any) -> None:
    assert refusal(chat(**{name: value})) == (name, "invalid_value")
