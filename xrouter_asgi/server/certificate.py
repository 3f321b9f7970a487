"""The certificate that the server shows to its clients, and its renewal while it serves."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path

from ..reloading import FileWatch

logger = logging.getLogger("xrouter.server")


class Certificate:
    """What new connections are met with. Connections that there are keep what they began with.

    Args:
        load: Reads the files. Raises ValueError if they cannot be used.
        files: Those that are read.
        watched: Whether `due` notices that one of them has changed.
    """

    def __init__(self, load: Callable[[], ssl.SSLContext], *, files: Iterable[Path], watched: bool) -> None:
        self.context = load()
        self._load = load
        self._watches = [FileWatch(file) for file in files] if watched else []

    def due(self) -> bool:
        """Whether a file has changed. Call it about once a second."""
        changed = [watch.changed() for watch in self._watches]  # all of them: each look is compared with the next
        return any(changed)

    def renew(self) -> None:
        """Read the files again. If they cannot be used, the log says why, and the old certificate stays."""
        for watch in self._watches:
            watch.note()
        try:
            self.context = self._load()
        except ValueError as error:
            logger.error("The certificate is not renewed: [server] %s The old one stays.", error)
        else:
            logger.info("The certificate is read again.")
