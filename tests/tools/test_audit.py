"""The audit in a process of its own, with a stand-in for pip-audit that answers as 2.10.1 does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

STAND_IN = """
import json, os, sys, time
from pathlib import Path

files = [Path(value) for name, value in zip(sys.argv, sys.argv[1:]) if name == "--requirement"]
asked = [line.split("==") for file in files for line in file.read_text().splitlines()]
known = json.loads(os.environ["KNOWN"])
if known == "hangs":
    time.sleep(600)
if known == "fails":
    sys.exit("requests.exceptions.ConnectionError: no such host")
if known == "babbles":
    sys.exit(print("<html>Sign in</html>"))
print(json.dumps({"dependencies": [
    {"name": name, "version": version, "vulns": known[name]} if name in known else
    {"name": name, "skip_reason": f"Dependency not found on PyPI and could not be audited: {name} ({version})"}
    for name, version in asked
], "fixes": []}))
sys.exit(any(known.get(name) for name, _ in asked))
"""

DJANGO = {"id": "PYSEC-2019-16", "fix_versions": ["2.2.9", "3.0.1"], "aliases": ["CVE-2019-19844"]}
JINJA = {"id": "PYSEC-2021-66", "fix_versions": ["2.11.3"], "aliases": ["CVE-2020-28493"]}
UNFIXED = {"id": "PYSEC-2026-1", "fix_versions": [], "aliases": []}


def audit(tmp_path: Path, known: object, *options: str) -> tuple[int, str]:
    """Audit two packages where the service knows these; the exit code, and what was said."""
    (tmp_path / "pip_audit.py").write_text(STAND_IN)
    (tmp_path / "constraints.txt").write_text("jinja2==2.11.2\nrich==15.0.0\n")
    done = subprocess.run(
        [sys.executable, "-m", "tools.audit", "--constraints", str(tmp_path / "constraints.txt"), *options],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "KNOWN": json.dumps(known)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


@pytest.mark.parametrize("options", [[], ["--strict"]])
def test_what_was_looked_at_and_has_no_known_vulnerability_is_clean(tmp_path: Path, options: list[str]) -> None:
    known = {"jinja2": [], "rich": [], "django": [DJANGO]}
    assert audit(tmp_path, known, *options) == (
        0,
        "Audited: no vulnerability is known of the 2 pinned packages.\n",
    )


def test_a_vulnerable_package_fails_and_is_named_with_the_version_that_mends_it(tmp_path: Path) -> None:
    code, said = audit(tmp_path, {"jinja2": [JINJA, UNFIXED], "rich": [], "django": [DJANGO]})
    assert code == 1
    assert said.splitlines() == [
        "Vulnerable: jinja2 2.11.2: PYSEC-2021-66, fixed in 2.11.3.",
        "Vulnerable: jinja2 2.11.2: PYSEC-2026-1, no version without it is known.",
    ]


def test_a_vulnerable_package_fails_even_where_others_were_skipped(tmp_path: Path) -> None:
    assert audit(tmp_path, {"jinja2": [JINJA], "django": [DJANGO]})[0] == 1


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({}, "can't be reached or has no data: it reports nothing of django 2.2"),  # a mirror
        ({"jinja2": [], "rich": [], "django": []}, "it reports nothing of django 2.2"),
        ({"jinja2": [], "django": [DJANGO]}, "1 packages were skipped: rich"),
        ("fails", "pip-audit failed (requests.exceptions.ConnectionError: no such host)"),
        ("babbles", "an answer that cannot be read"),
    ],
    ids=["a mirror", "the canary is well", "one is skipped", "no network", "a captive portal"],
)
def test_what_was_not_looked_at_is_not_called_clean(tmp_path: Path, known: object, why: str) -> None:
    code, said = audit(tmp_path, known)
    assert code == 0
    assert said.startswith("Not audited: ")
    assert why in said
    assert audit(tmp_path, known, "--strict") == (2, said)


def test_a_service_that_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    assert audit(tmp_path, "hangs", "--strict", "--patience", "0.5") == (
        2,
        "Not audited: pip-audit had no answer within 0.5 seconds. Nothing is known of the dependencies, good or bad.\n",
    )
