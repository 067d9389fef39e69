"""`deploy/k8s/values.yaml` says of runs what `deploy/k8s/dagster.yaml` says, where the chart lets it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

K8S = Path(__file__).parents[2] / "deploy" / "k8s"
VALUES: dict[str, Any] = yaml.safe_load((K8S / "values.yaml").read_text())
INSTANCE: dict[str, Any] = yaml.safe_load((K8S / "dagster.yaml").read_text())


def test_runs_are_launched_as_without_the_chart() -> None:
    launcher = VALUES["runLauncher"]["config"]["customRunLauncher"]
    image = VALUES["dagsterWebserver"]["image"]
    of_the_chart = {
        "job_image": f"{image['repository']}:{image['tag']}",
        "service_account_name": VALUES["fullnameOverride"],
        "postgres_password_secret": VALUES["global"]["postgresqlSecretName"],
    }
    expected = {**INSTANCE["run_launcher"], "config": {**INSTANCE["run_launcher"]["config"], **of_the_chart}}
    assert launcher == expected


def test_runs_are_watched_and_tried_again_as_without_the_chart() -> None:
    daemon = VALUES["dagsterDaemon"]
    for part, ours in (("runMonitoring", "run_monitoring"), ("runRetries", "run_retries"), ("sensors", "sensors")):
        assert {_snake(name): value for name, value in daemon[part].items()} == INSTANCE[ours]
    most = daemon["runCoordinator"]["config"]["queuedRunCoordinator"]["maxConcurrentRuns"]
    assert most == INSTANCE["concurrency"]["runs"]["max_concurrent_runs"]
    assert VALUES["additionalInstanceConfig"]["concurrency"]["pools"] == INSTANCE["concurrency"]["pools"]


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
