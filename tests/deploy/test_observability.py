"""The dashboard and the alert rules ask for metrics that there are, by labels that those have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from xrouter_asgi.telemetry import definitions
from xrouter_asgi.telemetry.definitions import Metric
from xrouter_asgi.telemetry.exposition import Format, exposition

from .promql import Asked, asked, values_asked
from .tools import EXAMPLES, check

FOLDER = EXAMPLES / "observability"
RULES = [
    rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))["groups"] for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGETS = [pytest.param(target, id=panel["title"]) for panel in PANELS for target in panel["targets"]]
SCRAPED = {"job", "instance"}


def samples() -> dict[str, set[str]]:
    """The labels of each sample that Prometheus stores, by its name: of our own table, written by our own writer."""
    metrics = [metric for metric in vars(definitions).values() if isinstance(metric, Metric)]
    snapshot = {each: {("x",) * len(each.labels): [1.0] * (len(each.bounds) + 2)} for each in metrics}
    text = exposition(snapshot, Format(), resource={"service.name": "xrouter"}).decode()
    labels: dict[str, set[str]] = {"up": SCRAPED}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels.setdefault(sample.name, set(SCRAPED)).update(sample.labels)
    return labels


SAMPLES = samples()


def lacking(asked_for: Iterator[Asked]) -> list[str]:
    """What of it there is not."""
    return [
        f"{each.metric} {sorted(each.labels - SAMPLES.get(each.metric, set()))}"
        for each in asked_for
        if not each.labels <= SAMPLES.get(each.metric, set()) or each.metric not in SAMPLES
    ]


def test_what_is_no_metric_of_ours_is_noticed() -> None:
    assert lacking(asked('sum by (instance) (rate(xrouter_request_total{job="a"}[5m]))')) == [
        "xrouter_request_total ['instance', 'job']"
    ]
    assert lacking(asked("sum by (model) (xrouter_requests_in_flight)")) == ["xrouter_requests_in_flight ['model']"]
    assert lacking(asked('xrouter_requests_total{http_status="5.."} / on (le) up')) == [
        "xrouter_requests_total ['http_status', 'le']",
        "up ['le']",
    ]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_metrics_that_there_are(rule: dict[str, Any]) -> None:
    metrics = list(asked(rule["expr"]))
    assert metrics
    assert lacking(iter(metrics)) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_the_text_of_an_alert_names_labels_that_its_expression_keeps(rule: dict[str, Any]) -> None:
    shown = {name for text in rule["annotations"].values() for name in re.findall(r"\$labels\.(\w+)", text)}
    grouped = set(re.findall(r"\w+", ",".join(re.findall(r"by \(([\w\s,]*)\)", rule["expr"]))))
    assert shown <= (grouped or SCRAPED)


@pytest.mark.parametrize("target", TARGETS)
def test_a_panel_asks_for_metrics_that_there_are(target: dict[str, Any]) -> None:
    metrics = list(asked(target["expr"]))
    assert metrics
    assert lacking(iter(metrics)) == []
    shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
    assert shown <= set(re.findall(r"\w+", ",".join(re.findall(r"by \(([\w\s,]*)\)", target["expr"]))))


def test_a_variable_asks_for_metrics_that_there_are() -> None:
    queries = [each["query"]["query"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"]
    assert queries
    assert lacking(map(values_asked, queries)) == []


def test_the_dashboard_shows_every_metric() -> None:
    asked_for = {each.metric for panel in PANELS for target in panel["targets"] for each in asked(target["expr"])}
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked_for}
    there = {re.sub(r"_(bucket|sum|count)$", "", name) for name in SAMPLES} - {"up", "target_info"}
    # How often a breaker opened is what its state shows over time.
    assert there - shown == {"xrouter_circuit_opened_total"}


def test_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_prometheus_reads_the_rules() -> None:
    assert f"{len(RULES)} rules found" in check("promtool", "check", "rules", "--lint-fatal", FOLDER / "alerts.yml")


def test_the_alerts_are_raised_when_they_should_be(tmp_path: Path) -> None:
    said = check("promtool", "test", "rules", Path(__file__).with_name("alerts_test.yml"), cwd=tmp_path)
    assert "SUCCESS" in said
