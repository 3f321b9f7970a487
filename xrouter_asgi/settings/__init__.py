"""What the standalone app is told: typed, from TOML or from the GigaChat environment names."""

from __future__ import annotations

from .document import Settings
from .problems import SettingsError
from .providers import EchoSettings, GigaChatSettings, OpenAISettings, ProviderSettings, TimeoutSettings
from .tables import ModelSettings, ServerSettings, TargetName

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
]
