"""Which requests are asked for."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator, Field

from .operation import Query


def _written(value: object) -> object:
    """Seconds since 1970, which pydantic takes too, would be a second way to write a moment."""
    if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d[Tt ]", value, re.ASCII):
        raise ValueError("write it as 2026-11-30T18:00:00Z")
    return value


class RequestFilter(Query):
    """Which requests, the latest first.

    Attributes:
        status: Such as `429`, or `5xx` for all of that kind.
        error: One word such as `upstream_timeout`; `any` for all that have one.
        before: Only those that came in before.
    """

    model: str | None = None
    key: str | None = None
    owner: str | None = None
    status: Annotated[str | None, Field(pattern="^[1-5]([0-9][0-9]|xx)$")] = None
    error: str | None = None
    before: Annotated[AwareDatetime, BeforeValidator(_written)] | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 50

    def has_outcome(self, status: int | None, error: str | None) -> bool:
        """Whether a request that ended so is meant."""
        return (self.status is None or _is_like(status, self.status)) and (
            self.error is None or error == self.error or (self.error == "any" and bool(error))
        )


def _is_like(status: int | None, wanted: str) -> bool:
    text = "" if status is None else str(status)
    return text == wanted or (wanted.endswith("xx") and text[:1] == wanted[0])
