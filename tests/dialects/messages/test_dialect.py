from __future__ import annotations

from tests.dialects.contract import DialectContract
from tests.scripted import completion
from xrouter_asgi.dialects.messages import MESSAGES


class TestMessages(DialectContract):
    dialect = MESSAGES
    answer = completion()
