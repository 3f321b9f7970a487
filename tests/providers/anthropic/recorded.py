"""What Anthropic's API streams, in the shapes of November 2026: each type of event, of block and of delta."""

from __future__ import annotations

from typing import Any

CREATED = {"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 100}
BEGUN: dict[str, Any] = {
    "type": "message_start",
    "message": {
        "model": "claude-opus-4-8",
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 12,
            "cache_creation_input_tokens": 248,
            "cache_read_input_tokens": 1800,
            "cache_creation": CREATED,
            "output_tokens": 1,
            "service_tier": "standard",
        },
    },
}
FOUND = {
    "type": "web_search_result",
    "title": "Zebra",
    "url": "https://example.com/zebra",
    "encrypted_content": "EqgfCi==",
    "page_age": "April 30, 2026",
}
CITED = {
    "type": "web_search_result_location",
    "url": "https://example.com/zebra",
    "title": "Zebra",
    "encrypted_index": "Eo8BCi==",
    "cited_text": "A zebra is…",
}
PING = {"type": "ping"}


def started(index: int, block: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def added(index: int, kind: str, **members: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **members}}


def stopped(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


ENDED: list[dict[str, Any]] = [
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {
            "input_tokens": 12,
            "cache_creation_input_tokens": 248,
            "cache_read_input_tokens": 1800,
            "output_tokens": 503,
            "server_tool_use": {"web_search_requests": 1},
        },
        "context_management": {"applied_edits": []},
    },
    {"type": "message_stop"},
]
EVENTS: list[dict[str, Any]] = [
    BEGUN,
    PING,
    started(0, {"type": "thinking", "thinking": "", "signature": ""}),
    added(0, "thinking_delta", thinking="Let me"),
    added(0, "thinking_delta", thinking=" think"),
    added(0, "thinking_delta", thinking=" — hard."),
    added(0, "signature_delta", signature="EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds=="),
    stopped(0),
    started(1, {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIwxtE3="}),
    stopped(1),
    started(2, {"type": "server_tool_use", "id": "srvtoolu_01", "name": "web_search", "input": {}}),
    added(2, "input_json_delta", partial_json=""),
    added(2, "input_json_delta", partial_json='{"query": "zebra"}'),
    stopped(2),
    PING,
    started(3, {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_01", "content": [FOUND]}),
    stopped(3),
    started(4, {"type": "text", "text": ""}),
    *(added(4, "text_delta", text=text) for text in ("Zebras", " are", ' "striped"', "\n", "horses")),
    PING,
    *(added(4, "text_delta", text=text) for text in (", да", ".")),
    stopped(4),
    started(5, {"type": "text", "text": "", "citations": []}),
    added(5, "citations_delta", citation=CITED),
    added(5, "text_delta", text="A zebra is…"),
    stopped(5),
    started(6, {"type": "tool_use", "id": "toolu_01", "name": "look", "input": {}}),
    *(added(6, "input_json_delta", partial_json=part) for part in ("", '{"at": ', '"sky"}')),
    stopped(6),
    started(7, {"type": "tool_use", "id": "toolu_02", "name": "hear", "input": {}}),
    stopped(7),
    *ENDED,
]
