"""Whether vulnerabilities are known of the packages in `constraints.txt`: `make audit`.

Belongs here: asking pip-audit, and reading its answer with distrust. Where its service knows nothing of a package, as
behind a mirror of PyPI that has no vulnerability data, pip-audit says "No known vulnerabilities found" and succeeds
(2.10.1). So it is asked in the same breath for a package of which vulnerabilities are known, the canary: only a service
that reports that one has looked at all.

Exit codes: 1 where a vulnerability is known, else 0; with `--strict` 2 where nobody could be asked.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CONSTRAINTS: Final = Path(__file__).resolve().parent.parent / "constraints.txt"

CANARY: Final = ("django", "2.2")
"""A release with dozens of published vulnerabilities, of a package that is none of ours."""

_PATIENCE: Final = 60.0
"""Seconds for the whole audit, however many packages the service is silent about."""

_VULNERABLE: Final = 1
_NOT_AUDITED: Final = 2


class NotAuditedError(Exception):
    """There is no answer that could be read; the message says why."""


@dataclass(frozen=True)
class Vulnerability:
    """What is known of one package.

    Attributes:
        package: its name and version.
        name: of the vulnerability, in the service's list.
        fixed_in: versions that don't have it.
    """

    package: str
    name: str
    fixed_in: tuple[str, ...]

    def __str__(self) -> str:
        advice = f"fixed in {', '.join(self.fixed_in)}" if self.fixed_in else "no version without it is known"
        return f"{self.package}: {self.name}, {advice}"


@dataclass(frozen=True)
class Audit:
    """An answer of pip-audit.

    Attributes:
        vulnerabilities: that are known of our packages.
        audited: how many of our packages the service knew.
        skipped: those that it did not.
        canary_reported: whether it told of the package that is known to be vulnerable.
    """

    vulnerabilities: tuple[Vulnerability, ...]
    audited: int
    skipped: tuple[str, ...]
    canary_reported: bool

    @property
    def doubt(self) -> str | None:
        """Why this audit proves nothing; None if it does."""
        if not self.canary_reported:
            known = f"{CANARY[0]} {CANARY[1]}"
            return f"the vulnerability service can't be reached or has no data: it reports nothing of {known}"
        if self.skipped or not self.audited:
            return f"{len(self.skipped)} packages were skipped: {', '.join(self.skipped)}"
        return None


def read(answer: str) -> Audit:
    """Read what pip-audit has written as JSON. Raises NotAuditedError where it is nothing of the kind."""
    try:
        packages = json.loads(answer)["dependencies"]
        ours = [package for package in packages if package["name"] != CANARY[0]]
        canaries = [package for package in packages if package["name"] == CANARY[0]]
        looked_at = [package for package in ours if "vulns" in package]
        return Audit(
            vulnerabilities=tuple(
                Vulnerability(f"{package['name']} {package['version']}", found["id"], tuple(found["fix_versions"]))
                for package in looked_at
                for found in package["vulns"]
            ),
            audited=len(looked_at),
            skipped=tuple(package["name"] for package in ours if "vulns" not in package),
            canary_reported=any(canary.get("vulns") for canary in canaries),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise NotAuditedError("pip-audit gave an answer that cannot be read") from error


def ask(constraints: Path, *, patience: float) -> Audit:
    """Ask pip-audit for all pinned packages and the canary. Raises NotAuditedError."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as canary:
        canary.write("==".join(CANARY) + "\n")
        canary.flush()
        command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--format", "json", "--desc", "off"]
        command += ["--progress-spinner", "off", "--requirement", str(constraints), "--requirement", canary.name]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=patience, check=False)
        except subprocess.TimeoutExpired as error:
            raise NotAuditedError(f"pip-audit had no answer within {patience:g} seconds") from error
    if not done.stdout.strip():  # its exit code is 1 for a vulnerability as for an error
        raise NotAuditedError(f"pip-audit failed ({(done.stderr.strip().splitlines() or ['without a word'])[-1]})")
    return read(done.stdout)


def main(arguments: list[str] | None = None) -> int:
    """Audit, say what was found, and give the exit code."""
    parser = argparse.ArgumentParser(description="Look for known vulnerabilities of the pinned packages.")
    parser.add_argument("--strict", action="store_true", help="fail, too, where the audit could not be made")
    parser.add_argument("--constraints", type=Path, default=CONSTRAINTS, help="the pinned packages (%(default)s)")
    parser.add_argument("--patience", type=float, default=_PATIENCE, help="seconds for the audit (%(default)g)")
    given = parser.parse_args(arguments)
    try:
        audit = ask(given.constraints, patience=given.patience)
    except NotAuditedError as error:
        return _not_audited(str(error), strict=given.strict)
    for vulnerability in audit.vulnerabilities:
        print(f"Vulnerable: {vulnerability}.")
    if audit.vulnerabilities:
        return _VULNERABLE
    if audit.doubt is not None:
        return _not_audited(audit.doubt, strict=given.strict)
    print(f"Audited: no vulnerability is known of the {audit.audited} pinned packages.")
    return 0


def _not_audited(why: str, *, strict: bool) -> int:
    print(f"Not audited: {why}. Nothing is known of the dependencies, good or bad.")
    return _NOT_AUDITED if strict else 0


if __name__ == "__main__":
    sys.exit(main())
