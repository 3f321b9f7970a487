"""What builds and publishes a release is pinned, and nothing is released that was not tested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WORKFLOWS = {file.name: file.read_text("utf-8") for file in (ROOT / ".github/workflows").glob("*.yml")}

pytestmark = pytest.mark.skipif(not WORKFLOWS, reason="there is no source tree here")


def jobs(workflow: str) -> dict[str, str]:
    """The text of each job, by its name."""
    _, _, text = WORKFLOWS[workflow].partition("\njobs:\n")
    parts = re.split(r"^  ([\w-]+):\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def needed(job: str) -> set[str]:
    """The jobs of a release that have to succeed before one may begin."""
    direct = re.search(r"^    needs: \[(.*)\]$", jobs("release.yml")[job], re.MULTILINE)
    names = set(direct[1].split(", ")) if direct else set()
    return names.union(*map(needed, names))


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_actions_of_others_are_pinned_by_their_commit(workflow: str) -> None:
    used = re.findall(r"uses: (\S+)", WORKFLOWS[workflow])
    assert used
    assert [action for action in used if not re.fullmatch(r"\./\S+|[\w./-]+@[0-9a-f]{40}", action)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_what_a_workflow_installs_has_hashes(workflow: str) -> None:
    installs = re.findall(r"pip install (.*)", WORKFLOWS[workflow])
    assert set(installs) <= {"--require-hashes -r .ci/tools.txt"}


def test_each_tool_has_a_version_and_a_hash() -> None:
    blocks = re.split(r"\n(?=\S)", (ROOT / ".ci/tools.txt").read_text("utf-8"))
    tools = [block for block in blocks if not block.startswith("#")]
    assert {"build", "poetry-core", "tox"} <= {tool.partition("==")[0] for tool in tools}
    assert [tool for tool in tools if not re.match(r"[\w-]+==[\w.]+ .*\\\n    --hash=sha256:[0-9a-f]{64}", tool)] == []


def test_a_release_is_published_from_main_after_all_tests_and_the_audit() -> None:
    assert needed("publish") == {"build", "on-main", "tests", "audit"}
    release = jobs("release.yml")
    assert "git merge-base --is-ancestor" in release["on-main"]
    assert "uses: ./.github/workflows/ci.yml" in release["tests"]
    assert "uses: ./.github/workflows/audit.yml" in release["audit"]


def test_a_release_is_built_with_the_pinned_tools_only() -> None:
    assert "python -m build --no-isolation" in jobs("release.yml")["build"]


def test_only_the_job_that_publishes_has_the_trust_of_pypi() -> None:
    trusted = [(file, job) for file in WORKFLOWS for job, text in jobs(file).items() if "id-token: write" in text]
    assert trusted == [("release.yml", "publish")]
