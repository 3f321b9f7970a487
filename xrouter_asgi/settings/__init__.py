"""Settings of the standalone app: typed, from TOML or from the environment variables of GigaChat."""

from .document import Settings, find_file, load_keys, load_rate_limit
from .errors import SettingsError
from .ledger import LedgerPlace, ledger_of, load_ledger

__all__ = [
    "LedgerPlace",
    "Settings",
    "SettingsError",
    "find_file",
    "ledger_of",
    "load_keys",
    "load_ledger",
    "load_rate_limit",
]
