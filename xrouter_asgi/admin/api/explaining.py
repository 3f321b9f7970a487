"""Where a request would go, and why."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from .answers import CandidateEntry
from .operation import Query


class ExplainQuery(Query):
    """A request that somebody might send: its model, the tokens of its prompt, and what it needs."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    tools: bool = False
    vision: bool = False
    json_schema: bool = False


class Explained(TypedDict):
    """The candidates in the order in which they would be asked, then those that are passed over."""

    strategy: str | None
    candidates: list[CandidateEntry]
