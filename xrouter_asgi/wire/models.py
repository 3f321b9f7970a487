"""`GET /v1/models`: there is nothing to say but that one wants to know."""

from __future__ import annotations

from .validation import WireModel


class ModelsRequest(WireModel):
    """Ask a provider which models it serves."""
