"""The time limits of one exchange with an upstream."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ...checks import Seconds, require_positive


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each phase of an exchange may last, in seconds. Each above 0.

    Args:
        connect: For TCP and TLS together.
        first: From the written request to the head of the answer.
        idle: Between two reads of a body. Framing without content does not count as life.
        total: For the whole exchange, last byte included; None for no bound.
        write: Until the upstream has taken the request.
        pool: Waiting for a free connection.

    Raises:
        ValueError: For a value that is not above 0.
    """

    connect: Seconds = 5.0
    first: Seconds = 120.0
    idle: Seconds = 60.0
    total: Seconds | None = 600.0
    write: Seconds = 30.0
    pool: Seconds = 5.0

    def __post_init__(self) -> None:
        require_positive(**asdict(self))
