"""Ways into an app from the program that it is part of: a route of the host, or a client in the same process."""

from .client import in_process
from .response import as_response

__all__ = ["as_response", "in_process"]
