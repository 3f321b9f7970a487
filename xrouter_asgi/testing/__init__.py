"""For tests of what stands on this package: upstreams that are none, time that obeys, and what every part promises.

`providers`, `limit_stores`, `key_stores` and `response_stores` hold the contracts, and need pytest.
"""

import sys

from .anthropic import FakeAnthropic
from .clock import Clock, LoopClock
from .gigachat import FakeGigaChat
from .http import FakeExchange, FakeServer
from .openai import FakeOpenAI
from .scripted import ScriptedProvider
from .virtual import VirtualLoop, virtual

__all__ = [
    "Clock",
    "FakeAnthropic",
    "FakeExchange",
    "FakeGigaChat",
    "FakeOpenAI",
    "FakeServer",
    "LoopClock",
    "ScriptedProvider",
    "VirtualLoop",
    "virtual",
]

if "pytest" in sys.modules:  # so that a contract that is not kept shows the values, as any other test does
    sys.modules["pytest"].register_assert_rewrite(
        *(f"{__name__}.{contract}" for contract in ("providers", "limit_stores", "key_stores", "response_stores"))
    )
