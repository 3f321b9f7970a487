"""What the kernel says of memory, from files as Linux writes them."""

from __future__ import annotations

from pathlib import Path

from xrouter_asgi.admission import MemoryGate, memory_limit

GIB = 1 << 30


def write(root: Path, files: dict[str, object]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


def second_version(root: Path, *, usage: int, inactive: int = 0, folder: str = "", limit: object = GIB) -> Path:
    return write(
        root,
        {
            "proc/self/cgroup": f"0::/{folder}",
            f"sys/fs/cgroup/{folder}/memory.max": limit,
            f"sys/fs/cgroup/{folder}/memory.current": usage,
            f"sys/fs/cgroup/{folder}/memory.stat": f"anon 5\ninactive_file {inactive}",
        },
    )


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_control_group_of_version_2_limits(tmp_path: Path) -> None:
    root = second_version(tmp_path, usage=GIB // 2)
    assert MemoryGate(root=root).share() == 0.5
    assert memory_limit(root) == GIB


def test_files_that_the_kernel_may_drop_do_not_count(tmp_path: Path) -> None:
    assert MemoryGate(root=second_version(tmp_path, usage=GIB, inactive=GIB // 4)).share() == 0.75


def test_a_control_group_of_version_1_limits(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "3:cpuset:/\n2:cpu,memory:/docker/a\n1:pids:/",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": GIB,
        "sys/fs/cgroup/memory/memory.usage_in_bytes": GIB // 4,
        "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 0",
    }
    assert MemoryGate(root=write(tmp_path, files)).share() == 0.25


def test_the_tightest_of_the_groups_counts(tmp_path: Path) -> None:
    root = second_version(tmp_path, usage=GIB // 2, folder="pod", limit=2 * GIB)
    root = second_version(root, usage=GIB // 2, folder="pod/container", limit=GIB)
    assert MemoryGate(root=root).share() == 0.5


def test_without_a_limit_there_is_no_gate(tmp_path: Path) -> None:
    assert MemoryGate(root=second_version(tmp_path, usage=GIB, limit="max")).share() == 0.0
    assert MemoryGate(root=tmp_path / "nowhere").share() == 0.0


def test_a_limit_of_ones_own_counts_this_process(tmp_path: Path) -> None:
    root = write(tmp_path, {"proc/self/statm": "900 100 10 1 0 50 0"})
    pages = MemoryGate(1000, root=root).share() * 1000
    assert pages % 100 == 0
    assert pages > 0


def test_memory_is_looked_at_twice_a_second(tmp_path: Path) -> None:
    clock = Clock()
    gate = MemoryGate(root=second_version(tmp_path, usage=GIB // 2), clock=clock)
    assert gate.share() == 0.5
    second_version(tmp_path, usage=GIB)
    assert gate.share() == 0.5
    clock.now = 0.5
    assert gate.share() == 1.0


def test_memory_that_can_no_longer_be_read_refuses_nobody(tmp_path: Path) -> None:
    clock = Clock()
    gate = MemoryGate(root=second_version(tmp_path, usage=GIB), clock=clock)
    (tmp_path / "sys/fs/cgroup/memory.current").unlink()
    assert gate.share() == 0.0
