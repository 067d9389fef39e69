from __future__ import annotations

import dagster as dg

from dualface_assets.assets.checks import GROUPS, advisory_result, results
from dualface_core.advice.advisories import Advisory
from dualface_core.verification.findings import Check, Finding, Verification


def finding(check: Check, *, passed: bool = True, severity: str = "error") -> Finding:
    return Finding.model_validate(
        {"check": check, "passed": passed, "severity": severity, "value": 3, "expected": "0", "message": f"{check}!"}
    )


def by_name(*findings: Finding) -> dict[str | None, dg.AssetCheckResult]:
    return {result.check_name: result for result in results(Verification(findings=list(findings)))}


def test_every_finding_belongs_to_one_check() -> None:
    members = [member for _, group in GROUPS.values() for member in group]
    assert sorted(members) == sorted(Check)


def test_a_check_says_what_was_found() -> None:
    found = by_name(finding(Check.TIMESTAMPS), finding(Check.BLACK), finding(Check.FROZEN, passed=False))
    assert found["timing"].passed
    assert found["timing"].description == "timestamps!"
    assert not found["picture"].passed
    assert found["picture"].severity is dg.AssetCheckSeverity.ERROR
    assert found["picture"].description == "frozen!"
    table = found["picture"].metadata["findings"]
    assert isinstance(table, dg.TableMetadataValue)
    assert [record.data["result"] for record in table.records] == ["passed", "error"]


def test_a_warning_does_not_stop_anything() -> None:
    result = by_name(finding(Check.IDENTITY, passed=False, severity="warning"))["people"]
    assert not result.passed
    assert result.severity is dg.AssetCheckSeverity.WARN


def test_an_error_is_not_hidden_behind_a_warning() -> None:
    result = by_name(finding(Check.FACE, passed=False, severity="warning"), finding(Check.IDENTITY, passed=False))
    assert result["people"].severity is dg.AssetCheckSeverity.ERROR


def test_a_concern_warns_with_its_figures_and_what_to_do() -> None:
    advisory = Advisory(name="faces in tiles", passed=False, message="Look.", action="Do.", figures={"share (%)": 90.0})
    result = advisory_result(advisory)
    assert result.check_name == "faces_in_tiles"
    assert not result.passed
    assert result.severity is dg.AssetCheckSeverity.WARN
    assert {name: value.value for name, value in result.metadata.items()} == {"share (%)": 90.0, "what to do": "Do."}


def test_what_was_not_looked_at_did_not_pass() -> None:
    assert set(by_name(finding(Check.READABLE, passed=False))) == {"file"}
