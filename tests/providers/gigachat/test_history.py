from __future__ import annotations

from typing import Any

from xrouter_asgi.providers.gigachat.request.history import ids_in, names_in, results_of

from .translating import called, chat, result, said


def function_called(name: str) -> dict[str, Any]:
    return said("assistant", None, function_call={"name": name, "arguments": "{}"})


def test_results_are_found_by_the_id_of_the_call() -> None:
    request = chat(called(("a", "f", "{}"), ("b", "g", "{}")), result("b"), result("a"))
    assert results_of(request.messages) == {(0, 0): 2, (0, 1): 1}


def test_an_id_that_returns_means_the_latest_call() -> None:
    request = chat(called(("a", "f", "{}")), said("user"), called(("a", "f", "{}")), result("a"))
    assert results_of(request.messages) == {(2, 0): 3}


def test_two_calls_of_one_message_may_share_an_id() -> None:
    request = chat(called(("a", "f", "{}"), ("a", "g", "{}")), result("a"), result("a"))
    assert results_of(request.messages) == {(0, 0): 1, (0, 1): 2}


def test_a_result_before_its_call_does_not_count() -> None:
    assert results_of(chat(result("a"), called(("a", "f", "{}"))).messages) == {}


def test_deprecated_results_are_found_by_name() -> None:
    past = {"role": "function", "name": "f", "content": "{}"}
    assert results_of(chat(function_called("f"), past).messages) == {(0, 0): 1}
    assert results_of(chat(function_called("g"), past).messages) == {}


def test_an_id_that_looks_like_a_name_is_not_one() -> None:
    past = {"role": "function", "name": "f", "content": "{}"}
    assert results_of(chat(called(("f", "f", "{}")), past).messages) == {}


def test_names_and_ids_are_collected() -> None:
    request = chat(said("user"), called(("a", "f", "{}"), ("b", "g", "{}")), function_called("h"))
    assert names_in(request.messages) == ["f", "g", "h"]
    assert ids_in(request.messages) == {"a", "b"}


def test_a_long_history_is_paired_in_one_pass() -> None:
    turns = [item for n in range(5000) for item in (called((f"c{n}", "f", "{}")), said("user"))]
    request = chat(*turns, *(result(f"c{n}") for n in reversed(range(5000))))
    assert len(results_of(request.messages)) == 5000
