"""An observer that writes down what each request cost."""

from .entry import NameModel
from .ledger import Ledger

__all__ = ["Ledger", "NameModel"]
