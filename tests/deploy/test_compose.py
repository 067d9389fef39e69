"""`deploy/compose/docker-compose.yml`: what can be said of it without Docker."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import s3fs
import yaml

from deploy.local import servers

COMPOSE = Path(__file__).parents[2] / "deploy" / "compose"
TEXT = (COMPOSE / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("dualface:")}
EXAMPLE = dict(re.findall(r"^(\w+)=(.*)$", (COMPOSE / "env.example").read_text(), re.MULTILINE))


def test_every_secret_is_asked_for_by_the_example_and_has_no_default() -> None:
    used = dict(re.findall(r"\$\{(\w+)([^}]*)\}", TEXT))
    assert used.keys() == EXAMPLE.keys()
    secret = {name for name in used if name.endswith(("_PASSWORD", "_KEY"))}
    assert len(secret) == 4
    assert all(used[name].startswith(":?") and not EXAMPLE[name] for name in secret)


def test_images_of_others_are_pinned_to_an_exact_release() -> None:
    others = [service["image"] for name, service in SERVICES.items() if name not in OURS]
    assert len(others) == 4
    assert [image for image in others if not re.search(r":v?\d+\.\d+", image)] == []


def test_what_waits_for_a_service_waits_for_its_health() -> None:
    for name, service in SERVICES.items():
        for other, wait in service.get("depends_on", {}).items():
            assert wait["condition"] in {"service_healthy", "service_completed_successfully"}, name
            # The web page has the check that the image brings.
            assert "healthcheck" in SERVICES[other] or other == "webserver"


def test_only_the_proxy_can_be_reached_and_ours_write_to_their_volumes_alone() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    for service in OURS.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]


def test_files_that_are_mounted_are_there() -> None:
    compose = yaml.safe_load(TEXT)
    assert all((COMPOSE / config["file"]).is_file() for config in compose["configs"].values() if "file" in config)


def test_the_bucket_is_made_with_versions_and_a_second_start_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason := servers.why_unavailable("s3"):
        pytest.skip(reason)
    with servers.s3(tmp_path) as (_, port):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "something")
        program, *arguments = SERVICES["bucket"]["command"]
        assert program == "python"
        for _ in range(2):
            subprocess.run([sys.executable, *arguments], check=True, env=os.environ)
        store = s3fs.S3FileSystem(skip_instance_cache=True)
        assert store.call_s3("get_bucket_versioning", Bucket="videos")["Status"] == "Enabled"
        (rule,) = store.call_s3("get_bucket_lifecycle_configuration", Bucket="videos")["Rules"]
        assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
