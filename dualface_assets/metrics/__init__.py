"""What Prometheus is told: figures that are read from what exists anyway, in OpenMetrics.

Belongs here: which figures there are, and where each is read. Doesn't: counting in runs, which would be lost with their
processes; and how a scrape is answered, which is `service.exporter`'s business. No label's values grow with use.
"""
