"""That the comparison runs, and writes what it says. How long anything takes is no matter here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("httpx_aiohttp", reason="the forwarder needs it: pip install httpx-aiohttp")

from .compare.__main__ import main, wanted
from .compare.comparison import REFERENCE
from .turns import SCENARIOS, Ratio, Turn, ratio


def test_a_short_comparison_leaves_tables_turns_and_a_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    turns, plot = tmp_path / "turns.json", tmp_path / "plot.svg"
    assert main(["--with", "--rounds", "1", "--seconds", "0.1", "--json", str(turns), "--plot", str(plot)]) == 0
    tables = capsys.readouterr().out
    for measure in ("CPU time", "answers a second", "p50", "p99", "memory"):
        assert f"| {measure} |" in tables
    assert f"| {REFERENCE} | 1 = " in tables
    scenarios = json.loads(turns.read_text())["scenarios"]
    assert list(scenarios) == [scenario.title for scenario in SCENARIOS]
    ours = scenarios[SCENARIOS[0].title]["xrouter, everything on"]
    assert [set(turn) for turn in ours] == [{"cpu", "rate", "p50", "p99"}]
    assert plot.read_text().startswith("<svg ")


def test_how_cost_grows_is_told_in_a_row_for_each_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--growth", "bodies", "--rounds", "1", "--seconds", "0.1"]) == 0
    rows = [line.split(" | ")[0] for line in capsys.readouterr().out.strip().splitlines()]
    assert rows[2:] == ["| 1 kB", "| 10 kB", "| 100 kB", "| 1 MB"]


def test_a_gateway_that_is_missing_is_left_out_and_told_with_how_to_install_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wanted([f"tensorzero={tmp_path}"]) == {}
    how = f"python -m venv {tmp_path} && {tmp_path}/bin/pip install tensorzero"
    assert capsys.readouterr().err == f"TensorZero is left out. To install it: {how}\n"


def test_a_ratio_is_that_of_the_turns_of_one_round() -> None:
    slow, quick = ([Turn(cpu, 1, 1, 1) for cpu in each] for each in ([200, 400, 900], [100, 100, 300]))
    assert ratio(slow, quick, "cpu") == Ratio(3.0, 2.0, 4.0)
