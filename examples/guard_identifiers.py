"""Russian identifiers never leave: INN, SNILS and numbers of passports are replaced before a model is asked.

    LOCAL_URL=https://api.example.com/v1 uvicorn --app-dir examples guard_identifiers:app

A number counts as an INN (10 or 12 digits) or a SNILS (11 digits) only if its check digits are right, so that an order
number stays what it is. A passport has none: it counts beside the word.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from xrouter_asgi import LLMRouter, OpenAIProvider
from xrouter_asgi.policies import Guard, Passage

_NUMBER = re.compile(r"(?<!\d)(?:\d{12}|\d{10}|\d{3}-?\d{3}-?\d{3}[- ]?\d{2})(?!\d)")
_PASSPORT = re.compile(r"((?:паспорт|passport)\W{0,5})\d{2} ?\d{2} ?\d{6}(?!\d)", re.IGNORECASE)

_OF_TEN = (2, 4, 10, 3, 5, 9, 4, 6, 8)
_OF_TWELVE = ((7, 2, 4, 10, 3, 5, 9, 4, 6, 8), (3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8))


def is_inn(digits: str) -> bool:
    """Whether the check digits are those of an INN (order of the tax service MMV-7-6/435, section VII)."""
    weights = {10: (_OF_TEN,), 12: _OF_TWELVE}.get(len(digits), ())
    return bool(weights) and all(_weighed(digits, each) % 11 % 10 == int(digits[len(each)]) for each in weights)


def is_snils(digits: str) -> bool:
    """Whether the last two digits are those of a SNILS (order of the pension fund 122p, annex 1)."""
    if len(digits) != 11 or int(digits[:9]) <= 1_001_998:  # older numbers have no check digits
        return False
    return _weighed(digits, range(9, 0, -1)) % 101 % 100 == int(digits[9:])


def _weighed(digits: str, weights: Sequence[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def masked(text: str) -> str:
    def mask(found: re.Match[str]) -> str:
        digits = re.sub(r"\D", "", found[0])
        return "[SNILS]" if is_snils(digits) else "[INN]" if is_inn(digits) else found[0]

    return _NUMBER.sub(mask, _PASSPORT.sub(r"\1[PASSPORT]", text))


async def mask_all(passages: Sequence[Passage]) -> list[str]:
    return [masked(passage.text) for passage in passages]


app = LLMRouter({"*": Guard(OpenAIProvider(os.environ["LOCAL_URL"]), check=mask_all, answers=True)})
