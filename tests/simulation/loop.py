"""Time and order as a seed has them."""

from __future__ import annotations

import random
from collections.abc import Callable

from xrouter_asgi.testing.virtual import VirtualLoop


class SeededLoop(VirtualLoop):
    """Virtual time, and what is ready at the same moment runs in an order that the dice say.

    asyncio runs it first come, first served. But who comes first is up to sockets and timers, so no code of ours may
    rely on it.

    Attributes:
        jumped: When the clock last jumped.
        after_step: Called after each round of what was ready.
    """

    after_step: Callable[[], None] | None = None

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.jumped = 0.0
        super().__init__()

    def jump(self, seconds: float) -> None:
        """As after a machine was suspended: every timer in between is due at once."""
        self.advance(seconds)
        self.jumped = self.time()

    def _run_once(self) -> None:
        # The queue and this method belong to asyncio's base loop; there is no public way to choose an order.
        self._dice.shuffle(self._ready)  # type: ignore[attr-defined]  # not in typeshed
        super()._run_once()  # type: ignore[misc]  # not in typeshed
        if self.after_step is not None:
            self.after_step()
