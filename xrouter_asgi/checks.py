"""Checks of options, with messages that say what to write instead."""

from __future__ import annotations

import math
from typing import Annotated, TypeAlias, TypeVar

from annotated_types import Ge, Gt, Lt
from pydantic import SkipValidation

Value = TypeVar("Value")

# The bounds of dataclass fields as types, which pydantic reads when settings fill the dataclass.
Seconds: TypeAlias = Annotated[float, Gt(0), Lt(math.inf)]
SecondsOrInf: TypeAlias = Annotated[float, Gt(0)]  # TOML has no null: `inf` says that there is no bound
Count: TypeAlias = Annotated[int, Gt(0)]
Amount: TypeAlias = Annotated[float, Ge(0), Lt(math.inf)]
CheckedByItself: TypeAlias = Annotated[Value, SkipValidation()]  # the dataclass says better what is wrong


def require_positive(**options: float | None) -> None:
    """Raise ValueError for an option that is not above 0; None stands for one that is not set."""
    for name, value in options.items():
        # Written so that NaN fails too.
        if value is not None and not value > 0:
            raise ValueError(f"'{name}' is {value!r}. Write a number above 0.")


def require_share(**options: float) -> None:
    """Raise ValueError for an option that is not above 0 and at most 1."""
    for name, value in options.items():
        if not 0 < value <= 1:
            raise ValueError(f"'{name}' is {value!r}. Write a share above 0, up to 1.")
