"""Alert rules and dashboard: Prometheus understands them, and they name nothing that the exporter doesn't tell."""

import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from dualface_assets.metrics.host import HostMetrics
from dualface_assets.metrics.instance import InstanceMetrics
from dualface_assets.store.video_store import VideoStore
from dualface_core.settings import Settings
from tests.own_instance import REPOSITORY

RULES = REPOSITORY / "deploy" / "prometheus" / "dualface.rules.yml"
DASHBOARD = REPOSITORY / "deploy" / "grafana" / "dualface.json"
PAGE = REPOSITORY / "docs" / "metrics.md"

NAME = re.compile(r"dualface_[a-z_]+")


@pytest.fixture
def told(tmp_path: Path) -> set[str]:
    """The name of every series that the exporter tells."""
    store = VideoStore(root=str(tmp_path / "store"))
    with dg.DagsterInstance.ephemeral() as instance:
        collectors = HostMetrics(Settings(runtime=tmp_path / "runtime")), InstanceMetrics(lambda: instance, store)
        families = [family for collector in collectors for family in collector.collect()]
    suffixes = {"counter": "_total", "info": "_info"}
    return {family.name + suffixes.get(family.type, "") for family in families}


@pytest.fixture
def panels() -> list[dict[str, Any]]:
    return list(json.loads(DASHBOARD.read_text())["panels"])


def expressions(panels: list[dict[str, Any]]) -> list[str]:
    return [target["expr"] for panel in panels for target in panel["targets"]]


def promtool(*arguments: str | Path) -> str:
    """What promtool says of files that it finds to be right."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, cwd=RULES.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_rules_and_dashboard_name_what_the_exporter_tells_and_the_page_names_all_of_it(
    told: set[str], panels: list[dict[str, Any]]
) -> None:
    rules = [rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert set(NAME.findall(" ".join(rules + expressions(panels)))) <= told
    assert set(NAME.findall(" ".join(re.findall(r"^\| (`dualface_[^|]+)\|", PAGE.read_text(), re.MULTILINE)))) == told


def test_prometheus_takes_the_rules_and_they_ring_when_they_should() -> None:
    assert "4 rules found" in promtool("check", "rules", RULES)
    assert "SUCCESS" in promtool("test", "rules", RULES.with_name("dualface.rules.test.yml"))


def test_prometheus_understands_every_expression_of_the_dashboard(panels: list[dict[str, Any]], tmp_path: Path) -> None:
    asked = [expression.replace("$__rate_interval", "5m") for expression in expressions(panels)]
    records = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(asked)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": records}]}))
    assert f"{len(asked)} rules found" in promtool("check", "rules", tmp_path / "panels.yml")


def test_the_panels_of_the_dashboard_have_a_place_each(panels: list[dict[str, Any]]) -> None:
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert {panel["type"] for panel in panels} == {"stat", "timeseries"}
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}
    covered = []
    for place in (panel["gridPos"] for panel in panels):
        assert place["x"] + place["w"] <= 24
        rows, columns = range(place["y"], place["y"] + place["h"]), range(place["x"], place["x"] + place["w"])
        covered += itertools.product(rows, columns)
    assert len(covered) == len(set(covered)) == 24 * (1 + max(row for row, _ in covered))
