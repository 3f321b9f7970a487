"""What GigaChat says when it refuses -> the errors of this package."""

from __future__ import annotations

import httpx

from ...errors import XRouterError


def upstream_error(status: int, headers: httpx.Headers, body: bytes, *, model: str) -> XRouterError:
    raise NotImplementedError
