from __future__ import annotations

import pytest

from xrouter_asgi.errors import UnsupportedOperation
from xrouter_asgi.providers.base import MAX_WARNINGS
from xrouter_asgi.providers.gigachat.request.diagnostics import Warnings


def test_each_word_is_kept_once_in_order() -> None:
    warnings = Warnings()
    for word in ("b", "a", "b"):
        warnings.add(word, param="p", reason="r")
    assert list(warnings) == ["b", "a"]


def test_a_word_has_only_letters_digits_and_underscores() -> None:
    warnings = Warnings()
    warnings.ignored("Ключ-2 X\r\n")
    assert list(warnings) == ["_2_x__ignored"]


def test_a_client_cannot_make_them_many() -> None:
    warnings = Warnings()
    for number in range(10 * MAX_WARNINGS):
        warnings.ignored("p" + "x" * number)
    assert len(list(warnings)) <= MAX_WARNINGS
    assert max(map(len, warnings)) <= 64


def test_strictness_refuses_with_the_reason() -> None:
    with pytest.raises(UnsupportedOperation, match=r"'seed': GigaChat has no such parameter") as refused:
        Warnings(strict=True).ignored("seed")
    assert (refused.value.param, refused.value.code) == ("seed", "unsupported_parameter")
