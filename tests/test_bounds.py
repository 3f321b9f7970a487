"""Every number of "Every bound" in docs/operations.md is the one in the code."""

from __future__ import annotations

import inspect
import re
import socket
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from xrouter_asgi.admission import bodies, descriptors
from xrouter_asgi.admission import memory as admission_memory
from xrouter_asgi.alerts import alerts
from xrouter_asgi.asgi import lifespan, responses
from xrouter_asgi.bookkeeping import ledger as bookkeeping
from xrouter_asgi.cli.keys import rows
from xrouter_asgi.database import database
from xrouter_asgi.keys import cache, changes, issuer, secret, spec, sql
from xrouter_asgi.ledger import base as ledger_base
from xrouter_asgi.ledger import seeded
from xrouter_asgi.limits import estimates, memory, redis, scripts, store_health
from xrouter_asgi.middleware.auth import credential
from xrouter_asgi.policies import affinity, base, breaker, hedge, retry, retry_budget
from xrouter_asgi.policies.backoff import Backoff
from xrouter_asgi.policies.circuit import Thresholds
from xrouter_asgi.policies.stack import Patience
from xrouter_asgi.providers import own_key
from xrouter_asgi.providers.anthropic import listing
from xrouter_asgi.providers.anthropic import provider as anthropic
from xrouter_asgi.providers.gigachat import GigaChatProvider, chat
from xrouter_asgi.providers.gigachat import provider as gigachat
from xrouter_asgi.providers.gigachat.auth import tokens
from xrouter_asgi.providers.gigachat.files import downloads, types, uploads
from xrouter_asgi.providers.gigachat.request import attachments, json_refs
from xrouter_asgi.providers.http import cancel_safe, connection, parser, transport
from xrouter_asgi.providers.http.upstream import Timeouts, Upstream
from xrouter_asgi.providers.http.waits import LONGEST_WAIT as LONGEST_RETRY_AFTER
from xrouter_asgi.providers.openai import provider as openai
from xrouter_asgi.queueing import adaptive, slots
from xrouter_asgi.queueing.slots import Slots
from xrouter_asgi.router import table
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.server import acceptor, bounds, connections, listener
from xrouter_asgi.server.bounds import ClientBounds
from xrouter_asgi.settings.alerts import AlertsSettings
from xrouter_asgi.settings.layers import AdmissionSettings
from xrouter_asgi.settings.metrics import MetricsPushSettings
from xrouter_asgi.settings.providers import GigaChatSettings
from xrouter_asgi.settings.server import ServerSettings
from xrouter_asgi.settings.telemetry import TracingSettings
from xrouter_asgi.telemetry import access_log, collector, metrics_push, span_exporter, spans
from xrouter_asgi.wire import ChatRequest, codec, embeddings, reading, sse

PAGE = (Path(__file__).parent.parent / "docs/operations.md").read_text("utf-8")
TABLE = PAGE.partition("\n## Every bound\n")[2].partition("\n## ")[0]
ROWS = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", TABLE, re.MULTILINE)[1:])

_UNITS = {"": 1, "ms": 0.001, "minutes": 60, "hour": 3600, "hours": 3600, "KiB": 1 << 10, "MiB": 1 << 20, "%": 0.01}
_NUMBER = re.compile(r"(?<![\w`])(\d[\d,]*(?:\.\d+)?)(?: (ms|minutes|hours|hour|KiB|MiB|%)(?!\w))?")


def numbers(text: str) -> list[float]:
    """Every number of a text: in seconds, bytes and parts of 1."""
    found = _NUMBER.findall(text.replace("HTTP/2", "").replace("a 429", ""))
    return [float(digits.rstrip(",").replace(",", "")) * _UNITS[unit] for digits, unit in found]


def default(function: Callable[..., Any], name: str) -> Any:
    """The default of an option of a class or a function."""
    return inspect.signature(function).parameters[name].default


def same(*values: Any) -> Any:
    """A bound that more than one place has."""
    assert len(set(values)) == 1, values
    return values[0]


def keepalive_options() -> list[int]:
    """What the kernel is told about clients whose machine is gone."""
    if sys.platform != "linux":
        pytest.skip("These options are Linux's.")
    names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPCNT, socket.TCP_KEEPINTVL)
    with closing(listener.listener_at("127.0.0.1", 0)) as bound:
        return [bound.getsockopt(socket.IPPROTO_TCP, name) for name in names]


_timeouts = Timeouts()
_backoff = Backoff()
_thresholds = Thresholds()
_client = ClientBounds()
_settings = ServerSettings()

BOUNDS: dict[str, Callable[[], list[float]]] = {
    "a request": lambda: [
        same(default(LLMRouter, "max_body"), _settings.max_body),
        codec.MAX_DEPTH,
        codec.MAX_VALUES,
        codec.SMALL,
        codec.MAX_DIGITS,
        reading.LARGE,
        reading.MANY,
    ],
    "an answer of an upstream": lambda: [
        same(openai.MAX_BODY, chat._LIMIT, default(Upstream.fetch, "limit")),
        sse.MAX_EVENT,
        parser.MAX_HEAD,
        parser.MAX_FIELDS,
        reading.SMALL,
    ],
    "an answer with embeddings": lambda: [
        embeddings.answer_limit(0),
        embeddings.answer_limit(1) - embeddings.answer_limit(0),
        embeddings.answer_limit(2048),
    ],
    "a stop sequence": lambda: [
        ChatRequest.model_json_schema()["properties"]["stop"]["anyOf"][0]["oneOf"][0]["maxLength"]
    ],
    "to connect to an upstream": lambda: [_timeouts.connect],
    "to send it a request": lambda: [_timeouts.write],
    "its first byte, or first event of a stream": lambda: [_timeouts.first],
    "between two reads of its answer": lambda: [_timeouts.idle],
    "the whole of it": lambda: [same(_timeouts.total, Patience().total)],
    "silence in a stream to a client": lambda: [same(default(LLMRouter, "commit_after"), _settings.commit_after)],
    "calls to upstreams for one request": lambda: [
        base.ATTEMPTS,
        same(Patience().attempts, default(retry.Retry, "attempts")),
    ],
    "the wait before a retry": lambda: [_backoff.base, _backoff.cap, _backoff.longest],
    "a target that fails 20 times in a row, or 50 % of at least 20 calls in 30 s, while there is another": lambda: [
        _thresholds.minimum,
        _thresholds.failure_share,
        _thresholds.minimum,
        _thresholds.window,
        _thresholds.open_for,
        _thresholds.probes,
        _thresholds.open_at_most,
    ],
    "a target or account that wants no requests, of a model with several targets": lambda: [
        LONGEST_RETRY_AFTER,
        breaker._COOLDOWN["rate"],
        breaker._LONGEST_PASSING,
        breaker._COOLDOWN["credential"],
        breaker._COOLDOWN["quota"],
    ],
    "retries at one provider": lambda: [
        default(retry_budget.RetryBudget, "ratio"),
        retry_budget._WINDOW,
        default(retry_budget.RetryBudget, "per_second"),
        retry_budget._DEAD,
    ],
    "hedges": lambda: [hedge._BURST, hedge._MINIMUM, hedge._QUANTILE, hedge._REMEMBERED],
    "connections to one upstream": lambda: [
        same(default(Upstream, "max_connections"), default(transport.HTTPTransport, "max_connections")),
        _timeouts.pool,
        same(transport.KEEPALIVE, default(transport.HTTPTransport, "keepalive")),
    ],
    "calls at once with a provider or target that has `max_parallel`": lambda: [
        default(Slots, "queue"),
        default(Slots, "queue_timeout"),
        slots._BURST,
        slots._LONGEST_DELAY,
        slots._CALLS_AHEAD,
        adaptive._MINIMUM,
        *(default(adaptive.AdaptiveLimit, name) for name in ("maximum", "initial")),
    ],
    "chats at once with a GigaChat account": lambda: [
        *(1, 10),  # tests/providers/gigachat/test_chat.py: test_a_companys_key_has_ten_chats_under_way and its like
        default(Slots, "queue"),
        same(default(GigaChatProvider, "queue_timeout"), GigaChatSettings.model_fields["queue_timeout"].default),
    ],
    "an access token of GigaChat": lambda: [
        tokens._TRIES,
        default(tokens.TokenSource, "patience"),
        tokens._AFTER_REFUSAL,
        tokens._AFTER_OUTAGE,
        tokens._AHEAD,
        tokens._AT_ONCE,
    ],
    "files for GigaChat": lambda: [
        *(types.LIMITS[kind] for kind in ("image", "audio", "document")),
        uploads._MAX_MEDIA,
        attachments.MAX_IMAGES,
        uploads._LONGEST_PERCENT,
    ],
    "the schemas of all functions for GigaChat, with what their references repeat": lambda: [
        json_refs.MAX_NODES,
        json_refs.MAX_TEXT,
    ],
    "files for GigaChat that are fetched": lambda: [
        default(downloads.Downloads, "timeout"),
        downloads._MAX_REDIRECTS,
    ],
    "files at GigaChat": lambda: [default(uploads.Uploads, name) for name in ("capacity", "life")],
    "conversations whose target is remembered (`session_affinity`)": lambda: [affinity._CONVERSATIONS],
    "the list of models": lambda: [
        table.PATIENCE,
        same(openai.MODELS_TTL, anthropic.MODELS_TTL),
        gigachat.MODELS_TTL,
        listing.MAX_PAGES,
        listing.PAGE,
    ],
    "read ahead of a slow client": lambda: [connection.HIGH_WATER, cancel_safe.AHEAD],
    "an idle connection of a client": lambda: [_client.idle],
    "its first byte on a new connection": lambda: [_client.first],
    "the head of its request": lambda: [_client.head, _client.head_size, _client.fields],
    "the body of its request": lambda: [
        *(_client.body, 1, _client.body_rate, _client.head_size),
        8,  # tests/server/test_framing.py: test_a_body_is_refused_that_is_nothing_but_framing
    ],
    "connections of clients": lambda: [
        *(descriptors._OURS, connections._RESERVE, connections._RESERVE_OF_ADDRESS),
        *(bounds._HURRY, bounds._HURRY, acceptor._WAITING),
    ],
    "bodies of running requests": lambda: [bodies.SMALL],
    "memory": lambda: [admission_memory.STREAMS_UNTIL, admission_memory.REQUESTS_UNTIL],
    "lag of the event loop": lambda: [AdmissionSettings().lag],
    "what the kernel keeps for a client that does not read": lambda: [listener._UNSENT],
    "a client that does not read": lambda: [_client.write],
    "a client that is refused while it sends": lambda: [_client.linger],
    "a client whose machine is gone": lambda: [*map(float, keepalive_options())],
    "a field of a head that says how a request was routed": lambda: [
        responses._LONGEST,
        same(access_log._LONGEST, spans._LONGEST),
    ],
    "known keys, wrong keys": lambda: [cache.CAPACITY, cache.TTL, cache.NEGATIVE_TTL, cache.STALE_IF_ERROR],
    "a lookup of a key": lambda: [cache.TIMEOUT, cache.PATIENCE, database.TIMEOUT, cache.RETRY_INTERVAL],
    "the last use of a key": lambda: [sql.FLUSH_INTERVAL],
    "a key of another gateway": lambda: [secret.MAX_LENGTH, issuer.MIN_BITS],
    "texts of a key (name, owner, groups, models, limits)": lambda: [spec.MAX_TEXT],
    "groups of a key, reasons for a change": lambda: [spec.MAX_GROUPS, issuer.MAX_REASON],
    "notifications of changed keys": lambda: [changes.TIMEOUT, changes.RETRY_INTERVAL, changes.PING],
    "keys of a file (`xrouter keys create --from`)": lambda: [rows.MAX_ROWS, rows.MAX_BYTES, rows.MAX_TOLD],
    "wrong keys of an address": lambda: [
        credential.BURST / credential.INTERVAL,
        credential.BURST / credential.LOOKUP_INTERVAL,
        credential.ADDRESSES,
        credential.TRUSTED,
    ],
    "callers' own credentials": lambda: [own_key.CAPACITY],
    "counts in memory": lambda: [memory.MAX_SUBJECTS],
    "waiting for Redis": lambda: [
        default(redis.RedisLimits, "timeout"),
        store_health._CONNECT_TIMEOUT,
        store_health._FIRST_PAUSE,
        2 * store_health._FIRST_PAUSE,
        store_health._LONGEST_PAUSE,
        store_health._LONGEST_PAUSE,
        redis.MAX_UNSENT,
    ],
    "parallel requests of a process that died": lambda: [default(redis.RedisLimits, "slot_ttl")],
    "a request that is counted in Redis": lambda: [scripts._LEASE_TTL],
    "the tokens an answer is expected to have": lambda: [
        estimates.ASSUMED_OUTPUT,
        estimates._QUANTILE,
        estimates._ANSWERS,
        estimates._ENOUGH,
        estimates._PAIRS,
    ],
    "lines of the access log": lambda: [access_log.DELAY, access_log.LIMIT],
    "spans that wait": lambda: [span_exporter.QUEUE, span_exporter.DELAY],
    "an export of spans or metrics": lambda: [
        same(collector.TIMEOUT, TracingSettings.model_fields["timeout"].default),
        collector._FIRST_PAUSE,
        collector._LONGEST_PAUSE,
        span_exporter.FLUSH,
    ],
    "metrics for a collector": lambda: [
        same(metrics_push.INTERVAL, MetricsPushSettings.model_fields["interval"].default)
    ],
    "alerts that wait": lambda: [
        alerts._QUEUE,
        alerts.PATIENCE,
        same(default(alerts.Alerts, "cooldown"), AlertsSettings.model_fields["cooldown"].default),
    ],
    "entries of the ledger that wait": lambda: [bookkeeping.QUEUE, bookkeeping.BATCH, bookkeeping.DELAY],
    "old entries of the ledger": lambda: [ledger_base.PRUNED_AT_ONCE],
    "a budget that begins at the ledger": lambda: [seeded.PATIENCE],
    "running requests after SIGTERM": lambda: [_settings.drain],
    "closing at the end": lambda: [lifespan.PATIENCE],
}
"""By the first cell of a row: the bounds in the code, in the order of the row's numbers."""

_WITHOUT_NUMBERS = {
    "an answer or a held stream that is cut short, a name that is not found, an overloaded upstream",
}


def test_every_row_is_compared() -> None:
    assert list(ROWS) == [row for row in ROWS if row in BOUNDS or row in _WITHOUT_NUMBERS]
    assert BOUNDS.keys() | _WITHOUT_NUMBERS == ROWS.keys()


@pytest.mark.parametrize("row", BOUNDS)
def test_every_number_of_a_row_is_that_of_the_code(row: str) -> None:
    assert numbers(f"{row}: {ROWS[row]}") == pytest.approx(BOUNDS[row]())


@pytest.mark.parametrize("row", _WITHOUT_NUMBERS)
def test_a_row_that_is_not_compared_has_no_number(row: str) -> None:
    assert numbers(f"{row}: {ROWS[row]}") == []
