from __future__ import annotations

from tests.dialects.contract import DialectContract
from xrouter_asgi.dialects.messages import MESSAGES
from xrouter_asgi.testing.scripted import completion


class TestMessages(DialectContract):
    dialect = MESSAGES
    answer = completion()
