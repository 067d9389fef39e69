"""Runs as jobs of Kubernetes and as containers: what is asked of cluster and Docker, and what follows from the answers.

Neither can run everywhere, so a web server of ours takes their place: it keeps what the real client libraries send.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from dualface_assets.runs.dagster_internals import LaunchRunContext, WorkerStatus
from dualface_assets.runs.process_video import RETRIES
from dualface_assets.runs.tags import MAX_RETRIES
from tests.dagster_internals import ReconstructableRepository, dagster_instance_config
from tests.own_instance import REPOSITORY, own_instance

DEPLOY = REPOSITORY / "deploy"

GONE = {
    "cluster": {"status": {"failed": 1}, "metadata": {"name": "x"}},
    "docker": {"Id": "a-container", "State": {"Status": "exited", "ExitCode": 137}, "Config": {}},
}
AT_WORK = {
    "cluster": {"status": {"active": 1}, "metadata": {"name": "x"}},
    "docker": {"Id": "a-container", "State": {"Status": "running"}, "Config": {}},
}


@dataclass
class Machine:
    """What stands in for a cluster, or for Docker: what it was sent, and what it says of a worker.

    Attributes:
        asked: method, path and document of each request.
        worker: what it says of a run's worker; None where there is none, "silent" where it doesn't answer.
    """

    port: int = 0
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    worker: Any = None

    def sent(self, method: str, ending: str) -> Any:
        (document,) = [
            what for how, path, what in self.asked if how == method and path.partition("?")[0].endswith(ending)
        ]
        return document


@contextmanager
def machine() -> Iterator[Machine]:
    found = Machine()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found.asked.append((self.command, self.path, json.loads(content) if content else None))
            status, document = 200, {"ApiVersion": "1.47"}
            if found.worker == "silent":
                status, document = 500, {"message": "not now"}
            elif self.command == "POST":
                status, document = (201, {"Id": "a-container"}) if content else (204, None)
            elif self.command == "GET" and not self.path.endswith("/version"):
                status, document = (404, {"message": "no such thing"}) if found.worker is None else (200, found.worker)
            body = json.dumps(document).encode() if document is not None else b""
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815  as the server calls them

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALFACE_IMAGE", "registry.example.com/dualface:1")
    monkeypatch.setenv("DUALFACE_POSTGRES", "postgresql+psycopg2://host/dualface")
    monkeypatch.setenv("DUALFACE_STORE", "s3://videos/store")


def launcher_of(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / kind / "dagster.yaml").read_text())["run_launcher"]
    return found


@pytest.fixture
def cluster(tmp_path: Path, settings: None) -> Iterator[tuple[dg.DagsterInstance, Machine]]:
    pytest.importorskip("dagster_k8s", reason="dagster-k8s is not installed")
    with machine() as found:
        address = {"cluster": {"server": f"http://127.0.0.1:{found.port}"}, "name": "here"}
        context = {"context": {"cluster": "here", "user": "me"}, "name": "here"}
        user = {"name": "me", "user": {"token": "x"}}
        access = {"clusters": [address], "contexts": [context], "users": [user], "current-context": "here"}
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **access}))
        launcher = launcher_of("k8s")
        launcher["config"] |= {"load_incluster_config": False, "kubeconfig_file": str(tmp_path / "kubeconfig")}
        with own_instance(tmp_path / "home", run_launcher=launcher) as instance:
            yield instance, found


@pytest.fixture
def docker(
    tmp_path: Path, settings: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[dg.DagsterInstance, Machine]]:
    pytest.importorskip("dagster_docker", reason="dagster-docker is not installed")
    with machine() as found:
        found.worker = AT_WORK["docker"]  # which is asked for as soon as it was made
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{found.port}")
        with own_instance(tmp_path / "home", run_launcher=launcher_of("docker")) as instance:
            yield instance, found


@pytest.fixture(params=["cluster", "docker"])
def either(request: pytest.FixtureRequest) -> tuple[dg.DagsterInstance, Machine]:
    found: tuple[dg.DagsterInstance, Machine] = request.getfixturevalue(request.param)
    return found


def launched(instance: dg.DagsterInstance, **tags: str) -> dg.DagsterRun:
    """A run of ours, launched as the daemon does."""
    from dualface_assets.definitions import defs

    code = ReconstructableRepository.for_module("dualface_assets.definitions", "defs")
    origin = code.get_reconstructable_job("process_video").get_python_origin()
    job = defs.resolve_job_def("process_video")
    run = instance.create_run_for_job(job, tags=tags, job_code_origin=origin, status=dg.DagsterRunStatus.STARTING)
    instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))
    again = instance.get_run_by_id(run.run_id)
    assert again is not None
    return again


@pytest.mark.parametrize("kind", ["hosts", "k8s", "docker"])
def test_the_settings_are_those_that_dagster_knows(kind: str, tmp_path: Path, settings: None) -> None:
    shutil.copy(DEPLOY / kind / "dagster.yaml", tmp_path)
    known, _ = dagster_instance_config(str(tmp_path))
    assert known["run_launcher"]["class"] == launcher_of(kind)["class"]
    one = yaml.safe_load((REPOSITORY / "dagster_home" / "dagster.yaml").read_text())
    changed = {part for part in one.keys() | known.keys() if one.get(part) != known.get(part)}
    assert changed == {"storage", "run_launcher", "concurrency", "run_monitoring"}


def test_a_run_is_a_job_on_a_node_with_a_card(cluster: tuple[dg.DagsterInstance, Machine]) -> None:
    instance, api = cluster
    run = launched(instance)
    job = api.sent("POST", "/apis/batch/v1/namespaces/dualface/jobs")
    assert unknown_to_kubernetes(job, "V1Job") == []
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "registry.example.com/dualface:1"
    assert container["args"][:3] == ["dagster", "api", "execute_run"]
    assert run.run_id in container["args"][-1]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert job["spec"]["backoffLimit"] == 0  # retries are Dagster's
    assert {"name": "runtime", "hostPath": {"path": "/run/dualface", "type": "Directory"}} in pod["volumes"]
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    environment = {each["name"]: each.get("value") for each in container["env"]}
    assert mounts["runtime"] == environment["DUALFACE_RUNTIME"]
    assert environment["DUALFACE_WORK"] == mounts["work"]


def test_a_run_may_ask_for_another_node_and_not_for_the_node_s_files(
    cluster: tuple[dg.DagsterInstance, Machine],
) -> None:
    instance, api = cluster
    asked = {
        "container_config": {"resources": {"limits": {"cpu": "16"}}},
        "pod_spec_config": {"node_selector": {"kind": "cpu"}},
        "merge_behavior": "SHALLOW",
    }
    launched(instance, **{"dagster-k8s/config": json.dumps(asked)})
    pod = api.sent("POST", "/jobs")["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"kind": "cpu"}
    (container,) = pod["containers"]
    assert container["resources"] == {"limits": {"cpu": "16"}}  # and no card
    assert {"runtime", "work"} <= {each["name"] for each in container["volumeMounts"]}
    assert {"runtime", "work"} <= {each["name"] for each in pod["volumes"]}
    root = {"pod_spec_config": {"volumes": [{"name": "root", "host_path": {"path": "/"}}]}}
    with pytest.raises(Exception, match="volumes"):
        launched(instance, **{"dagster-k8s/config": json.dumps(root)})


def test_a_run_is_a_container_with_the_cards_of_the_host(docker: tuple[dg.DagsterInstance, Machine]) -> None:
    instance, api = docker
    launched(instance)
    container = api.sent("POST", "/containers/create")
    assert container["Image"] == "registry.example.com/dualface:1"
    assert container["Cmd"][:3] == ["dagster", "api", "execute_run"]
    assert container["User"] == "10001:10001"
    host = container["HostConfig"]
    (request,) = host["DeviceRequests"]
    assert (request["Driver"], request["Count"]) == ("nvidia", -1)
    assert "dualface-runtime:/run/dualface:rw" in host["Binds"]
    assert "DUALFACE_RUNTIME=/run/dualface" in container["Env"]
    assert "DUALFACE_STORE=s3://videos/store" in container["Env"]


def test_a_run_asks_for_its_retries(either: tuple[dg.DagsterInstance, Machine]) -> None:
    run = launched(either[0])
    assert {tag: run.tags[tag] for tag in RETRIES} == dict(RETRIES)


@pytest.fixture
def started(either: tuple[dg.DagsterInstance, Machine]) -> dg.DagsterRun:
    instance, _ = either
    run = launched(instance)
    instance.report_dagster_event(_of(run, "PIPELINE_START"), run.run_id)
    again = instance.get_run_by_id(run.run_id)
    assert again is not None
    assert again.status == dg.DagsterRunStatus.STARTED
    return again


def _of(run: dg.DagsterRun, kind: str) -> dg.DagsterEvent:
    return dg.DagsterEvent(event_type_value=kind, job_name=run.job_name)


def test_a_run_whose_worker_is_gone_is_tried_again_and_that_is_no_failure_of_its_own(
    either: tuple[dg.DagsterInstance, Machine], started: dg.DagsterRun, request: pytest.FixtureRequest
) -> None:
    instance, api = either
    kind = request.node.callspec.params["either"]
    health = partial(instance.run_launcher.check_run_worker_health, started)
    api.worker = AT_WORK[kind]
    assert health().status == WorkerStatus.RUNNING
    api.worker = "silent"
    assert health().status == WorkerStatus.RUNNING  # nobody has said that it is gone
    for gone in (GONE[kind], None):
        api.worker = gone
        before = instance.get_run_by_id(started.run_id)
        assert before is not None
        answer = instance.run_launcher.check_run_worker_health(before)
        assert answer.status == WorkerStatus.NOT_FOUND
        assert "process that worked on this run is gone" in (answer.msg or "")
        after = instance.get_run_by_id(started.run_id)
        assert after is not None
        assert int(after.tags[MAX_RETRIES]) == int(before.tags[MAX_RETRIES]) + 1


def test_a_run_that_is_ended_on_purpose_is_noted_as_canceled(
    either: tuple[dg.DagsterInstance, Machine], started: dg.DagsterRun, request: pytest.FixtureRequest
) -> None:
    instance, api = either
    api.worker = AT_WORK[request.node.callspec.params["either"]]
    instance.run_launcher.terminate(started.run_id)
    again = instance.get_run_by_id(started.run_id)
    assert again is not None
    assert again.status == dg.DagsterRunStatus.CANCELING


def unknown_to_kubernetes(found: Any, kind: str, where: str = "") -> list[str]:
    """Fields that the Kubernetes API has not, by the models of its client library."""
    from kubernetes.client import models

    if kind.startswith("list["):
        return [each for item in found for each in unknown_to_kubernetes(item, kind[5:-1], where)]
    if kind.startswith("dict(") or not hasattr(models, kind):
        return []
    model = getattr(models, kind)
    types = {key: model.openapi_types[name] for name, key in model.attribute_map.items()}
    unknown = [f"{where}.{key}" for key in found if key not in types]
    for key in found.keys() & types.keys():
        unknown += unknown_to_kubernetes(found[key], types[key], f"{where}.{key}")
    return unknown
