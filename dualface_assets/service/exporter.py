"""`python -m dualface_assets.service.exporter`: what Prometheus asks, where DUALFACE_METRICS says.

Belongs here: answering scrapes. What there is to say is `metrics`'s business. With `--host` it says what it knows of
this host alone, as on one that has a worker only. See https://prometheus.io/docs/instrumenting/exposition_formats.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections import deque

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.registry import Collector

from dualface_assets.metrics.host import HostMetrics
from dualface_assets.settings import ServiceSettings
from dualface_core.errors import DualfaceError, SettingsError
from dualface_core.settings import Settings


def main() -> int:
    """Answer scrapes until a signal ends this process. The exit status is 2 where that cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m dualface_assets.service.exporter", description=__doc__.partition("\n")[0].partition(": ")[2]
    )
    parser.add_argument("--host", action="store_true", help="figures of this host only, as for a worker")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    try:
        settings, service = Settings.load(), ServiceSettings.load()
        address, port = service.metrics_address
        registry = CollectorRegistry()
        registry.register(HostMetrics(settings))
        if not arguments.host:
            registry.register(_of_the_instance(service))
        try:
            _, answering = start_http_server(port, address, registry)
        except OSError as error:
            raise SettingsError(f"Metrics cannot be had on {address}:{port}: {error.strerror}.") from None
        print(f"Metrics: http://{address}:{port}/metrics", flush=True)
        answering.join()
    except DualfaceError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


def _of_the_instance(service: ServiceSettings) -> Collector:
    """What asks the instance. Dagster is loaded here, which takes most of the memory."""
    from dualface_assets.metrics.instance import InstanceMetrics
    from dualface_assets.runs.dagster_internals import read_migrations_once
    from dualface_assets.service.instance_home import opened_instance
    from dualface_assets.store.video_store import video_store

    read_migrations_once()
    metrics = InstanceMetrics(opened_instance, video_store(service))
    deque(metrics.collect(), maxlen=0)  # so that counters begin now, and not with the first scrape
    return metrics


if __name__ == "__main__":
    sys.exit(main())
