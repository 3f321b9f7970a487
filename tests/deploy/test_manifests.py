"""The units of systemd, the manifests of Kubernetes and the files of compose, checked by programs of others, and
compared with the gateway's settings.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from xrouter_asgi.cli.main import main
from xrouter_asgi.settings import Settings

from .tools import DEPLOY, EXAMPLES, check

COMPOSE = DEPLOY / "compose"
SYSTEMD = DEPLOY / "systemd"
MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all((DEPLOY / "kubernetes/xrouter.yaml").read_text("utf-8")))
SERVICES: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text("utf-8"))["services"]
SECRETS = {
    "GIGACHAT_CREDENTIALS": "a2V5OnNlY3JldA==",
    "KEYS_URL": "postgresql://xrouter:password@postgres/xrouter",
    "XROUTER_KEYS_PEPPER": "p" * 64,
    "REDIS_URL": "redis://redis:6379/0",
}


@pytest.fixture
def settings() -> Settings:
    """Those of the containers."""
    return Settings.from_file(COMPOSE / "xrouter.toml", environment=SECRETS)


def of_kind(kind: str) -> dict[str, Any]:
    (found,) = [each for each in MANIFESTS if each["kind"] == kind]
    return found


def test_the_settings_of_the_containers_can_be_used_by_several_workers(settings: Settings) -> None:
    assert settings.server.workers == 2


def test_a_stop_leaves_more_time_than_the_drain_and_the_ten_seconds_after_it(settings: Settings) -> None:
    needed = settings.server.drain + 10
    pod = of_kind("Deployment")["spec"]["template"]["spec"]
    before = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    unit = re.search(r"^TimeoutStopSec=(\d+)$", (SYSTEMD / "xrouter.service").read_text("utf-8"), re.MULTILINE)
    assert unit is not None
    assert pod["terminationGracePeriodSeconds"] >= needed + before
    assert int(SERVICES["xrouter"]["stop_grace_period"].removesuffix("s")) > needed
    assert int(unit[1]) > needed


# systemd.


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units, with a program that is there."""
    for unit in SYSTEMD.iterdir():
        (tmp_path / unit.name).write_text(unit.read_text("utf-8").replace("/opt/xrouter/bin/xrouter", "/bin/true"))
    return sorted(tmp_path.iterdir())


def test_systemd_reads_the_units_without_a_remark(units: list[Path]) -> None:
    assert check("systemd-analyze", "verify", "--man=no", *units) == ""


def test_the_service_is_confined(units: list[Path]) -> None:
    """`systemd-analyze security` gives 0 to what may do nothing, and 9.6 to a service without any of these lines."""
    said = check("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", units[0])
    assert "xrouter.service" in said


# Kubernetes.


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda manifest: manifest["kind"])
def test_kubernetes_knows_every_field(manifest: dict[str, Any]) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed here")
    validator.validate(manifest, "1.34", strict=True)


def test_the_parts_of_the_deployment_find_each_other() -> None:
    deployment = of_kind("Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert of_kind("Service")["spec"]["selector"] == labels
    assert of_kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert of_kind("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]


def test_every_container_is_confined() -> None:
    pod = of_kind("Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    for container in (*pod["initContainers"], *pod["containers"]):
        confined = container["securityContext"]
        assert confined["readOnlyRootFilesystem"] is True
        assert confined["allowPrivilegeEscalation"] is False
        assert confined["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]


def test_the_ports_are_those_of_the_settings(settings: Settings) -> None:
    (container,) = of_kind("Deployment")["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert settings.metrics is not None
    assert ports == {"http": settings.server.port, "metrics": settings.metrics.port}
    probes = [container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")]
    assert [probe["path"] for probe in probes] == ["/health", "/ready", "/health"]
    assert {probe["port"] for probe in probes} <= set(ports)


# compose.


def test_the_files_that_compose_mounts_are_there() -> None:
    mounts = [mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", ())]
    files = [COMPOSE / mount for mount in mounts if mount.startswith(".")]
    assert files
    assert [str(file) for file in files if not file.is_file()] == []
    assert (COMPOSE / "../../../examples/deploy/Dockerfile").is_file()


def test_the_example_of_secrets_names_every_one_that_is_asked_for() -> None:
    named = set(re.findall(r"^(\w+)=", (COMPOSE / "xrouter.env.example").read_text("utf-8"), re.MULTILINE))
    asked = set(re.findall(r'"env:(\w+)"', (COMPOSE / "xrouter.toml").read_text("utf-8")))
    assert asked <= named


def test_prometheus_reads_its_settings(tmp_path: Path) -> None:
    for file in (COMPOSE / "prometheus.yml", EXAMPLES / "observability/alerts.yml"):
        (tmp_path / file.name).write_text(file.read_text("utf-8"))
    assert "1 rule files found" in check("promtool", "check", "config", tmp_path / "prometheus.yml")


def test_the_gateway_reads_the_settings_of_the_containers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    assert main(["check", "--config", str(COMPOSE / "xrouter.toml")]) == 0
    assert "assistant" in capsys.readouterr().out
    assert tomllib.loads((COMPOSE / "xrouter.toml").read_text("utf-8"))["server"]["host"] == "0.0.0.0"
