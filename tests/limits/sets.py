"""A Sentinel set and a cluster of real servers, as Debian installs them."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.limits.servers import free_port

SERVICE = "limits"


def skip_without_redis() -> None:
    """Skip the test where Debian's packages are missing."""
    missing = [name for name in ("redis-server", "redis-sentinel", "redis-cli") if not shutil.which(name)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: apt-get install redis-server redis-sentinel redis-tools")


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait for other processes."""
    deadline = time.monotonic() + 30
    while True:
        try:
            if condition():
                return
        except RedisError:
            pass
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not happen")
        time.sleep(0.05)


@contextmanager
def running(program: str, folder: Path, port: int, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server until the end of the block."""
    folder.mkdir()
    config = folder / "server.conf"
    config.write_text("\n".join((f"port {port}", "bind 127.0.0.1", *options)))
    process = subprocess.Popen([program, str(config)], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with Redis(port=port) as client:
            wait_until(client.ping, f"{program} on port {port}")
        yield process
    finally:
        process.kill()
        process.wait()


def _port_with_a_bus() -> int:
    """A port whose node can talk to the others 10,000 ports higher."""
    while (port := free_port()) > 55_000:
        pass
    return port


class SentinelSet:
    """A master, a replica, and three Sentinels, which name the replica half a second after the master died."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.master_port, self.replica_port = free_port(), free_port()
        self.sentinels = [free_port() for _ in range(3)]
        quiet = ("save ''", "appendonly no", "repl-diskless-sync-delay 0")
        self.master = stack.enter_context(running("redis-server", folder / "master", self.master_port, *quiet))
        replica_of = f"replicaof 127.0.0.1 {self.master_port}"
        stack.enter_context(running("redis-server", folder / "replica", self.replica_port, *quiet, replica_of))
        with Redis(port=self.master_port) as client:
            wait_until(lambda: client.info("replication")["connected_slaves"] == 1, "replication")
        options = (
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.master_port} 2",
            f"sentinel down-after-milliseconds {SERVICE} 500",
            f"sentinel failover-timeout {SERVICE} 2000",
        )
        for number, port in enumerate(self.sentinels):
            stack.enter_context(running("redis-sentinel", folder / f"sentinel {number}", port, *options))
        for port in self.sentinels:
            with Redis(port=port, decode_responses=True) as client:
                wait_until(lambda: self._is_known(client), "the discovery of Sentinels")
        self.url = f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in self.sentinels)}/{SERVICE}"

    @property
    def current(self) -> int:
        """The port of the master that the Sentinels name."""
        with Redis(port=self.sentinels[0]) as client:
            return int(client.sentinel_get_master_addr_by_name(SERVICE)[1])

    def fail_over(self) -> None:
        """Make the replica the master, and wait until the old one follows it."""
        before = self.current
        with Redis(port=self.sentinels[0]) as client:
            wait_until(lambda: client.execute_command("SENTINEL FAILOVER", SERVICE), "the order to fail over")
        wait_until(lambda: self.current != before, "the fail-over")
        with Redis(port=before) as client:
            wait_until(lambda: client.info("replication")["role"] == "slave", "the demotion")

    def flush(self) -> None:
        with Redis(port=self.current) as client:
            client.flushall()

    @staticmethod
    def _is_known(client: Redis) -> bool:
        state = client.execute_command("SENTINEL MASTER", SERVICE)  # type: ignore[no-untyped-call]  # redis-py's
        return bool(state["num-other-sentinels"] == 2 and state["num-slaves"] == 1)


class ThreeNodes:
    """A cluster of three masters."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.ports = [_port_with_a_bus() for _ in range(3)]
        options = ("save ''", "appendonly no", "cluster-enabled yes", "cluster-node-timeout 2000")
        for number, port in enumerate(self.ports):
            stack.enter_context(running("redis-server", folder / f"node {number}", port, *options))
        nodes = [f"127.0.0.1:{port}" for port in self.ports]
        subprocess.run(["redis-cli", "--cluster", "create", *nodes, "--cluster-yes"], check=True, capture_output=True)
        for port in self.ports:
            with Redis(port=port, decode_responses=True) as client:
                wait_until(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok", "the cluster")
        self.url = f"redis+cluster://{nodes[0]},{nodes[1]}"

    def move(self, slot: int) -> int:
        """Give an empty slot to another node. Returns the port of that node."""
        with ExitStack() as stack:
            clients = [stack.enter_context(Redis(port=port)) for port in self.ports]
            ranges = clients[0].execute_command("CLUSTER SLOTS")
            owner = next(node[1] for first, last, node, *_ in ranges if first <= slot <= last)
            new = next(client for client, port in zip(clients, self.ports, strict=True) if port != owner)
            its_id = new.execute_command("CLUSTER MYID")
            for client in (new, *clients):
                client.execute_command("CLUSTER SETSLOT", slot, "NODE", its_id)
            return self.ports[clients.index(new)]

    def flush(self) -> None:
        for port in self.ports:
            with Redis(port=port) as client:
                client.flushall()
