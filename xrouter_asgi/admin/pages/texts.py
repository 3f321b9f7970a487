"""The words of the pages, in English and in Russian."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from starlette.types import Scope

from .english import ENGLISH
from .russian import RUSSIAN

Language: TypeAlias = Literal["en", "ru"]

TEXTS: Final[Mapping[Language, Mapping[str, str]]] = {"en": ENGLISH, "ru": RUSSIAN}
"""By language, then by name."""


def text(language: Language, name: str, /, **values: object) -> str:
    """The text of this name, with its values."""
    return TEXTS[language][name].format(**values)


def language_of(scope: Scope) -> Language:
    """The language that the reader likes best (RFC 9110, 12.5.4); English if it is neither."""
    wanted = b",".join(value for name, value in scope["headers"] if name == b"accept-language")
    found: list[tuple[float, Language]] = []
    for each in wanted[:512].decode("latin-1").lower().split(","):
        tag, _, quality = each.partition(";q=")
        match tag.strip().partition("-")[0]:
            case "en":
                found.append((_number(quality), "en"))
            case "ru":
                found.append((_number(quality), "ru"))
    best = max(found, key=lambda each: each[0], default=(0.0, "en"))
    return "ru" if best[0] > 0 and best[1] == "ru" else "en"


def _number(quality: str) -> float:
    try:
        return float(quality or 1)
    except ValueError:
        return 0.0
