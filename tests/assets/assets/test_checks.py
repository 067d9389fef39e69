from __future__ import annotations

import dagster as dg

from dualface_assets.assets.checks import ADVISORIES, GROUPS, advisory_result, results
from dualface_core.advice.advisories import Advisory, AdvisoryName
from dualface_core.verification.findings import Check, CheckGroup, Finding, Verification


def finding(check: Check, *, passed: bool = True, severity: str = "error") -> Finding:
    return Finding.model_validate(
        {"check": check, "passed": passed, "severity": severity, "value": 3, "expected": "0", "message": f"{check}!"}
    )


def by_name(*findings: Finding) -> dict[str | None, dg.AssetCheckResult]:
    return {result.check_name: result for result in results(Verification(findings=list(findings)))}


def test_every_finding_belongs_to_one_check() -> None:
    members = [member for _, group in GROUPS.values() for member in group]
    assert sorted(members) == sorted(Check)
    assert sorted(GROUPS) == sorted(CheckGroup)


def test_every_advisory_is_a_check_of_one_asset() -> None:
    assert sorted(name for names in ADVISORIES.values() for name in names) == sorted(AdvisoryName)


def test_findings_in_reports_of_earlier_versions_can_be_read() -> None:
    assert finding(Check("colour")).check is Check.COLOR
    assert finding(Check("likeness")).check is Check.SSIM


def test_a_check_says_what_was_found() -> None:
    found = by_name(finding(Check.TIMESTAMPS), finding(Check.BLACK), finding(Check.FROZEN, passed=False))
    assert found[CheckGroup.TIMING].passed
    assert found[CheckGroup.TIMING].description == "timestamps!"
    assert not found[CheckGroup.FRAMES].passed
    assert found[CheckGroup.FRAMES].severity is dg.AssetCheckSeverity.ERROR
    assert found[CheckGroup.FRAMES].description == "frozen!"
    table = found[CheckGroup.FRAMES].metadata["findings"]
    assert isinstance(table, dg.TableMetadataValue)
    assert [record.data["result"] for record in table.records] == ["passed", "error"]


def test_a_warning_does_not_stop_anything() -> None:
    result = by_name(finding(Check.IDENTITY, passed=False, severity="warning"))[CheckGroup.PEOPLE]
    assert not result.passed
    assert result.severity is dg.AssetCheckSeverity.WARN


def test_an_error_is_not_hidden_behind_a_warning() -> None:
    result = by_name(finding(Check.FACE, passed=False, severity="warning"), finding(Check.IDENTITY, passed=False))
    assert result[CheckGroup.PEOPLE].severity is dg.AssetCheckSeverity.ERROR


def test_a_concern_warns_with_its_figures_and_what_to_do() -> None:
    advisory = Advisory(
        name=AdvisoryName.FACES_IN_TILES, passed=False, message="Look.", action="Do.", figures={"share (%)": 90.0}
    )
    result = advisory_result("composed_tiles", advisory)
    assert result.check_name == "faces_in_tiles"
    assert not result.passed
    assert result.severity is dg.AssetCheckSeverity.WARN
    assert {name: value.value for name, value in result.metadata.items()} == {"share (%)": 90.0, "what to do": "Do."}


def test_what_was_not_looked_at_did_not_pass() -> None:
    assert set(by_name(finding(Check.READABLE, passed=False))) == {CheckGroup.FILE}
