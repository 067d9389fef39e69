"""Asset checks: what is found when a result is decoded again, and what a person should know although it is right.

Belongs here: which findings make up which check, by what a viewer would notice, and which asset each advisory is about.
A result is verified before it is published, by the step that publishes it; that step also records these checks, and one
with an error means that nothing was published. An advisory is a warning, and stops nothing.

The checks are planned by no run that makes an asset. Dagster counts a check that was planned and not carried out as
failed, and shows each check's last execution, whichever video it was about: one bad upload had every check of every
asset red. They are recorded as they are made, for their own partition; `check_again` makes them without the assets.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

import dagster as dg

from dualface_assets.runs.dagster_internals import AssetCheckEvaluationTargetMaterializationData
from dualface_assets.store.partitions import videos
from dualface_core.advice.advisories import Advisory, AdvisoryName
from dualface_core.verification.findings import Check, CheckGroup, Finding, Verification

if TYPE_CHECKING:  # with PyAV
    from dualface_core.rendering.report import EncodeReport

GROUPS: Final[Mapping[CheckGroup, tuple[str, frozenset[Check]]]] = {
    CheckGroup.FILE: (
        "It decodes to its end, and has the size, codec and colors that it should have.",
        frozenset({Check.READABLE, Check.SIZE, Check.CODEC, Check.COLOR, Check.METADATA}),
    ),
    CheckGroup.TIMING: (
        "Every frame is there, at its own time.",
        frozenset({Check.FRAME_COUNT, Check.TIMESTAMPS, Check.LIP_SYNC}),
    ),
    CheckGroup.AUDIO: (
        "The audio is there, complete and in time with the frames.",
        frozenset({Check.AUDIO, Check.AUDIO_PACKETS, Check.AUDIO_TIMING, Check.AUDIO_CONTENT, Check.DRIFT}),
    ),
    CheckGroup.FRAMES: (
        "No tile is black or frozen, and each shows what was planned.",
        frozenset(
            {Check.BLACK, Check.FROZEN, Check.SSIM, Check.DETAIL, Check.CROP, Check.QUALITY}
            | {Check.BACKGROUND, Check.BARS, Check.SEAMS}
        ),
    ),
    CheckGroup.PEOPLE: (
        "Each tile shows a face, and it is the right person's.",
        frozenset({Check.FACE, Check.IDENTITY, Check.PEOPLE, Check.DOUBLED}),
    ),
}
"""Name of each check: its description, and the findings that belong to it."""

VERIFIED: Final = "encoded_video"
"""The asset that is verified."""

ADVISORIES: Final[Mapping[str, Mapping[AdvisoryName, str]]] = {
    "face_tracks": {AdvisoryName.IDENTITY_MARGIN: "It is clear everywhere who is A and who is B."},
    "composed_tiles": {
        AdvisoryName.FACES_IN_TILES: "The tiles show the faces that are there, whole.",
        AdvisoryName.UPSCALING: "No tile enlarges the source so much that it looks soft.",
    },
    "encoded_video": {
        AdvisoryName.ENCODER: "Software did not have to do what NVENC should have done.",
        AdvisoryName.SOURCE: "Nothing of the source was changed, dropped or repaired.",
    },
}
"""For each asset the checks that only warn: their names, and what holds if they pass."""


def specs(asset: str) -> list[dg.AssetCheckSpec]:
    """The checks of `asset`: those of a verification, one per group, and those that only warn."""
    verified = {name.value: description for name, (description, _) in GROUPS.items()} if asset == VERIFIED else {}
    warned = {name.value: description for name, description in ADVISORIES[asset].items()}
    with warnings.catch_warnings():
        # Without a partition a check would show the last video's result for every video.
        warnings.filterwarnings("ignore", message=".*partitions_def on an AssetCheckSpec.*")
        return [
            dg.AssetCheckSpec(name, asset=asset, description=description, partitions_def=videos)
            for name, description in (verified | warned).items()
        ]


def record(
    context: dg.OpExecutionContext | dg.AssetExecutionContext,
    found: Iterable[dg.AssetCheckResult],
    *,
    published: bool = True,
) -> None:
    """Note results for this run's partition among its events.

    Args:
        context: of the step.
        found: the results.
        published: whether they are about what was materialized last, rather than about what was thrown away.
    """
    for result in found:
        assert result.asset_key is not None, "every result says which asset it is about"
        wanted = dg.AssetRecordsFilter(result.asset_key, asset_partitions=[context.partition_key])
        latest = context.instance.fetch_materializations(wanted, limit=1).records if published else []
        about = [
            AssetCheckEvaluationTargetMaterializationData(
                storage_id=made.storage_id, run_id=made.run_id, timestamp=made.timestamp
            )
            for made in latest
        ]
        evaluation = dg.AssetCheckEvaluation(
            asset_key=result.asset_key,
            check_name=str(result.check_name),
            passed=result.passed,
            severity=result.severity,
            description=result.description,
            metadata=result.metadata,
            partition=context.partition_key,
            target_materialization_data=about[0] if about else None,
        )
        context.log_event(evaluation)  # type: ignore[arg-type]  # which it takes, whatever it declares


def results(verification: Verification) -> Iterator[dg.AssetCheckResult]:
    """The checks' results, one per group. A group without findings was not checked, so it has no result.

    (Where the file cannot be read, nothing can be said of its audio.)
    """
    for name, (_, members) in GROUPS.items():
        findings = [finding for finding in verification.findings if finding.check in members]
        if not findings:
            continue
        failed = [finding for finding in findings if not finding.passed]
        error = any(finding.severity == "error" for finding in failed)
        yield dg.AssetCheckResult(
            asset_key=VERIFIED,
            check_name=name.value,
            passed=not failed,
            severity=dg.AssetCheckSeverity.WARN if failed and not error else dg.AssetCheckSeverity.ERROR,
            description=" ".join(finding.message for finding in failed or findings),
            metadata={"findings": findings_table(findings)},
        )


def results_of(report: EncodeReport) -> Iterator[dg.AssetCheckResult]:
    """The results of all checks of a verified result, by its report."""
    if report.verification:
        yield from results(report.verification)
    yield from (advisory_result(VERIFIED, found) for found in report.advisories if found.name in ADVISORIES[VERIFIED])


def advisory_result(asset: str, advisory: Advisory) -> dg.AssetCheckResult:
    """An advisory as the result of the check of `asset` that has its name."""
    advice = {"what to do": advisory.action} if advisory.action else {}
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=advisory.name.value,
        passed=advisory.passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=advisory.message,
        metadata={**advisory.figures, **advice},
    )


def findings_table(findings: list[Finding]) -> dg.TableMetadataValue:
    """Findings as a table for the web page."""
    records = [
        dg.TableRecord(
            {
                "finding": finding.check.value,
                "result": "passed" if finding.passed else finding.severity,
                "value": "" if finding.value is None else str(finding.value),
                "expected": finding.expected,
                "message": finding.message,
            }
        )
        for finding in findings
    ]
    names = ("finding", "result", "value", "expected", "message")
    return dg.MetadataValue.table(records, dg.TableSchema([dg.TableColumn(name, "string") for name in names]))
