from __future__ import annotations

import asyncio

import anyio
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.types import Message, Receive

from tests.asgi_client import body_messages, http_scope
from xrouter_asgi.asgi.body import AmbiguousLength, check_framing, read_body
from xrouter_asgi.asgi.disconnect import ClientDisconnected, DisconnectGuard, Interrupted
from xrouter_asgi.asgi.scope import local_path, peer_address
from xrouter_asgi.errors import PayloadTooLarge, UnsupportedMediaType
from xrouter_asgi.testing.virtual import now, virtual

segments = st.lists(st.text(alphabet="ab/%é ", max_size=4), max_size=4).map(lambda parts: "/" + "/".join(parts))
prefixes = st.one_of(st.just(""), segments)


def scripted(*messages: Message | BaseException) -> Receive:
    """A `receive` that follows a script and then waits for ever."""
    script = iter(messages)

    async def receive() -> Message:
        for message in script:
            if isinstance(message, BaseException):
                raise message
            return message
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # it is never set

    return receive


# The path


@pytest.mark.parametrize(
    ("path", "root_path", "app_root_path", "expected"),
    [
        pytest.param("/v1/models", "", "", "/v1/models", id="at the root"),
        pytest.param("/v1/models/", "", "", "/v1/models", id="Litestar: stripped, with a slash"),
        pytest.param("/llm/v1/models", "/llm", "", "/v1/models", id="Starlette, FastAPI, BlackSheep, hypercorn"),
        pytest.param("/llm/v1/models", "/proxy/llm", "/proxy", "/v1/models", id="a proxy stripped its part"),
        pytest.param("/proxy/llm/v1/models", "/proxy/llm", "/proxy", "/v1/models", id="a proxy left its part"),
        pytest.param("/v1/models", "/llm", "", "/v1/models", id="a mount stripped and told it"),
        pytest.param("/llm/v1/models", "/llm/", "", "/v1/models", id="a root_path with a slash"),
        pytest.param("/llm", "/llm", "", "/", id="the mount itself"),
        pytest.param("/llm/", "/llm", "", "/", id="the mount itself with a slash"),
        pytest.param("/llmv1/models", "/llm", "", "/llmv1/models", id="not at a segment boundary"),
        pytest.param("//v1/models", "", "", "//v1/models", id="a doubled slash"),
        pytest.param("/llm//v1/models", "/llm", "", "//v1/models", id="a doubled slash below the mount"),
        pytest.param("/v1/../v1/models", "", "", "/v1/../v1/models", id="dots are not resolved"),
        pytest.param("v1/models/", "", "", "/v1/models", id="Litestar: mounted at the root"),
        pytest.param("*", "", "", "/*", id="OPTIONS *"),
        pytest.param("http://x/v1/models", "", "", "/http://x/v1/models", id="h11: a whole URL"),
        pytest.param("", "", "", "/", id="nothing"),
    ],
)
def test_the_local_path_is_what_lies_below_the_mount(
    path: str, root_path: str, app_root_path: str, expected: str
) -> None:
    assert local_path({"path": path, "root_path": root_path, "app_root_path": app_root_path}) == expected


def test_a_scope_without_root_paths_is_at_the_root() -> None:
    assert local_path({"path": "/v1/models"}) == "/v1/models"


@given(path=segments | st.text(), root_path=prefixes | st.text(), app_root_path=prefixes | st.text())
@example(path="/ab", root_path="/a", app_root_path="")
@example(path="/a/b", root_path="/c/a", app_root_path="/c")
@example(path="/b", root_path="/ab", app_root_path="/a")
def test_only_whole_segments_and_trailing_slashes_are_ever_taken_off(
    path: str, root_path: str, app_root_path: str
) -> None:
    local = local_path({"path": path, "root_path": root_path, "app_root_path": app_root_path})

    assert local.startswith("/")
    assert local == "/" or not local.endswith("/")
    full = (path if path.startswith("/") else "/" + path).rstrip("/")
    tail = "" if local == "/" else local
    assert full.endswith(tail)
    prefix = full.removesuffix(tail)
    allowed = {"", root_path.rstrip("/"), root_path.removeprefix(app_root_path).rstrip("/")}
    assert prefix in allowed


@given(path=segments, mount=segments.map(lambda mount: mount.rstrip("/")).filter(bool))
def test_what_a_host_mounts_is_taken_off_again(path: str, mount: str) -> None:
    expected = path.rstrip("/") or "/"
    assert local_path({"path": mount + path, "root_path": mount}) == expected
    assert local_path({"path": "/proxy" + mount + path, "root_path": "/proxy" + mount}) == expected


# The body


async def test_the_parts_of_a_body_are_joined() -> None:
    receive = scripted(*body_messages(b"ab", b"", b"cd"))
    assert await read_body(http_scope("POST", "/"), receive, limit=4) == b"abcd"


async def test_a_message_without_a_body_is_an_empty_body() -> None:
    assert await read_body(http_scope("POST", "/"), scripted({"type": "http.request"}), limit=4) == b""


@pytest.mark.parametrize("length", [b"5", b"0" * 30 + b"5", b"9" * 5000, b"1" + b"0" * 30])
async def test_an_announced_length_beyond_the_limit_is_refused_unread(length: bytes) -> None:
    scope = http_scope("POST", "/", headers=[(b"content-length", length)])
    with pytest.raises(PayloadTooLarge, match="larger than 4 bytes"):
        await read_body(scope, scripted(AssertionError("it was read")), limit=4)


@pytest.mark.parametrize("length", [b"4", b"000000000000000000000000000000004", b"", b"-5", b"many"])
async def test_a_length_that_says_nothing_too_large_leaves_it_to_the_counting(length: bytes) -> None:
    scope = http_scope("POST", "/", headers=[(b"content-length", length)])
    assert await read_body(scope, scripted(*body_messages(b"abcd")), limit=4) == b"abcd"


async def test_a_body_that_grows_beyond_the_limit_is_refused_when_it_does() -> None:
    receive = scripted(
        {"type": "http.request", "body": b"abc", "more_body": True},
        {"type": "http.request", "body": b"de", "more_body": True},
        AssertionError("it was read on"),
    )
    with pytest.raises(PayloadTooLarge):
        await read_body(http_scope("POST", "/"), receive, limit=4)


@pytest.mark.parametrize(
    "header",
    [
        (b"content-encoding", b"gzip"),
        (b"content-encoding", b"identity, gzip"),
        (b"content-type", b"multipart/form-data; boundary=x"),
        (b"content-type", b"Multipart/Mixed"),
    ],
)
async def test_a_compressed_body_or_a_form_is_refused_unread(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(UnsupportedMediaType):
        await read_body(http_scope("POST", "/", headers=[header]), scripted(AssertionError("it was read")), limit=4)


@pytest.mark.parametrize(
    "header",
    [
        (b"content-encoding", b" Identity "),
        (b"content-type", b"application/json; charset=utf-8"),
        (b"content-type", b"application/x-www-form-urlencoded"),  # what curl says by default
        (b"transfer-encoding", b"chunked"),
    ],
)
async def test_a_body_that_may_be_json_is_read(header: tuple[bytes, bytes]) -> None:
    assert await read_body(http_scope("POST", "/", headers=[header]), scripted(*body_messages(b"{}")), limit=4) == b"{}"


def test_a_request_with_two_ways_to_end_is_refused() -> None:
    headers = [(b"transfer-encoding", b"chunked"), (b"content-length", b"2")]
    with pytest.raises(AmbiguousLength):
        check_framing(http_scope("POST", "/", headers=headers))


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_told_apart() -> None:
    receive = scripted({"type": "http.request", "body": b"a", "more_body": True}, {"type": "http.disconnect"})
    with pytest.raises(ClientDisconnected):
        await read_body(http_scope("POST", "/"), receive, limit=4)


# The client that leaves


class Client:
    """A client that leaves when it is told to."""

    def __init__(self) -> None:
        self._left = asyncio.Event()

    def leave(self) -> None:
        self._left.set()

    async def receive(self) -> Message:
        await self._left.wait()
        return {"type": "http.disconnect"}


async def forever() -> None:
    await asyncio.Event().wait()


async def test_the_guard_cancels_what_is_inside_and_swallows_that() -> None:
    client = Client()
    async with DisconnectGuard(client.receive) as guard:
        asyncio.get_running_loop().call_soon(client.leave)
        await forever()
    assert guard.client_left
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_the_guard_ends_what_is_inside_when_it_is_told_to() -> None:
    async def inside() -> None:
        async with DisconnectGuard(Client().receive) as guard:
            asyncio.get_running_loop().call_soon(guard.interrupt, "enough")
            await forever()

    with pytest.raises(Interrupted, match="enough"):
        await inside()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_an_interruption_comes_too_late_when_the_client_has_left() -> None:
    client = Client()
    async with DisconnectGuard(client.receive) as guard:
        asyncio.get_running_loop().call_soon(client.leave)
        try:
            await forever()
        finally:
            guard.interrupt("too late")
    assert guard.client_left


async def test_nothing_is_added_to_an_interruption() -> None:
    client = Client()

    async def inside() -> None:
        async with DisconnectGuard(client.receive) as guard:
            asyncio.get_running_loop().call_soon(guard.interrupt, "enough")
            try:
                await forever()
            finally:
                guard.interrupt("more than that")
                client.leave()
                for _ in range(3):
                    await asyncio.sleep(0)  # the guard hears that the client left

    with pytest.raises(Interrupted, match="enough"):
        await inside()


async def test_the_guard_lets_what_ends_in_time_alone() -> None:
    async with DisconnectGuard(Client().receive) as guard:
        await asyncio.sleep(0)
    assert not guard.client_left


@virtual
async def test_the_client_is_watched_from_20_ms_on_and_its_leaving_is_noticed_at_once() -> None:
    watched_at: list[float] = []

    async def receive() -> Message:
        watched_at.append(now())
        await asyncio.sleep(1.0)
        return {"type": "http.disconnect"}

    async with DisconnectGuard(receive) as guard:
        await forever()
    assert guard.client_left
    assert (watched_at, now()) == ([0.02], 1.02)


async def test_the_guard_stops_receiving_when_it_is_left() -> None:
    asked, stopped = asyncio.Event(), asyncio.Event()

    async def receive() -> Message:
        asked.set()
        try:
            await forever()
        finally:
            stopped.set()
        raise AssertionError

    async with DisconnectGuard(receive):
        await asked.wait()
    async with asyncio.timeout(5):
        await stopped.wait()


@virtual
async def test_what_takes_less_than_20_ms_never_asks_whether_the_client_left() -> None:
    asked = asyncio.Event()

    async def receive() -> Message:
        asked.set()
        return {"type": "http.disconnect"}

    async with DisconnectGuard(receive) as guard:
        await asyncio.sleep(0.019)
    await asyncio.sleep(1.0)
    assert not asked.is_set()
    assert not guard.client_left


async def test_an_error_inside_passes_the_guard_even_when_the_client_left() -> None:
    client = Client()

    async def failing() -> None:
        client.leave()
        try:
            await forever()
        except asyncio.CancelledError:
            raise ValueError("broken") from None

    with pytest.raises(ValueError, match="broken"):
        async with DisconnectGuard(client.receive):
            await failing()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_cancellation_from_outside_passes_the_guard() -> None:
    inside = asyncio.Event()

    async def guarded() -> None:
        async with DisconnectGuard(Client().receive):
            inside.set()
            await forever()

    task = asyncio.create_task(guarded())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_from_outside_passes_even_when_the_client_left_too() -> None:
    client = Client()

    async def guarded() -> None:
        async with DisconnectGuard(client.receive):
            client.leave()
            try:
                await forever()
            finally:
                asyncio.get_running_loop().call_soon(task.cancel)
                await forever()

    task = asyncio.create_task(guarded())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_a_time_limit_around_the_guard_still_ends_as_one() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0), DisconnectGuard(Client().receive):
            await forever()


async def test_a_time_limit_around_the_guard_does_not_claim_the_client_s_leaving() -> None:
    client = Client()
    async with asyncio.timeout(60) as limit, DisconnectGuard(client.receive) as guard:
        client.leave()
        await forever()
    assert guard.client_left
    assert not limit.expired()


async def test_a_time_limit_inside_the_guard_does_not_claim_the_client_s_leaving() -> None:
    client = Client()
    async with DisconnectGuard(client.receive) as guard, asyncio.timeout(60):
        client.leave()
        await forever()
    assert guard.client_left


async def test_guards_nest() -> None:
    client, other = Client(), Client()
    async with DisconnectGuard(other.receive) as outer:
        async with DisconnectGuard(client.receive) as inner:
            client.leave()
            await forever()
        assert inner.client_left
        await asyncio.sleep(0)
    assert not outer.client_left


async def test_a_cancelled_scope_of_anyio_around_the_guard_ends_as_one() -> None:
    with anyio.CancelScope() as scope:
        async with DisconnectGuard(Client().receive):
            asyncio.get_running_loop().call_soon(scope.cancel)
            await forever()
    assert scope.cancelled_caught


async def test_the_client_s_leaving_is_no_cancellation_of_a_scope_of_anyio() -> None:
    client = Client()
    with anyio.CancelScope() as scope:
        async with DisconnectGuard(client.receive) as guard:
            client.leave()
            await anyio.sleep_forever()
        await asyncio.sleep(0)
    assert guard.client_left
    assert not scope.cancelled_caught


async def test_a_scope_of_anyio_inside_the_guard_does_not_hold_up_the_client_s_leaving() -> None:
    client = Client()
    async with DisconnectGuard(client.receive) as guard, anyio.create_task_group() as group:
        group.start_soon(forever)
        client.leave()
    assert guard.client_left


async def test_a_receive_that_raises_only_means_that_nobody_tells() -> None:
    async with DisconnectGuard(scripted(RuntimeError("receive called twice"))) as guard:
        for _ in range(5):
            await asyncio.sleep(0)
    assert not guard.client_left


async def test_a_receive_that_repeats_the_body_for_ever_neither_spins_nor_hangs() -> None:
    calls = 0

    async def receive() -> Message:
        nonlocal calls
        calls += 1
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async with DisconnectGuard(receive) as guard:
        for _ in range(100):
            await asyncio.sleep(0)
    assert not guard.client_left
    assert calls <= 2


async def test_a_cancellation_that_nobody_asked_for_is_a_defect() -> None:
    """A task that several requests await may be cancelled by one that leaves."""
    shared = asyncio.create_task(forever())
    asyncio.get_running_loop().call_soon(shared.cancel)
    with pytest.raises(RuntimeError, match="was cancelled, but not this task"):
        async with DisconnectGuard(Client().receive):
            await shared


async def test_outside_a_task_the_guard_says_so() -> None:
    loop = asyncio.get_running_loop()
    raised = loop.create_future()

    def enter() -> None:
        try:
            DisconnectGuard(Client().receive).__aenter__().send(None)
        except RuntimeError as error:
            raised.set_result(str(error))

    loop.call_soon(enter)
    assert await raised == "DisconnectGuard works inside a task of asyncio only."


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("192.0.2.1", 1), "192.0.2.1"),
        (("::ffff:192.0.2.1", 1), "192.0.2.1"),
        (("2001:db8:1:2:3::4", 1), "2001:db8:1:2::/64"),
        (("2001:DB8:1:2:ffff::", 1), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 1), "fe80::/64"),
        (("testclient", 1), "testclient"),
        (None, ""),
    ],
)
def test_the_address_of_a_peer_is_what_one_customer_holds(client: tuple[str, int] | None, address: str) -> None:
    assert peer_address({"client": client, "headers": [(b"x-forwarded-for", b"198.51.100.7")]}) == address


def test_a_scope_without_a_client_has_no_address() -> None:
    assert peer_address({}) == ""
