"""`deploy/local/up FOLDER`: an instance of several hosts on this machine, with all the servers that it needs.

Belongs here: what a studio spreads over its network, on loopback: PostgreSQL, Redis, an S3 server, the service (code
server, daemon, web page), and workers, each with a home, a folder for work, a runtime folder and a card of its own, as
on a host of its own. Nothing is left running when it ends. The configuration is `deploy/hosts/dagster.yaml`, as it is.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local import servers
from deploy.local.servers import REPOSITORY, Server, free_port

CONFIGURATION: Final = REPOSITORY / "deploy" / "hosts" / "dagster.yaml"

_ALL_QUEUES: Final = "dualface,cpu"


@dataclass(frozen=True)
class Fleet:
    """What runs.

    Attributes:
        folder: where all of it lies.
        inbox: where videos are dropped.
        home: DAGSTER_HOME of the service.
        environment: the variables that all hosts share: store, database, broker.
        servers: by what they are: "postgres", "redis", "s3".
        service: code server, daemon and web page.
        workers: a host each.
    """

    folder: Path
    inbox: Path
    home: Path
    environment: Mapping[str, str]
    servers: Mapping[str, Server]
    service: Server
    workers: Sequence[Server]


@contextmanager
def fleet(
    folder: Path,
    cards: Sequence[Mapping[str, str]],
    *,
    configuration: str | None = None,
    queues: Sequence[str] = (),
    s3: Callable[[Path], AbstractContextManager[tuple[Server, int]]] = servers.s3,
) -> Iterator[Fleet]:
    """Run an instance for the length of the block.

    Args:
        folder: for its data, made unless it is there. Its name must be short: a socket's name holds it.
        cards: a worker for each of these: the variables of its host.
        configuration: text of `dagster.yaml`, if not that of `deploy/hosts`.
        queues: those that each worker serves, separated by commas, if not all of them.
        s3: starts the object store, given a folder. Gives its port, too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # PostgreSQL may have to run as another user
    with ExitStack() as stack:
        postgres, database = stack.enter_context(servers.postgres(folder / "postgres"))
        redis, broker = stack.enter_context(servers.redis(folder / "redis"))
        store, port = stack.enter_context(s3(folder / "s3"))
        endpoint = f"http://127.0.0.1:{port}"
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/videos", method="PUT")).close()
        shared = {
            "PYTHONPATH": str(REPOSITORY),
            "DUALFACE_POSTGRES": database,
            "DUALFACE_BROKER": broker,
            "DUALFACE_STORE": "s3://videos/store",
            "DUALFACE_INBOX": str(folder / "inbox"),
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

        def host(name: str, command: Sequence[str], says: bytes, variables: Mapping[str, str], ends: int) -> Server:
            home, log = folder / name / "home", folder / name / "log"
            home.mkdir(parents=True, exist_ok=True)
            (home / "dagster.yaml").write_text(configuration or CONFIGURATION.read_text())
            own = {
                "DAGSTER_HOME": str(home),
                "DUALFACE_WORK": str(folder / name / "work"),
                "DUALFACE_RUNTIME": str(folder / name / "runtime"),
            }
            environment = {**shared, **own, **variables}
            server = Server(command, lambda: says in log.read_bytes(), log, None, environment, signal.Signals(ends))
            stack.callback(server.stop)
            server.launch()
            return server

        serve = [sys.executable, "-m", "dualface_assets.service.serve"]
        web_page = {"DAGSTER_WEBSERVER_PORT": os.environ.get("DAGSTER_WEBSERVER_PORT") or str(free_port())}
        service = host("service", serve, b"Put videos into", web_page, signal.SIGINT)
        service.wait()  # it makes the tables, which cannot be made twice at once
        celery = [sys.executable, "-m", "celery", "--app", "dualface_assets.service.celery_app", "worker", "-l", "INFO"]
        workers = [
            host(f"host-{number}", [*celery, "-n", f"host-{number}", "-Q", served], b" ready.", card, signal.SIGQUIT)
            for number, (card, served) in enumerate(zip(cards, queues or [_ALL_QUEUES] * len(cards), strict=True), 1)
        ]
        for worker in workers:
            worker.wait()
        named = {"postgres": postgres, "redis": redis, "s3": store}
        yield Fleet(folder, folder / "inbox", folder / "service" / "home", shared, named, service, workers)


def main() -> int:
    """Run until Ctrl-C. Gives the exit status."""
    parser = argparse.ArgumentParser(prog="deploy/local/up", description=__doc__.partition("\n")[0].partition(": ")[2])
    parser.add_argument("folder", type=Path, help="where everything lies, with a short name")
    parser.add_argument("--hosts", type=int, default=2, help="worker hosts (default: 2)")
    parser.add_argument("--emulated-cards", action="store_true", help="give each host an emulated NVENC card")
    options = parser.parse_args()
    if reason := servers.why_unavailable("postgres", "redis", "s3", "fleet"):
        parser.error(reason)
    cards: list[Mapping[str, str]] = [{} for _ in range(options.hosts)]
    if options.emulated_cards:
        from tests.nvenc_emulator.driver import EmulatedDriver

        states = [options.folder.absolute() / f"card-{number}" for number in range(1, options.hosts + 1)]
        cards = [EmulatedDriver(state).environment() for state in states]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with fleet(options.folder.absolute(), cards) as started:
            print(f"{len(started.workers)} hosts are up. Put videos into {started.inbox}", flush=True)
            for name, value in started.service.environment.items():
                print(f"export {name}={shlex.quote(value)}", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
