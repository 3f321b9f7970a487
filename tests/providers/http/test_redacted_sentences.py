"""Sentences of upstreams that clients need as they are, and sentences that tell where the upstream lives."""

from __future__ import annotations

import time

import pytest

from xrouter_asgi.providers.http import Redaction, UpstreamErrorBody

REDACT = Redaction(["our-secret-key"], hosts=["gw-7.llm.example.com", "10.0.0.7", "vllm"])

PASSING = [
    "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.",
    "The model `gpt-4o-2024-08-06` does not exist or you do not have access to it.",
    "The model meta-llama/Llama-3.1-8B-Instruct is not served here.",
    "Model llama3.1:70b needs more memory than is there.",
    "Model deepseek-r1:671b-q4_K_M was not found, pull it first.",
    "Model mistral-large:2411 is not loaded.",
    "Use us.anthropic.claude-3-5-sonnet-20241022-v2:0 instead.",
    "Use anthropic.claude-3-sonnet-20240229-v1:0:200k instead.",
    "Publisher model claude-3-5-sonnet@20241022 was not found.",
    "Model @cf/meta/llama-3.1-8b-instruct is deprecated.",
    "models/gemini-1.5-pro:generateContent is not supported.",
    "Model ft:gpt-3.5-turbo:my-team:custom:7p4lURel is not ready.",
    "hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M is no chat model.",
    "accounts/fireworks/models/llama-v3p1-8b-instruct is not deployed.",
    "The engine vllm is restarting.",
    "GigaChat-2-Max is not in your tariff.",
    "Invalid 'messages.0.content.1.text': string too long.",
    "messages[0].content[1].image_url.url: no such image.",
    "body.messages.3.tool_calls.0.function.arguments: Field required",
    "tools.0.function.parameters.properties.local: unknown type.",
    "Invalid value at '/messages/0/content': expected a string.",
    "Unknown request URL: POST /v1/chat/completion. Try /v1/chat/completions.",
    "GET /v1/models/{model} is not allowed.",
    "Unsupported media type application/x-ndjson, send application/json.",
    "image/svg+xml is not supported, use image/png or image/jpeg.",
    "Pictures come as data:image/png;base64 texts.",
    "Missing bearer token in the header.",
    "Bearer authentication is needed.",
    "Basic authentication is not supported.",
    "Please try again in 9.816s.",
    "Rate limit reached at 12:30:45, on 2026-11-30.",
    "Requested 12000, limit:8000, used:7000.",
    "invalid temperature: only 1 is allowed for this model",
    "Expected a value >= 0 and <= 2, but got 2.5 instead.",
    "error:1261 Prompt exceeds max length",
    "Range of input length should be [1, 129024], slice [0:2] is given.",
    "std::invalid_argument: n_ctx is 0",
    "vLLM 0.6.3.post1 does not support guided_json.",
    "org-wide and/or project-wide limits, e.g. tokens/min, apply.",
    "Сообщение слишком длинное: 9000 токенов, предел 8192.",
    "Only one of 'a' and 'b' may be given, i.e. not both (a/b).",
    "Use max_completion_tokens:4096 or less, at line:1024.",
]

LOSING = {
    "See https://platform.internal/docs.": "See [redacted].",
    "Post to (http://10.1.2.3:8000/v1/chat) failed": "Post to ([redacted]) failed",
    'Post "https://a.example/v1": EOF': 'Post "[redacted]": EOF',
    "redis://user:pass@cache:6379/0 is down": "[redacted] is down",
    "s3://weights/llama/ is not there": "[redacted] is not there",
    "read file:///etc/passwd, no": "read [redacted], no",
    "dial tcp 10.1.2.3:8443: refused": "dial tcp [redacted]: refused",
    "node 192.168.17.4 is down.": "node [redacted] is down.",
    "upstream 127.0.0.1 refused": "upstream [redacted] refused",
    "at [fd00::17]:8000 nobody listens": "at [redacted] nobody listens",
    "at fe80::1 nobody listens": "at [redacted] nobody listens",
    "at 2001:db8:0:0:0:0:0:17 nobody listens": "at [redacted] nobody listens",
    "gw.example.org:9443 is down": "[redacted] is down",
    "localhost:11434 is down": "[redacted] is down",
    "dial tcp gpu-7:8000: refused": "dial tcp [redacted]: refused",
    "lookup vllm:8000 failed": "lookup [redacted] failed",
    "lookup node.internal: no such host": "lookup [redacted]: no such host",
    "vllm-0.models.svc.cluster.local is down.": "[redacted] is down.",
    "vllm.models.svc is down": "[redacted] is down",
    "printer.lan, nas.local": "[redacted], [redacted]",
    "in dc1.bank.corp now": "in [redacted] now",
    "host gpu.invalid:1 now": "host [redacted] now",
    "gw-7.llm.example.com is busy": "[redacted] is busy",
    "The pool of llm.example.com is full.": "The pool of [redacted] is full.",
    "LLM.Example.COM, EXAMPLE.com": "[redacted], [redacted]",
    "billing.example.com:443 says no": "[redacted] says no",
    "ask admin@bank.example, please": "ask [redacted], please",
    "ssh root@10-0-0-7.ec2.example failed": "ssh [redacted] failed",
    'File "/usr/lib/python3.11/asyncio/runners.py", line 190': 'File "[redacted]", line 190',
    "No such file: /home/user/models/x.gguf": "No such file: [redacted]",
    "cannot read /opt/models (mode 600)": "cannot read [redacted] (mode 600)",
    "/root is full, /tmp too": "[redacted] is full, [redacted] too",
    "error:/var/log/x.log: no space": "error:[redacted]: no space",
    "see '/app/server/main.py'": "see '[redacted]'",
    "/srv/a, /mnt/b; /usr/c": "[redacted], [redacted]; [redacted]",
    r"C:\models\llama.gguf is broken": "[redacted] is broken",
    r"in D:\\srv\\x, no": "in [redacted], no",
    "Incorrect API key provided: sk-proj-****abcd": "Incorrect API key provided: [redacted]",
    "organization org-AbCd1234567890 on tokens": "organization [redacted] on tokens",
    "key AIzaSyD-1234567890abcdef is bad": "key [redacted] is bad",
    "token hf_AbCdEfGhIjKlMnOpQrStUvWxYz here": "token [redacted] here",
    "sent Authorization: Bearer abc.def": "sent Authorization: [redacted]",
    "sent Bearer AbCdEfGhIjKlMnOpQrStUvWx": "sent [redacted]",
    "eyJhbGciOiJIUzI1NiJ9.e30.x has expired": "[redacted] has expired",
    "we sent our-secret-key": "we sent [redacted]",
}

WORST = ["a." * 32_768, "a@" * 32_768, "/home/" * 11_000, "1.1.1." * 11_000, "::1:" * 16_384, "[::" * 21_845]
WORST += ["x://" * 16_384, "a-" * 32_768, "bearer " * 9_400, "basic a" * 9_400, "sk-" * 21_845, "C:\\" * 21_845]
WORST += ["<title" * 11_000, "< " * 32_768, "a" * 65_536, "http://" + "." * 65_536, "1:" * 32_768, "hf_a-" * 13_000]
WORST += ["example." * 8_192, "<p " * 21_845]


def test_there_are_forty_of_each() -> None:
    assert len(PASSING) >= 40
    assert len(LOSING) >= 40


@pytest.mark.parametrize("sentence", PASSING)
def test_what_clients_need_passes_unchanged(sentence: str) -> None:
    assert REDACT(sentence) == sentence


@pytest.mark.parametrize(("sentence", "shown"), LOSING.items())
def test_what_tells_of_the_upstream_is_taken_out(sentence: str, shown: str) -> None:
    assert REDACT(sentence) == shown


@pytest.mark.parametrize("worst", WORST, ids=lambda text: text[:8])
def test_the_work_for_64_kib_of_the_worst_text_is_bounded(worst: str) -> None:
    began = time.process_time()
    UpstreamErrorBody.of_value({"message": worst}, REDACT)
    assert time.process_time() - began < 0.2


def test_the_log_keeps_the_places_and_no_secret() -> None:
    said = UpstreamErrorBody.of(b'{"error": "gw.internal:80 refused our-secret-key"}', REDACT)
    assert (said.message, said.logged) == ("[redacted] refused [redacted]", "gw.internal:80 refused [redacted]")
