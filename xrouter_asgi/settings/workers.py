"""What would be wrong in silence if several processes served the same settings."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import SecretStr

from .admin import AdminSettings
from .errors import Location
from .layers import RateLimitSettings, ResponsesSettings
from .metrics import MetricsSettings


def wrong_among(
    workers: int,
    *,
    limits: RateLimitSettings | None,
    responses: ResponsesSettings,
    metrics: MetricsSettings | None,
    ledger: SecretStr | None,
    admin: AdminSettings | None,
) -> Iterator[tuple[Location, str]]:
    """The paths of what so many processes would each do for themselves, and what to write instead."""
    if workers == 1:
        return
    if limits is not None and not (limits.shared or limits.allow_per_process):
        sentence = f"counts in the memory of one process, so {workers} workers would admit {workers} times as much."
        yield ("rate_limit", "storage"), f'{sentence} Write storage = "redis://HOST", or allow_per_process = true.'
    if responses.per_process:
        sentence = f"keeps responses in the memory of one process, where {workers} workers do not find each other's."
        yield ("responses", "store"), f'{sentence} Write store = "redis://HOST", or "off".'
    if ledger is not None and ledger.get_secret_value().startswith("sqlite"):
        sentence = f"is a file of SQLite, which {workers} workers would all write to, and wait for each other."
        yield ("spend", "url"), f'{sentence} Write url = "postgresql://user@host/name", or serve with one worker.'
    if metrics is not None and metrics.shown_path is not None:
        yield (
            ("metrics", "port"),
            f"is missing, and a path would show whichever of {workers} workers is asked. Write one.",
        )
    if admin is not None and admin.path is not None:
        sentence = f"would be served by whichever of {workers} workers is asked, and a session is only in one of them."
        yield ("admin", "path"), f"{sentence} Write a port."
