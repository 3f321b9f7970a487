"""Settings of the standalone app: typed, from TOML or from the environment variables of GigaChat."""

from .document import Settings, find_file, load_keys, load_rate_limit
from .environment import read_env_file
from .errors import SettingsError, known_instead
from .sources import describe_source, remarks

__all__ = [
    "Settings",
    "SettingsError",
    "describe_source",
    "find_file",
    "known_instead",
    "load_keys",
    "load_rate_limit",
    "read_env_file",
    "remarks",
]
