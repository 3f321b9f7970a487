"""OpenAI's own SDK through a router: as if it spoke to an upstream with Responses itself, which gets its own words."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import Any, ClassVar

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import Response, ResponseStreamEvent

from tests.serving import uvicorn_here
from xrouter_asgi import APIKeyMiddleware, LLMRouter, StaticKeys, Target
from xrouter_asgi.context import RequestContext, Usage
from xrouter_asgi.events import RequestEnded
from xrouter_asgi.keys import APIKey
from xrouter_asgi.middleware import RequestEventsMiddleware
from xrouter_asgi.policies.candidates import Candidate
from xrouter_asgi.policies.stack import stack
from xrouter_asgi.providers import OpenAIProvider
from xrouter_asgi.providers.echo import EchoProvider
from xrouter_asgi.testing.http import Handler
from xrouter_asgi.testing.openai import FakeOpenAI, refuse, stream, whole

from ..native import NativeContract
from ..samples import kinds_of, sample
from .recorded_responses import COMPLETED, EVENTS, OUTPUT, RESPONSE, USAGE, numbered, sse

ASKED: dict[str, Any] = {"model": "gpt", "input": "Hello there"}


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as fake:
        yield fake


class Stand:
    """A gateway in front of a fake, and the requests that it answered."""

    def __init__(self, sdk: AsyncOpenAI, other: AsyncOpenAI, direct: AsyncOpenAI, ended: list[RequestContext]) -> None:
        self.sdk = sdk
        self.other = other  # somebody else
        self.direct = direct
        self.ended = ended


@asynccontextmanager
async def standing(fake: FakeOpenAI, *others: Candidate, responses: bool = True) -> AsyncIterator[Stand]:
    provider = OpenAIProvider(fake.base_url, responses=responses)
    model = stack([Candidate(Target(provider, model="gpt-5.5"), "openai/gpt-5.5"), *others])
    ended: list[RequestContext] = []

    def watch(event: object) -> None:
        if isinstance(event, RequestEnded):
            ended.append(event.context)

    router = LLMRouter({"gpt": model})
    callers = {f"key-of-{name}-0123456789": APIKey(f"key_{name}") for name in ("ann", "bob")}
    keys = APIKeyMiddleware(router, store=StaticKeys(callers))
    async with (
        uvicorn_here(RequestEventsMiddleware(keys, observers=[watch])) as url,
        AsyncOpenAI(api_key="key-of-ann-0123456789", base_url=f"{url}/v1", max_retries=0) as sdk,
        AsyncOpenAI(api_key="key-of-bob-0123456789", base_url=f"{url}/v1", max_retries=0) as other,
        AsyncOpenAI(api_key="k", base_url=fake.base_url, max_retries=0) as direct,
    ):
        yield Stand(sdk, other, direct, ended)
    await router.aclose()


def told(*events: dict[str, Any]) -> Handler:
    return stream(*map(sse, events), end=b"")


async def events_of(sdk: AsyncOpenAI, **members: Any) -> list[dict[str, Any]]:
    async with await sdk.responses.create(**{**ASKED, **members}, stream=True) as events:
        return [event.to_dict() async for event in events]


RECORDED = {event["type"] for event in EVENTS}
LAST = ("response.incomplete", "response.failed", "error")


class TestNative(NativeContract):
    asked = ASKED
    events = EVENTS
    samples: ClassVar = [
        numbered([EVENTS[0], event, EVENTS[-1]])
        for event in map(sample, kinds_of(ResponseStreamEvent))
        if event["type"] not in {*LAST, *RECORDED}
    ]
    answer = COMPLETED
    usage = Usage(2075, 384, cached_tokens=1920, cache_write_tokens=128, reasoning_tokens=320)
    sse = staticmethod(sse)
    resource = attrgetter("responses")

    @pytest.fixture
    async def it(self, fake: FakeOpenAI) -> AsyncIterator[Stand]:
        async with standing(fake) as it:
            yield it


async def test_tools_that_run_at_the_upstream_go_up(fake: FakeOpenAI) -> None:
    async with standing(fake) as it:
        fake.next(whole(COMPLETED))
        answer = await it.sdk.responses.with_raw_response.create(
            **ASKED, truncation="auto", tools=[{"type": "web_search"}]
        )
    assert "x-xrouter-warnings" not in answer.headers
    assert fake.last["tools"] == [{"type": "web_search"}]


async def test_what_the_client_wrote_goes_up_but_for_the_model_and_what_would_be_kept(fake: FakeOpenAI) -> None:
    fake.next(whole(COMPLETED))
    written = (
        b'{ "model":"gpt", "input":[{"role":"user","content":"Hi"},{"type":"reasoning","summary":[],'
        b'"encrypted_content":"gAAAAA=="}, {"type":"function_call","call_id":"c","name":"look","arguments":"{}"},'
        b'{"type":"function_call_output","call_id":"c","output":"\\u0414\\u0430"}],"store":false,'
        b'"include":["reasoning.encrypted_content"],"service_tier":"flex","tools":[{"type":"web_search"}]}'
    )
    async with standing(fake) as it:
        headers = {"authorization": "Bearer key-of-ann-0123456789", "content-type": "application/json"}
        answer = await it.sdk._client.post("responses", content=written, headers=headers)
    assert answer.status_code == 200
    assert fake.requests[0].body == written.replace(b'"gpt"', b'"gpt-5.5"')


async def test_nothing_is_kept_in_the_account_that_callers_share(fake: FakeOpenAI) -> None:
    async with standing(fake) as it:
        fake.next(*[whole(COMPLETED)] * 2)
        await it.sdk.responses.create(**ASKED)
        await it.sdk.responses.create(**ASKED, store=True)
    assert [json.loads(each.body)["store"] for each in fake.requests] == [False, False]


async def test_an_answer_is_continued_without_an_id_of_the_upstreams(fake: FakeOpenAI) -> None:
    async with standing(fake) as it:
        fake.next(told(*EVENTS), whole(COMPLETED), whole(COMPLETED))
        await events_of(it.sdk)
        kept = await it.sdk.responses.retrieve(RESPONSE["id"])
        await it.sdk.responses.create(model="gpt", input="and?", previous_response_id=RESPONSE["id"])
        continued = fake.last
        reference: Any = {"type": "item_reference", "id": OUTPUT[2]["id"]}
        await it.sdk.responses.create(model="gpt", input=[reference, {"role": "user", "content": "so?"}])
    assert kept.to_dict() == COMPLETED
    assert "previous_response_id" not in continued
    question, thought, search, said, look, say, more = continued["input"]
    assert question["content"] == [{"type": "input_text", "text": "Hello there"}]
    assert thought == {name: OUTPUT[0][name] for name in ("type", "encrypted_content", "summary")}
    assert said == {name: member for name, member in OUTPUT[2].items() if name != "id"}
    assert (look["call_id"], say["call_id"]) == ("call_look", "call_say")
    assert more["content"] == "and?"
    assert search == OUTPUT[1]
    assert fake.last["input"][0] == said


@pytest.mark.parametrize(
    "members",
    [
        {"previous_response_id": RESPONSE["id"]},
        {"input": [{"type": "item_reference", "id": OUTPUT[2]["id"]}]},
        {"conversation": "conv_1"},
        {"prompt": {"id": "pmpt_1"}},
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file_1"}]}]},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file_1"}]}]},
        {
            "input": [
                {
                    "type": "function_call_output",
                    "call_id": "c",
                    "output": [{"type": "input_image", "file_id": "file_1"}],
                }
            ]
        },
    ],
    ids=lambda members: json.dumps(members)[:60],
)
async def test_an_id_of_somebody_elses_is_refused(fake: FakeOpenAI, members: dict[str, Any]) -> None:
    async with standing(fake) as it:
        fake.next(whole(COMPLETED))
        await it.sdk.responses.create(**ASKED)
        with pytest.raises(openai.BadRequestError):
            await it.other.responses.create(**{**ASKED, "extra_body": members})
    assert len(fake.requests) == 1


HELD = [
    {"type": "reasoning", "id": OUTPUT[0]["id"], "summary": []},
    {"type": "web_search_call", "id": OUTPUT[1]["id"], "status": "completed"},
    {"type": "image_generation_call", "id": "ig_1"},
    {"type": "code_interpreter_call", "id": "ci_1", "container_id": "cntr_1"},
    {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "file_id": "file_1"}},
    {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
]


@pytest.mark.parametrize("item", HELD, ids=lambda item: str(item["type"]))
async def test_an_item_that_names_what_the_upstream_keeps_does_not_go_up(fake: FakeOpenAI, item: Any) -> None:
    async with standing(fake) as it:
        fake.next(whole(COMPLETED), whole(COMPLETED))
        await it.sdk.responses.create(**ASKED)
        hello: Any = {"role": "user", "content": "Hi"}
        answer = await it.other.responses.with_raw_response.create(model="gpt", input=[item, hello])
    assert fake.last["input"] == [hello]
    warned = f"item_{item['type']}_ignored" if item["type"] != "reasoning" else None
    assert answer.headers.get("x-xrouter-warnings") == warned


async def test_ids_of_items_that_say_everything_stay_here(fake: FakeOpenAI) -> None:
    items: list[Any] = [{"role": "user", "content": "Hi"}, *OUTPUT[2:], {"role": "user", "content": "so?"}]
    async with standing(fake) as it:
        fake.next(whole(COMPLETED))
        await it.sdk.responses.create(model="gpt", input=items)
    assert [item.get("id") for item in fake.last["input"]] == [None] * 5


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "file_search", "vector_store_ids": ["vs_1"]},
        {"type": "code_interpreter", "container": "cntr_1"},
        {"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file_1"]}},
        {"type": "image_generation", "input_image_mask": {"file_id": "file_1"}},
        {"type": "mcp", "server_label": "x", "server_url": "http://10.0.0.1"},
        {"type": "mcp", "server_label": "x", "connector_id": "connector_gmail", "authorization": "t"},
        {"type": "shell", "environment": {"type": "container_reference", "container_id": "cntr_1"}},
    ],
    ids=lambda tool: json.dumps(tool)[9:60],
)
async def test_a_tool_that_names_what_the_upstream_keeps_or_an_address_is_left_out(
    fake: FakeOpenAI, tool: dict[str, Any]
) -> None:
    tools: list[Any] = [tool, {"type": "code_interpreter", "container": {"type": "auto"}}]
    async with standing(fake) as it:
        fake.next(whole(COMPLETED))
        answer = await it.sdk.responses.with_raw_response.create(**ASKED, tools=tools)
    assert fake.last["tools"] == tools[1:]
    assert answer.headers["x-xrouter-warnings"] == f"tool_{tool['type']}_ignored"


async def test_a_namespace_hides_no_such_tool(fake: FakeOpenAI) -> None:
    look = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
    evil = {"type": "mcp", "server_label": "x", "server_url": "http://10.0.0.1"}
    tools: list[Any] = [{"type": "namespace", "name": "a", "description": "A.", "tools": [look, evil]}]
    async with standing(fake) as it:
        fake.next(whole(COMPLETED))
        await it.sdk.responses.create(**ASKED, tools=tools)
    assert fake.last["tools"] == [{**tools[0], "tools": [look]}]


SEARCH: dict[str, Any] = {"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}}


async def test_a_choice_of_a_tool_that_runs_at_the_upstream_goes_up(fake: FakeOpenAI) -> None:
    async with standing(fake) as it:
        fake.next(whole(COMPLETED))
        await it.sdk.responses.create(**ASKED, **SEARCH)
    assert fake.last["tool_choice"] == SEARCH["tool_choice"]


async def test_who_would_have_to_translate_such_a_choice_is_passed_over(fake: FakeOpenAI) -> None:
    native = Candidate(Target(OpenAIProvider(fake.base_url, responses=True, name="second"), model="x"), "second/x")
    echo = Candidate(Target(EchoProvider(name="third"), model="echo"), "third/echo")
    async with standing(fake, echo, native, responses=False) as it:
        fake.next(whole(COMPLETED))
        await it.sdk.responses.create(**ASKED, **SEARCH)
    assert [context.provider for context in it.ended] == ["second"]


async def test_such_a_choice_is_refused_if_everybody_would_have_to_translate_it(fake: FakeOpenAI) -> None:
    echo = Candidate(Target(EchoProvider(name="second"), model="echo"), "second/echo")
    async with standing(fake, echo, responses=False) as it:
        with pytest.raises(openai.BadRequestError, match="only an upstream that speaks Responses runs") as caught:
            await it.sdk.responses.create(**ASKED, **SEARCH)
    assert (caught.value.param, fake.requests) == ("tool_choice", [])


async def test_members_that_could_steer_the_upstream_stay_here(fake: FakeOpenAI) -> None:
    async with standing(fake) as it:
        fake.next(whole(COMPLETED))
        answer = await it.sdk.responses.with_raw_response.create(**ASKED, extra_body={"api_base": "http://evil"})
    assert fake.last == {"model": "gpt-5.5", "input": "Hello there", "store": False}
    assert answer.headers["x-xrouter-warnings"] == "api_base_ignored"


async def test_reasoning_that_this_gateway_sealed_does_not_go_up(fake: FakeOpenAI) -> None:
    items: list[Any] = [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "xr1.eJwLzs9NBQAEPQGD"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "so?"},
    ]
    async with standing(fake) as it:
        fake.next(whole(COMPLETED))
        await it.sdk.responses.create(model="gpt", input=items)
    assert fake.last["input"] == items[1:]


async def test_an_error_before_the_first_item_keeps_its_status(fake: FakeOpenAI) -> None:
    error = {"code": "rate_limit_exceeded", "message": "Too fast."}
    failed = numbered([*EVENTS[:1], {"type": "response.failed", "response": {**RESPONSE, "error": error}}])
    async with standing(fake) as it:
        fake.next(refuse(400, "Bad schema.", param="text.format"))
        with pytest.raises(openai.BadRequestError, match="Bad schema"):
            await events_of(it.sdk)
        fake.next(*[told(*failed)] * 3)
        with pytest.raises(openai.RateLimitError, match="Too fast"):
            await events_of(it.sdk)


async def test_a_stream_that_breaks_fails_under_the_id_that_it_began_with(fake: FakeOpenAI) -> None:
    for script in (told(*EVENTS[:7]), told(*EVENTS[:7], *numbered([{"type": "error", "message": "Oh.", "code": "x"}]))):
        async with standing(fake) as it:
            fake.next(script)
            *_, last = await events_of(it.sdk)
        assert (last["type"], last["sequence_number"]) == ("response.failed", 7)
        assert last["response"]["id"] == RESPONSE["id"]
        assert last["response"]["status"] == "failed"


async def test_an_answer_that_is_cut_short_is_told_so(fake: FakeOpenAI) -> None:
    cut = {**COMPLETED, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    events = [*EVENTS[:-1], {**EVENTS[-1], "type": "response.incomplete", "response": cut}]
    async with standing(fake) as it:
        fake.next(told(*events), whole(cut))
        assert (await events_of(it.sdk))[-1] == events[-1]
        assert (await it.sdk.responses.create(**ASKED)).to_dict() == cut


async def test_an_upstream_without_responses_is_sent_translations(fake: FakeOpenAI) -> None:
    async with standing(fake) as it:
        for _ in range(2):
            answer = await it.sdk.responses.create(**ASKED)
            assert answer.output_text == "Hello there"
    assert [each.path for each in fake.requests] == ["/v1/responses", *["/v1/chat/completions"] * 2]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_conversation_falls_back_and_returns(fake: FakeOpenAI, streamed: bool) -> None:
    second = Candidate(Target(EchoProvider(name="second"), model="echo"), "second/echo")

    async def ask(**members: Any) -> dict[str, Any]:
        if streamed:
            response: dict[str, Any] = (await events_of(it.sdk, **members))[-1]["response"]
            return response
        whole_one: Response = await it.sdk.responses.create(**{**ASKED, **members})
        return whole_one.to_dict()

    async with standing(fake, second) as it:
        fake.next(told(*EVENTS) if streamed else whole(COMPLETED))
        first = await ask()
        fake.next(*[refuse(500)] * 5)
        echoed = await ask(input="in between", previous_response_id=first["id"])
        fake._scripts.clear()
        fake.next(told(*EVENTS) if streamed else whole(COMPLETED))
        await ask(input="and?", previous_response_id=echoed["id"])
    assert [context.provider for context in it.ended] == ["openai", "second", "openai"]
    said = [item.get("content") for item in fake.last["input"] if item["type"] == "message"]
    assert said[-1] == "and?" or said[-1][0]["text"] == "and?"
    assert said[-2][0]["text"] == "in between"


def test_the_usage_that_is_recorded_adds_up() -> None:
    assert USAGE["total_tokens"] == 2075 + 384
