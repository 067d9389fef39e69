"""Dagster's web page as we run it, without a proxy: who reaches it, and what it allows where it may only be read."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import dagster as dg
import psutil
import pytest

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
