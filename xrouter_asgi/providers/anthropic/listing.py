"""The upstream's list of models -> OpenAI's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ...errors import UpstreamError
from ...wire import ModelList

PAGE = 1000
MAX_PAGES = 10


def next_page(page: dict[str, Any]) -> str | None:
    """The id behind which the next page begins; None if this is the last one."""
    last = page.get("last_id")
    return last if page.get("has_more") is True and isinstance(last, str) and last else None


def model_list(pages: Sequence[dict[str, Any]], *, owner: str) -> ModelList:
    """All models that have names. `created` is 0 where the upstream does not tell it.

    Raises:
        UpstreamError: `bad_body` for another shape.
    """
    rows: list[object] = []
    for page in pages:
        if not isinstance(data := page.get("data"), list):
            raise UpstreamError("The upstream's list of models has another shape.", code="bad_body")
        rows += data
    named = [row for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str) and row["id"]]
    return ModelList({"object": "list", "data": [_described(row, owner) for row in named]})


def _described(row: dict[str, Any], owner: str) -> dict[str, Any]:
    told = {"object": "model", "created": _seconds(row.get("created_at")), "owned_by": owner}
    return {"id": row["id"], **told, **({"name": name} if isinstance(name := row.get("display_name"), str) else {})}


def _seconds(moment: object) -> int:
    try:
        return max(int(datetime.fromisoformat(str(moment)).timestamp()), 0)
    except (ValueError, OverflowError, OSError):
        return 0
