"""What a Prometheus would see: metrics in OpenMetrics, read by prometheus_client's own parser."""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

Scraped = Mapping[str, float]
"""Values by series, such as `dualface_runs{state="queued"}`."""

_WITHOUT_A_PROXY: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def scrape(port: int) -> Scraped:
    """Ask an exporter on this machine."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": CONTENT_TYPE_LATEST})
    with _WITHOUT_A_PROXY.open(request, timeout=240) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        return _read(answer.read().decode())


def collected(collector: Collector) -> Scraped:
    """Ask a collector."""
    registry = CollectorRegistry()
    registry.register(collector)
    return _read(generate_latest(registry).decode())


def _read(text: str) -> Scraped:
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found
