"""The operator's API: what happens, the keys, the settings."""

from .app import AdminApp
from .limits_used import LimitsUsed
from .process import ThisProcess
from .watched import Watched
from .workers import WorkerProcess

__all__ = ["AdminApp", "LimitsUsed", "ThisProcess", "Watched", "WorkerProcess"]
