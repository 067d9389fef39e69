"""Names that people, programs and attackers give to files, and what they must not do."""

from __future__ import annotations

# ruff: noqa: E501  the names are easier to read side by side
import json
import unicodedata
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg

from dualface_assets.runs.failures import failure_of
from tests.end_to_end.service import Service

_BYTES: Final = 255
"""The longest name that a file system allows."""

NAMES: Final[tuple[bytes, ...]] = tuple(
    name if isinstance(name, bytes) else name.encode()
    for name in (
        # Paths.
        "..\\..\\x", "..%2f..%2fx", "...", "....mp4", "C:\\x.mp4", "~", "~root.mp4", "\u2215etc\u2215passwd", "%00.mp4",
        # For a shell and for programs that take options.
        "-rf", "--help.mp4", "-i.mp4", "$(reboot).mp4", "`reboot`.mp4", "; reboot.mp4", "| cat", "a && b.mp4", "*.mp4",
        "a b  c.mp4", "'quoted'.mp4", '"quoted".mp4', "pipe:0", "concat:a|b", "http:x.mp4", "%03d.mp4", "{}.mp4", "#1.mp4",
        # For web pages, Markdown and logs.
        "<script>alert(1)<", "<img src=x onerror=alert(1)>.mp4", "[x](javascript:alert(1)).mp4", "![x](http:x).mp4", "a&b;.mp4",
        "{{7*7}}.mp4", "'; DROP TABLE runs; --.mp4", "\x1b[31mred\x1b[0m.mp4", "new\nline.mp4", "carriage\rreturn.mp4", "tab\t.mp4",
        "bell\x07.mp4", "\x7f.mp4", "a|b|c.mp4", "[bold]x[bold].mp4", "50%.mp4",
        # Scripts, directions, what cannot be seen.
        unicodedata.normalize("NFC", "한국어 인터뷰.mp4"), unicodedata.normalize("NFD", "한국어 인터뷰.mp4"), "\u202egpj.mp4",
        "\u200b.mp4", "\ufeff.mp4", "מאמר.mp4", "مقابلة.mp4", "👩🏽\u200d🎤🎬.mp4", "e\u0301\u0301\u0301\u0301.mp4", "İI.mp4", "\uff0e\uff0e\uff0fx",
        # Bytes and lengths.
        b"\xff\xfe\xfd.mp4", b"caf\xe9.mp4", "x" * (_BYTES - 4) + ".mp4", "한" * 83 + ".mp4", "🎬" * 63, " ", "CON.mp4",
        "video.json", "a.parquet", "x.mp4.mp4", ".mp4 ",
    )
)  # fmt: skip
"""Names of files that a folder of Linux can have. Some are hidden or temporary names, which are no uploads."""

KEYS: Final[tuple[str, ...]] = (
    "../../x", "/etc/passwd", "a/b-0123456789", "..", ".", "", " ", "../x-0123456789", "x-0123456789/../../y-0123456789",
    *(name.decode(errors="replace") for name in NAMES),
)  # fmt: skip
"""What may be typed in as the key of a partition."""


@dataclass(frozen=True)
class Typed:
    """What came of keys that were typed in on the web page.

    Attributes:
        refused: keys that Dagster itself refuses.
        failed: keys whose run failed with the class `unsafe-key`, and was not tried again.
    """

    refused: int
    failed: int


def type_in(service: Service, keys: Sequence[str]) -> Typed:
    """Add partitions and start a run for each, by the calls that the web page makes; wait until all have ended."""
    started = {}
    for key in keys:
        if not ask(service, ADD_PARTITION, key=key).get("partitionKey"):
            continue
        run = ask(service, LAUNCH, tags=[{"key": "dagster/partition", "value": key}]).get("run")
        if run is not None:
            started[run["id"]] = key

    def ended() -> bool:
        runs = service.instance.get_runs(dg.RunsFilter(run_ids=list(started)))
        return all(run.is_finished for run in runs)

    service.wait_for(ended, "the runs of typed-in keys to end", seconds=60 + 20 * len(keys))
    failed = 0
    for run in service.instance.get_runs(dg.RunsFilter(run_ids=list(started))):
        assert run.is_failure, started[run.run_id]
        assert failure_of(run.run_id, service.instance) == "unsafe-key", started[run.run_id]
        assert run.tags["dagster/will_retry"] == "false", started[run.run_id]
        failed += 1
    return Typed(len(keys) - failed, failed)


ADD_PARTITION: Final = """
mutation ($key: String!) { answer: addDynamicPartition(
  partitionsDefName: "videos", partitionKey: $key,
  repositorySelector: {repositoryLocationName: "dualface", repositoryName: "__repository__"}
) { __typename ... on AddDynamicPartitionSuccess { partitionKey } } }
"""

LAUNCH: Final = """
mutation ($tags: [ExecutionTag!]!) { answer: launchRun(executionParams: {
  selector: {repositoryLocationName: "dualface", repositoryName: "__repository__", jobName: "process_video"},
  executionMetadata: {tags: $tags}
}) { __typename ... on LaunchRunSuccess { run { id } } ... on PythonError { message } } }
"""


def ask(service: Service, query: str, **variables: object) -> dict[str, Any]:
    """Ask the web page's own interface, and give its answer."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{service.port}/graphql", body, headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)["data"]["answer"]
    return answer
