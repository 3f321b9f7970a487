"""What a key says about itself."""

from __future__ import annotations

from datetime import timedelta

import pytest

from xrouter_asgi.context import Principal
from xrouter_asgi.keys import APIKey

from .clock import START as NOW


@pytest.mark.parametrize(
    ("key", "state"),
    [
        (APIKey("k", created_at=NOW), "active"),
        (APIKey("k", created_at=NOW, active=False, expires_at=NOW), "revoked"),
        (APIKey("k", created_at=NOW, active=False, suspended=True), "suspended"),
        (APIKey("k", created_at=NOW, expires_at=NOW), "expired"),
        (APIKey("k", created_at=NOW, not_before=NOW + timedelta(seconds=1)), "waiting"),
        (APIKey("k", created_at=NOW - timedelta(days=181)), "unused"),
        (APIKey("k", created_at=NOW - timedelta(days=181), last_used_at=NOW - timedelta(days=180)), "active"),
        (APIKey("k", created_at=NOW - timedelta(days=400), not_before=NOW, expires_at=NOW), "expired"),
    ],
)
def test_a_key_is_in_one_state(key: APIKey, state: str) -> None:
    assert key.state(NOW) == state


def test_a_principal_is_what_its_key_says() -> None:
    key = APIKey("k", "name", "ann", scopes=frozenset({"chat"}), models=("a",), limits=("1/minute",), groups=("g", "h"))
    assert key.principal() == Principal(
        id="k", owner="ann", scopes=frozenset({"chat"}), models=("a",), limits=("1/minute",), groups=("g", "h")
    )
