from __future__ import annotations

from tests.scripted import completion
from xrouter_asgi.dialects.messages import MESSAGES

from .contract import DialectContract


class TestMessages(DialectContract):
    dialect = MESSAGES
    answer = completion()
