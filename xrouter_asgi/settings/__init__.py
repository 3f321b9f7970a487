"""Settings of the standalone app: typed, from TOML or from the environment variables of GigaChat."""

from .document import Settings, find_file, load_keys, load_rate_limit
from .environment import read_env_file
from .errors import SettingsError, known_instead
from .ledger import LedgerPlace, ledger_of, load_ledger, load_spend
from .sources import describe_source, remarks
from .spend import SpendSettings

__all__ = [
    "LedgerPlace",
    "Settings",
    "SettingsError",
    "SpendSettings",
    "describe_source",
    "find_file",
    "known_instead",
    "ledger_of",
    "load_keys",
    "load_ledger",
    "load_rate_limit",
    "load_spend",
    "read_env_file",
    "remarks",
]
