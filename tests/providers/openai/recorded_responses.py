"""What OpenAI's Responses stream, in the shapes of November 2026: each type of item and of event that a model sends."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

USAGE = {
    "input_tokens": 2075,
    "input_tokens_details": {"cached_tokens": 1920, "cache_write_tokens": 128},
    "output_tokens": 384,
    "output_tokens_details": {"reasoning_tokens": 320},
    "total_tokens": 2459,
}
RESPONSE: dict[str, Any] = {
    "id": "resp_68af4030592c81938ec0a5fbab4a3e9f05438e46b5f69a3b",
    "object": "response",
    "created_at": 1756315696,
    "status": "in_progress",
    "background": False,
    "content_filters": None,
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "model": "gpt-5.5-2026-08-07",
    "output": [],
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "safety_identifier": None,
    "service_tier": "default",
    "store": False,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "usage": None,
    "user": None,
    "metadata": {},
}
CITATION = {"type": "url_citation", "start_index": 0, "end_index": 6, "url": "https://example.com/z", "title": "Zebra"}
OUTPUT: list[dict[str, Any]] = [
    {
        "id": "rs_68af4030baa48193b0b43b4c2a176a1a0e6967589f080e78",
        "type": "reasoning",
        "encrypted_content": "gAAAAABor0Ax",
        "summary": [{"type": "summary_text", "text": "**Thinking** of zebras"}],
    },
    {
        "id": "ws_68af40344b5081938e5ecd79a3e62a2d0e6967589f080e78",
        "type": "web_search_call",
        "status": "completed",
        "action": {"type": "search", "query": "zebra"},
    },
    {
        "id": "msg_68af4033a2b88193a0c1b5e3b4f5a6c70e6967589f080e78",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [
            {"type": "output_text", "text": 'Zebras are "striped"\nда.', "annotations": [CITATION], "logprobs": []}
        ],
    },
    {
        "id": "fc_68af4034a2b88193a0c1b5e3b4f5a6c70e6967589f080e78",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_look",
        "name": "look",
        "arguments": '{"at":"sky"}',
    },
    {
        "id": "ctc_68af4035a2b88193a0c1b5e3b4f5a6c70e6967589f080e78",
        "type": "custom_tool_call",
        "status": "completed",
        "call_id": "call_say",
        "name": "say",
        "input": "hello",
    },
]
COMPLETED = {**RESPONSE, "status": "completed", "output": OUTPUT, "usage": USAGE}


def numbered(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The events with their numbers, which stand behind the type, as at OpenAI."""
    return [
        {"type": event["type"], "sequence_number": number, **{k: v for k, v in event.items() if k != "type"}}
        for number, event in enumerate(events)
    ]


def _begins(at: int, **members: Any) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": at, "item": {**OUTPUT[at], **members}}


def _ends(at: int) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": at, "item": OUTPUT[at]}


def _delta(kind: str, at: int, text: str, **members: Any) -> dict[str, Any]:
    place = {"item_id": OUTPUT[at]["id"], "output_index": at}
    return {"type": f"response.{kind}.delta", **place, **members, "delta": text}


def _done(kind: str, at: int, **members: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}.done", "item_id": OUTPUT[at]["id"], "output_index": at, **members}


_SUMMARY = {"summary_index": 0}
_PART = {"content_index": 0}
_TEXT = {**_PART, "logprobs": []}
_SEARCH = "response.web_search_call"
EVENTS: list[dict[str, Any]] = numbered(
    [
        {"type": "response.created", "response": RESPONSE},
        {"type": "response.in_progress", "response": RESPONSE},
        _begins(0, summary=[], encrypted_content="gAAAAABo"),
        {**_done("reasoning_summary_part", 0, **_SUMMARY), "type": "response.reasoning_summary_part.added"},
        *(
            _delta("reasoning_summary_text", 0, text, **_SUMMARY, obfuscation="x" * at)
            for at, text in enumerate(("**Thinking**", " of", " zebras"))
        ),
        _done("reasoning_summary_text", 0, text="**Thinking** of zebras", **_SUMMARY),
        _done("reasoning_summary_part", 0, part=OUTPUT[0]["summary"][0], **_SUMMARY),
        _ends(0),
        _begins(1, status="in_progress", action=None),
        *(
            {"type": f"{_SEARCH}.{at}", "output_index": 1, "item_id": OUTPUT[1]["id"]}
            for at in ("in_progress", "searching")
        ),
        {"type": f"{_SEARCH}.completed", "output_index": 1, "item_id": OUTPUT[1]["id"]},
        _ends(1),
        _begins(2, status="in_progress", content=[]),
        {
            **_done("content_part", 2, **_PART, part={**OUTPUT[2]["content"][0], "text": "", "annotations": []}),
            "type": "response.content_part.added",
        },
        *(
            _delta("output_text", 2, text, **_TEXT, obfuscation="aB3" * at)
            for at, text in enumerate(("Zebras", " are", ' "striped"', "\n", "да", "."))
        ),
        {
            "type": "response.output_text.annotation.added",
            "item_id": OUTPUT[2]["id"],
            "output_index": 2,
            **_PART,
            "annotation_index": 0,
            "annotation": CITATION,
        },
        _done("output_text", 2, text=OUTPUT[2]["content"][0]["text"], **_TEXT),
        _done("content_part", 2, **_PART, part=OUTPUT[2]["content"][0]),
        _ends(2),
        _begins(3, status="in_progress", arguments=""),
        *(_delta("function_call_arguments", 3, text, obfuscation="q") for text in ('{"at":', '"sky"}')),
        _done("function_call_arguments", 3, arguments='{"at":"sky"}', name="look"),
        _ends(3),
        _begins(4, status="in_progress", input=""),
        _delta("custom_tool_call_input", 4, "hello"),
        _done("custom_tool_call_input", 4, input="hello"),
        _ends(4),
        {"type": "response.completed", "response": COMPLETED},
    ]
)


def sse(event: Mapping[str, Any]) -> bytes:
    """One event as OpenAI writes it."""
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event['type']}\ndata: {text}\n\n".encode()
