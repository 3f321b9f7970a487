"""The row of the Messages API in the table of dialects."""

from __future__ import annotations

from ...envelopes import anthropic
from ...wire.answers import MessagesAnswer, TokenCount
from ...wire.messages import CountTokensRequest, MessagesRequest
from ..base import Counting, Dialect, Operation, event_schema
from .request import NAME, ParsedMessages

_EXAMPLE = {"model": "echo", "messages": [{"role": "user", "content": "Say hello."}]}

MESSAGES = Dialect(
    name=NAME,
    path="/messages",
    scope="chat",
    read=ParsedMessages.read,
    envelope=anthropic,
    operation=Operation(
        id="createMessage",
        tag="Messages",
        summary="Answer a conversation, as Anthropic's Messages API does",
        request=MessagesRequest,
        answer=MessagesAnswer,
        example={**_EXAMPLE, "max_tokens": 1024, "stream": False},
        answered={
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "echo",
            "content": [{"type": "text", "text": "Hello."}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {
                "input_tokens": 3,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": 2,
            },
        },
        event=event_schema("An event of the Messages API as JSON, an error included.", name="The `type` of the data."),
        stream=(
            'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
            '"text":"Hello"}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'
        ),
    ),
    params={
        "max_completion_tokens": "max_tokens",
        "messages": "messages",
        "reasoning_effort": "output_config.effort",
        "response_format": "output_config.format",
        "stop": "stop_sequences",
    },
    counting=Counting(
        path="/messages/count_tokens",
        read=ParsedMessages.read_to_count,
        answer=lambda tokens: {"input_tokens": tokens},
        operation=Operation(
            id="countMessageTokens",
            tag="Messages",
            summary="Count the tokens of a conversation",
            request=CountTokensRequest,
            answer=TokenCount,
            example=_EXAMPLE,
            answered={"input_tokens": 3},
        ),
    ),
)
