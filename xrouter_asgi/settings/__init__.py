"""Settings of the standalone app: typed, from TOML or from the environment variables of GigaChat."""

from .document import Settings, find_file, load_keys, load_rate_limit
from .errors import SettingsError

__all__ = ["Settings", "SettingsError", "find_file", "load_keys", "load_rate_limit"]
