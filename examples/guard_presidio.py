"""Personal data that Presidio finds is replaced before a model is asked, and payment cards are refused.

    pip install presidio-analyzer presidio-anonymizer && python -m spacy download en_core_web_lg
    LOCAL_URL=https://api.example.com/v1 uvicorn --app-dir examples guard_presidio:app

Presidio takes milliseconds for each text, so a thread does it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from presidio_analyzer import AnalyzerEngine
from presidio_anonymizer import AnonymizerEngine

from xrouter_asgi import LLMRouter, OpenAIProvider
from xrouter_asgi.errors import ContentRefused
from xrouter_asgi.policies import Guard, Passage

analyzer, anonymizer = AnalyzerEngine(), AnonymizerEngine()


def checked(text: str) -> str:
    found = analyzer.analyze(text=text, language="en")
    if any(each.entity_type == "CREDIT_CARD" for each in found):
        raise ContentRefused("The request holds the number of a payment card. Send it without.")
    return str(anonymizer.anonymize(text=text, analyzer_results=found).text)


async def check(passages: Sequence[Passage]) -> list[str]:
    return await asyncio.to_thread(lambda: [checked(passage.text) for passage in passages])


app = LLMRouter({"*": Guard(OpenAIProvider(os.environ["LOCAL_URL"]), check=check)})
