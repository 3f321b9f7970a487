"""What the standalone app is told: typed, from TOML or from the GigaChat environment names."""

from __future__ import annotations

from .document import Settings
from .problems import SettingsError
from .tables import (
    EchoSettings,
    GigaChatSettings,
    ModelSettings,
    OpenAISettings,
    ProviderSettings,
    ServerSettings,
    TargetName,
    TimeoutSettings,
    reveal,
)

__all__ = [
    "EchoSettings",
    "GigaChatSettings",
    "ModelSettings",
    "OpenAISettings",
    "ProviderSettings",
    "ServerSettings",
    "Settings",
    "SettingsError",
    "TargetName",
    "TimeoutSettings",
    "reveal",
]
