"""Dagster's web page as we run it, without a proxy: who reaches it, and what it allows where it may only be read."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import dagster as dg
import psutil
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.deploy.test_nginx import ADD_PARTITION
from tests.web_server import WebPage, web_page

pytestmark = pytest.mark.xdist_group("web_page")

LAUNCH_RUN = """mutation { launchRun(executionParams: {
    selector: {repositoryName: "__repository__", repositoryLocationName: "dualface", jobName: "process_video"}
    runConfigData: {}
    executionMetadata: {tags: [{key: "dagster/partition", value: "talk-0123456789"}]}
}) { __typename } }"""
WIPE = 'mutation { wipeAssets(assetPartitionRanges: [{assetKey: {path: ["raw_video"]}}]) { __typename } }'


@pytest.fixture(scope="module", params=["0", "1"], ids=["writable", "read only"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WebPage, bool]]:
    with web_page(tmp_path_factory.mktemp("page"), DAGSTER_WEBSERVER_READ_ONLY=request.param) as page:
        yield page, request.param == "1"


def post(url: str, document: object) -> tuple[int, dict[str, object]]:
    request = urllib.request.Request(
        url, json.dumps(document).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, {"text": error.read().decode()}


def test_it_listens_to_this_machine_only(page: tuple[WebPage, bool]) -> None:
    addresses = {
        connection.laddr.ip
        for connection in psutil.Process(page[0].pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses == {"127.0.0.1"}


def test_where_it_may_only_be_read_it_still_can_be(page: tuple[WebPage, bool]) -> None:
    status, answer = post(page[0].url + "/graphql", {"query": "{ version }"})
    assert (status, answer["data"]) == (200, {"version": dg.__version__})


def test_results_are_read_and_never_changed_in_either_mode(page: tuple[WebPage, bool]) -> None:
    server, _ = page
    address = "/encoded_video/talk-0123456789/talk.split.mp4"
    result = Path(f"{server.home.parent}/store{address}")
    result.parent.mkdir(parents=True)
    result.write_bytes(b"a result")
    with urllib.request.urlopen(server.url + address, timeout=60) as response:
        assert response.read() == b"a result"
    assert post(server.url + address, {})[0] == 405
    assert result.read_bytes() == b"a result"


@pytest.mark.parametrize("mutation", [LAUNCH_RUN, ADD_PARTITION % "added", WIPE], ids=["launch", "partition", "wipe"])
def test_a_mutation_is_refused_where_it_may_only_be_read(page: tuple[WebPage, bool], mutation: str) -> None:
    server, read_only = page
    status, answer = post(server.url + "/graphql", {"query": mutation})
    assert status == 200
    assert ("UnauthorizedError" in json.dumps(answer["data"])) is read_only
    with dg.DagsterInstance.from_config(str(server.home)) as instance:
        if read_only:
            assert list(instance.get_dynamic_partitions("videos")) == []
            assert instance.get_runs_count() == 0


def test_a_materialization_cannot_be_reported_where_it_may_only_be_read(page: tuple[WebPage, bool]) -> None:
    server, read_only = page
    status, _ = post(server.url + "/report_asset_materialization/raw_video", {"partition": "talk-0123456789"})
    with dg.DagsterInstance.from_config(str(server.home)) as instance:
        reported = instance.get_latest_materialization_event(dg.AssetKey("raw_video"))
    if read_only:
        assert (status, reported) == (401, None)
    else:
        assert status == 200
        assert reported is not None


@pytest.mark.parametrize("module", ["dagster_webserver", "dualface_assets.service.web_page"])
def test_another_page_cannot_make_a_browser_change_anything(module: str, tmp_path: Path) -> None:
    """Dagster's own program executes all of these, which is why ours has a guard."""
    with web_page(tmp_path, module=module) as page:
        own, other = f"127.0.0.1:{page.port}", "elsewhere.example"

        def ask(name: str, method: str, host: str, origin: str | None) -> int:
            mutation = ADD_PARTITION % name
            path = "/graphql" if method == "JSON" else "/graphql?query=" + quote(mutation)
            headers = {"Host": host, **({"Content-Type": "application/json"} if method == "JSON" else {})}
            connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=60)
            body = json.dumps({"query": mutation}).encode() if method == "JSON" else None
            headers |= {"Origin": origin} if origin else {}
            connection.request("POST" if method == "JSON" else method, path, body, headers)
            return connection.getresponse().status

        attempts = {
            "by-a-picture": ask("by-a-picture", "GET", own, None),
            "by-a-form": ask("by-a-form", "POST", own, f"https://{other}"),
            "by-a-frame": ask("by-a-frame", "POST", own, "null"),
            "by-a-script": ask("by-a-script", "JSON", own, f"http://{other}"),
            "by-a-name-of-theirs": ask("by-a-name-of-theirs", "JSON", other, f"http://{other}"),
        }
        with dg.DagsterInstance.from_config(str(page.home)) as instance:
            added = set(instance.get_dynamic_partitions("videos"))
        if module == "dagster_webserver":
            assert (set(attempts.values()), added) == ({200}, set(attempts))
        else:
            assert (set(attempts.values()), added) == ({403}, set())
            assert ask("by-the-page", "JSON", own, f"http://{own}") == 200
            assert ask("by-a-tunnel", "JSON", "localhost:8080", "http://localhost:8080") == 200
            with pytest.raises(InvalidStatus, match="403"):
                connect(f"ws://{own}/graphql", subprotocols=["graphql-ws"], origin=f"http://{other}", open_timeout=120)
            connect(
                f"ws://{own}/graphql", subprotocols=["graphql-ws"], origin=f"http://{own}", open_timeout=120
            ).close()
