"""The router below a prefix, as each kind of host hands requests to it."""

from __future__ import annotations

import json

from starlette.types import ASGIApp

from .house import CHAT, House, completion, hello, routed
from .lists import changed
from .recording import Case, Tape, get, post


def _router(tape: Tape) -> ASGIApp:
    return routed(House(completion()))


def _servers(tape: Tape) -> ASGIApp:
    """Of the description of the API only what a mount changes."""
    return changed(_router(tape), lambda body: json.dumps(json.loads(body)["servers"]).encode())


CASES = [
    # Starlette and FastAPI hand the full path.
    Case(
        "full-path",
        _router,
        [
            post(f"/llm{CHAT}", hello(), root_path="/llm"),
            get("/llm/health", root_path="/llm"),
            get("/llm", root_path="/llm"),
            get("/llmhealth", root_path="/llm"),
            get("/llm/nowhere", root_path="/llm"),
        ],
    ),
    # A proxy took a part away.
    Case("behind-a-proxy", _router, [get("/llm/health", root_path="/api/llm", app_root_path="/api")]),
    # Litestar hands the rest of the path, with a slash.
    Case("stripped", _router, [post(f"{CHAT}/", hello()), get("/health/"), get("health")]),
    Case(
        "openapi",
        _servers,
        [get("/llm/openapi.json", root_path="/llm"), get("/openapi.json/", raw_path=b"/llm/openapi.json")],
    ),
]
