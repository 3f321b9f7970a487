"""Settings of the standalone app: typed, from TOML or from the environment variables of GigaChat."""

from __future__ import annotations

from .access import CORSSettings, KeysSettings, RateLimitSettings
from .alerts import AlertsSettings
from .base import ServerSettings
from .document import Settings, find_file, load_keys
from .errors import SettingsError
from .models import ModelSettings, TargetSettings
from .providers import EchoSettings, GigaChatSettings, OpenAISettings, ProviderSettings
from .telemetry import AccessLogSettings, MetricsSettings, TracingSettings

__all__ = [
    "AccessLogSettings",
    "AlertsSettings",
    "CORSSettings",
    "EchoSettings",
    "GigaChatSettings",
    "KeysSettings",
    "MetricsSettings",
    "ModelSettings",
    "OpenAISettings",
    "ProviderSettings",
    "RateLimitSettings",
    "ServerSettings",
    "Settings",
    "SettingsError",
    "TargetSettings",
    "TracingSettings",
    "find_file",
    "load_keys",
]
