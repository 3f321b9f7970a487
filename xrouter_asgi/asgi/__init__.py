"""What ASGI leaves to the application: paths, routes, bodies, clients that leave, answers, the end of a process."""

from .exchange import Exchange
from .excluded_paths import ExcludedPaths
from .refusal import OnError, send_refusal
from .responses import Headers
from .scope import local_path, peer_address

__all__ = ["Exchange", "ExcludedPaths", "Headers", "OnError", "local_path", "peer_address", "send_refusal"]
