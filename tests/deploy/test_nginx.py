"""nginx with the file from `deploy/`, in front of a real web page of Dagster."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dagster as dg
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from deploy.local.servers import free_port
from tests.web_server import REPOSITORY, WebPage, program, web_page

TEMPLATE = REPOSITORY / "deploy" / "nginx" / "dualface.conf.template"
PASSWORD = {"Authorization": f"Basic {base64.b64encode(b'ann:open sesame').decode()}"}
ADD_PARTITION = """mutation { addDynamicPartition(
    partitionsDefName: "videos", partitionKey: "%s",
    repositorySelector: {repositoryName: "__repository__", repositoryLocationName: "dualface"}
) { __typename } }"""

pytestmark = [
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in ("nginx", "envsubst", "openssl")),
        reason="nginx, envsubst and openssl are needed",
    ),
    pytest.mark.xdist_group("nginx"),
]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Site:
    """What people reach.

    Attributes:
        port: of TLS.
        plain_port: of HTTP.
        page: what is behind.
        tls: trusts the site's certificate.
    """

    port: int
    plain_port: int
    page: WebPage
    tls: ssl.SSLContext

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def ask(
        self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        connection = http.client.HTTPSConnection("localhost", self.port, context=self.tls, timeout=60)
        return _ask(connection, path, method, PASSWORD if headers is None else headers, body)

    def query(self, text: str, **headers: str) -> Answer:
        body = json.dumps({"query": text}).encode()
        return self.ask("/graphql", "POST", {**PASSWORD, "Content-Type": "application/json", **headers}, body)


def _ask(
    connection: http.client.HTTPConnection, path: str, method: str, headers: Mapping[str, str], body: bytes | None
) -> Answer:
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def partitions(page: WebPage) -> list[str]:
    with dg.DagsterInstance.from_config(str(page.home)) as instance:
        return list(instance.get_dynamic_partitions("videos"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    # Dagster's own program, which has no guard, so that it is the site that is tested.
    with web_page(folder, module="dagster_webserver") as page, proxied(page, folder) as site:
        yield site


@contextmanager
def proxied(page: WebPage, folder: Path) -> Iterator[Site]:
    """nginx with our site in front of a web page; all that it needs lies in `folder`."""
    port, plain_port = free_port(), free_port()
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*make, *name, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"], input=b"open sesame", check=True, capture_output=True
    ).stdout
    (folder / "passwords").write_bytes(b"ann:" + hashed)
    variables = {
        "DUALFACE_WEB_URL": f"https://localhost:{port}",
        "DUALFACE_SERVER_NAME": "localhost",
        "DUALFACE_HTTP_PORT": str(plain_port),
        "DUALFACE_HTTPS_PORT": str(port),
        "DUALFACE_CERTIFICATE": str(certificate),
        "DUALFACE_CERTIFICATE_KEY": str(key),
        "DUALFACE_PASSWORDS": str(folder / "passwords"),
        "DUALFACE_WEBSERVER": f"127.0.0.1:{page.port}",
    }
    (folder / "nginx.conf").write_text(f"""
        {"user root;" if os.getuid() == 0 else ""}
        worker_processes 1; daemon off; pid {folder}/pid; error_log stderr;
        events {{}}
        http {{
            include /etc/nginx/mime.types; access_log off;
            client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
            uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
            {filled_in(variables)}
        }}""")
    command = ["nginx", "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    with program(command, port, folder / "nginx.log", dict(os.environ)):
        yield Site(port, plain_port, page, ssl.create_default_context(cafile=certificate))


def filled_in(variables: Mapping[str, str]) -> str:
    """The file from `deploy/`, as docs/deployment.md says."""
    named = " ".join(f"${name}" for name in variables)
    return subprocess.run(
        ["envsubst", named],
        input=TEMPLATE.read_text(),
        env={**os.environ, **variables},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_every_variable_of_the_file_is_explained() -> None:
    named = set(re.findall(r"\$\{(DUALFACE_\w+)\}", TEMPLATE.read_text()))
    explained = (REPOSITORY / "docs" / "deployment.md").read_text()
    assert named
    assert {name for name in named if f"`{name}`" not in explained} == set()


@pytest.mark.parametrize("path", ["/", "/server_info", "/review/index.html", "/raw_video/a/a.mp4", "/no-such-page"])
@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": f"Basic {base64.b64encode(b'ann:open').decode()}"}], ids=["none", "wrong"]
)
def test_without_the_password_there_is_nothing_to_see(site: Site, path: str, headers: dict[str, str]) -> None:
    answer = site.ask(path, headers=headers)
    assert answer.status == 401
    assert "strict-transport-security" in answer.headers
    assert site.ask("/graphql", "POST", headers, b'{"query": "{ version }"}').status == 401


def test_with_the_password_the_web_page_is_there_and_answers(site: Site) -> None:
    answer = site.ask("/")
    assert answer.status == 200
    assert b"Dagster" in answer.body
    version = site.query("{ version }")
    assert json.loads(version.body)["data"]["version"] == dg.__version__


def test_plain_http_leads_to_tls(site: Site) -> None:
    connection = http.client.HTTPConnection("localhost", site.plain_port)
    answer = _ask(connection, "/runs?view=all", "GET", {}, None)
    assert (answer.status, answer.headers["location"]) == (301, f"{site.url}/runs?view=all")


def test_the_websocket_passes_and_only_with_the_password(site: Site) -> None:
    address = f"wss://localhost:{site.port}/graphql"
    options: dict[str, Any] = {
        "ssl": site.tls,
        "subprotocols": ["graphql-ws"],
        "origin": site.url,
        "open_timeout": 120.0,  # the machine may be busy
    }
    with connect(address, additional_headers=PASSWORD, **options) as socket:
        socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(socket.recv())["type"] == "connection_ack"
        question = 'subscription { pipelineRunLogs(runId: "none") { __typename } }'
        socket.send(json.dumps({"type": "start", "id": "1", "payload": {"query": question}}))
        answer = json.loads(socket.recv())
    assert answer["payload"]["data"]["pipelineRunLogs"]["__typename"] == "PipelineRunLogsSubscriptionFailure"
    with pytest.raises(InvalidStatus, match="401"):
        connect(address, **options)
    with pytest.raises(InvalidStatus, match="403"):
        connect(address, additional_headers=PASSWORD, **{**options, "origin": "https://elsewhere.example"})


@pytest.mark.parametrize("path", ["/", "/server_info"])
def test_browsers_are_told_to_be_careful(site: Site, path: str) -> None:
    headers = site.ask(path).headers
    assert headers["strict-transport-security"] == "max-age=31536000"
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["server"] == "nginx"


def test_a_body_that_no_question_needs_is_refused(site: Site) -> None:
    assert site.ask("/graphql", "POST", body=bytes(3 << 20)).status == 413


def test_another_page_cannot_make_a_browser_change_anything(site: Site) -> None:
    in_a_link = "/graphql?query=" + quote(ADD_PARTITION % "by-a-link")
    for path in (in_a_link, in_a_link.replace("graphql", "%67raphql"), "/" + in_a_link):
        assert site.ask(path).status == 403
    for origin in ("https://elsewhere.example", "null", site.url + "0"):
        assert site.query(ADD_PARTITION % "by-a-form", Origin=origin).status == 403
        assert site.ask(in_a_link, "POST", {**PASSWORD, "Origin": origin}, b"").status == 403
    assert partitions(site.page) == []
    assert site.query(ADD_PARTITION % "by-the-page", Origin=site.url).status == 200
    assert partitions(site.page) == ["by-the-page"]
