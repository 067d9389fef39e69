"""What verification finds and what it misses, on every sample scene: writes the tables of docs/verification.md.

Each scene is rendered right, at several qualities, and in the wrong ways of tests/core/verification, and each result
is verified. A tampering counts as caught where it is refused, as warned where it is only told, and as missed otherwise.

    python -m benchmarks.tampering
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

from dualface_core import pipeline
from dualface_core.encoding.settings import EncoderSettings, software_encoder
from dualface_core.sample import make_sample
from dualface_core.sample.scenes import Scene
from dualface_core.settings import Settings
from dualface_core.system.threads import limit_library_threads
from dualface_core.verification.findings import Check, Finding, Verification
from tests.core.verification.results import Job, render
from tests.core.verification.test_audio import TAMPERINGS, compared, speech
from tests.core.verification.test_tampering import CASES, FRAMES

DOCUMENT = Path(__file__).parents[1] / "docs" / "verification.md"


def made(folder: Path, scene: Scene) -> Job:
    """A source of a scene, 3 s long, and a right result."""
    folder.mkdir()
    source = folder / "source.mp4"
    make_sample(
        source, scene=scene, seconds=FRAMES / 10, width=640, height=360, fps=10, seed=0, cache=Settings.load().cache
    )
    video = pipeline.probe(source)
    tracks = pipeline.track(video)
    job = Job(video, tracks, pipeline.plan_tiles(video, tracks), folder / "right.mp4")
    render(job, job.output)
    return job


def outcome(verification: Verification) -> str:
    """What a verification says of a wrong result."""
    return "caught" if verification.failures else "warned" if verification.warnings else "missed"


def counts(scenes: Iterable[Scene], results: Sequence[Verification], *, expected: str) -> list[str]:
    """How many results are caught, warned and missed, with the scenes of those that are not as expected."""
    by_outcome: dict[str, list[str]] = {each: [] for each in ("caught", "warned", "missed")}
    for scene, result in zip(scenes, results, strict=True):
        by_outcome[outcome(result)].append(scene)
    return [
        str(len(names)) if each == expected or not names else f"{len(names)}: {', '.join(names)}"
        for each, names in by_outcome.items()
    ]


def allowed(findings: Sequence[Finding], check: Check) -> str:
    """What a check would have let pass."""
    return next((finding.expected for finding in findings if finding.check is check and not finding.passed), "")


def tamperings(jobs: Mapping[Scene, Job], folder: Path) -> Iterator[list[str]]:
    """Rows: what is wrong, what finds it, what is allowed, and how many results are caught, warned and missed.

    The first is of right results. Scenes are named where a wrong one is not caught, and a right one not passed.
    """
    right = [job.verify() for job in jobs.values()]
    yield ["none: right results", "-", "-", *counts(jobs, right, expected="missed")]
    for name, edit, check, _ in CASES:
        results = [job.verify(render(job, folder / "wrong.mp4", edit=edit)) for job in jobs.values()]
        findings = [finding for result in results for finding in result.findings]
        yield [name, check, allowed(findings, check), *counts(jobs, results, expected="caught")]
    for name, (tamper, _) in TAMPERINGS.items():
        finding = compared(folder, speech(), tamper(speech()))
        yield [
            f"audio: {name}",
            finding.check,
            finding.expected,
            str(int(not finding.passed)),
            "0",
            str(int(finding.passed)),
        ]


def qualities(jobs: Iterable[Job], folder: Path, cases: Sequence[tuple[str, str, int]]) -> Iterator[list[str]]:
    """Rows: how a result was coded, how far it is from what was composed, and how many are refused."""
    for codec, preset, quality in cases:
        encoder = software_encoder(EncoderSettings(codec=codec, preset=preset, quality=quality))
        results = [job.verify(render(job, folder / "coded.mp4", encoder=encoder)) for job in jobs]
        findings = [finding for result in results for finding in result.findings]
        cells = [codec, preset, str(quality), f"{min(map(structure, findings)):.3f}"]
        for check, worst in ((Check.QUALITY, min), (Check.SSIM, min), (Check.COLOR, max), (Check.DETAIL, min)):
            values = [finding.value for finding in findings if finding.check is check]
            cells.append(f"{worst(value for value in values if isinstance(value, float)):.3g}")
        refused = Counter(finding.check for result in results for finding in result.failures)
        yield [*cells, str(sum(not result.passed for result in results)), ", ".join(sorted(refused)) or "-"]


def structure(finding: Finding) -> float:
    """The SSIM that a finding about quality states beside its PSNR; 1 of any other."""
    said = re.search(r"an SSIM of ([0-9.]+[0-9])", finding.message)
    return float(said[1]) if said and finding.check is Check.QUALITY else 1.0


def table(title: Sequence[str], rows: Iterator[list[str]]) -> str:
    """A table in Markdown, printed row by row as it is made."""
    lines = [f"| {' | '.join(title)} |", f"|{'---|' * len(title)}"]
    for row in rows:
        lines.append(f"| {' | '.join(row)} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def write(name: str, content: str) -> None:
    """Put a table in its place in the document."""
    text = DOCUMENT.read_text(encoding="utf-8")
    place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    DOCUMENT.write_text(place.sub(lambda match: f"{match[1]}{content}\n{match[2]}", text, count=1), encoding="utf-8")


def main() -> None:
    """Measure, and write the tables."""
    limit_library_threads()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", default=",".join(Scene))
    parser.add_argument("--codecs", default="h264,hevc,av1")
    parser.add_argument("--presets", default="fast")
    parser.add_argument("--qualities", default="20,40,51")
    options = parser.parse_args()
    scenes = [Scene(scene) for scene in options.scenes.split(",")]
    cases = list(product(options.codecs.split(","), options.presets.split(","), map(int, options.qualities.split(","))))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        jobs = {scene: made(folder / scene, scene) for scene in scenes}
        of = f"of {len(jobs)} scenes" if scenes == list(Scene) else f"of {', '.join(scenes)}"
        found = table(
            ["tampering", "found by", "allowed", f"caught {of}", "warned", "missed"], tamperings(jobs, folder)
        )
        write("tamperings", found)
        coded = table(
            [
                "codec",
                "preset",
                "quality",
                "least SSIM",
                "least PSNR",
                "least SSIM of fingerprints",
                "most color",
                "least detail",
                f"refused {of}",
                "by",
            ],
            qualities(jobs.values(), folder, cases),
        )
        write("qualities", coded)


if __name__ == "__main__":
    main()
