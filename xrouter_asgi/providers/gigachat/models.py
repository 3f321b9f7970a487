"""The list of models in OpenAI's dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...wire import ModelList


def models(answer: dict[str, Any], *, aliases: Mapping[str, str]) -> ModelList:
    raise NotImplementedError
