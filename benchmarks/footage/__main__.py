"""Is a clip directed as an editor would? Figures and contact sheets of clips that are not the project's own samples.

A clip is probed, tracked and planned; nothing is encoded. The plan's crop windows are judged twice: against the tracks
in every frame, and against faces that are found anew in about four frames a second, in the source and in the composed
tiles.

    python -m benchmarks.footage CLIP... [--sheets FOLDER] [--json FILE]

A CLIP may be a JSON file: a list of `{"clip": "path from the list", "cuts": [first frame of each new shot, ...]}`, with
`"cuts": null` where they are not known. Printed per clip, as shares of the frames; what is found anew follows a stroke:

- doubled: a face is in two tiles. both: two tiles show the same two faces.
- empty: a person is in the frame, and their own tile does not show them; found anew: it shows no face.
- sliced: a tile's edge goes through the face of its own person, strangers: through somebody else's.
- bars, seams: a black bar along an edge of a tile; an edge from one side to the other, straight to the pixel, that is
  at the same place of the source a quarter of a second before or after.
- eyes: median height of A's and of B's eyes in a split, and of their difference; size: the larger face by the smaller.
- jerk: root mean square, as a share of that of a one-euro follow of the same faces.
- step: the largest movement of a crop window's edge from one frame to the next, as one part of so many of its width.
- cuts: found, of those known, and false ones.

Where a figure misses its target, the times follow. The exit code is 1 if one does.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.footage.looks import RATE, Looks, look, sheet
from benchmarks.footage.motion import motion
from benchmarks.footage.windows import Faces, flaws
from dualface_core import pipeline
from dualface_core.system.threads import limit_library_threads
from dualface_core.tables.declared import BOX
from dualface_core.tables.face_tracks import FaceTracks
from dualface_core.tables.tile_plan import TilePlan

NEAR: Final = 2
"""Frames by which a cut may be missed and still is that cut."""


@dataclass(frozen=True)
class Figures:
    """The figures of one clip; see the module. Pairs are by the tracks, and found anew.

    Attributes:
        frames: of the clip.
        scenes: share of the frames in each kind of scene, and how many scenes there are.
        eye_difference, size_ratio: medians, None without a split in which both faces are found.
        cuts_known: None where nobody says.
        cuts_exact: of those known, how many are found in their very frame; `cuts_found`: within two.
        times: begin and end in seconds of what is wrong, by figure.
    """

    clip: str
    frames: int
    scenes: dict[str, float]
    scene_count: int
    doubled: tuple[float, float]
    both: tuple[float, float]
    empty: tuple[float, float]
    sliced: tuple[float, float]
    strangers: tuple[float, float]
    bars: float
    seams: float
    eyes: tuple[float, float] | None
    eye_difference: float | None
    size_ratio: float | None
    jerk: float
    step: float
    cuts: list[int]
    cuts_known: int | None
    cuts_found: int | None
    cuts_exact: int | None
    cuts_false: list[int] | None
    times: dict[str, list[tuple[float, float]]]

    def missed(self) -> dict[str, str]:
        """The figures that miss their target, and the target."""
        targets: list[tuple[str, float | None, float]] = [
            ("doubled", max(self.doubled), 0.01),
            ("both", max(self.both), 0.01),
            ("empty", max(self.empty), 0.02),
            ("sliced", max(self.sliced), 0.03),
            ("strangers", max(self.strangers), 0.03),
            ("bars", self.bars, 0.0),
            ("seams", self.seams, 0.0),
            ("eye_difference", self.eye_difference, 0.03),
            ("size_ratio", self.size_ratio, 1.15),
            ("jerk", self.jerk, 1 / 20),
            ("step", self.step, 1 / 200),
            ("cuts_false", float(len(self.cuts_false or [])), 0.0),
        ]
        found = {name: f"{value:.4g}, target {most:.4g}" for name, value, most in targets if (value or 0) > most}
        if self.cuts_found is not None and self.cuts_known is not None and self.cuts_found < self.cuts_known:
            found["cuts"] = f"{self.cuts_found} of {self.cuts_known}"
        return found


def main() -> None:
    """Measure and print."""
    limit_library_threads()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    parser.add_argument("--layout", help="name of the layout")
    parser.add_argument("--tracks", type=Path, help="folder in which tracks are kept, for plans that are made anew")
    parser.add_argument("--sheets", type=Path, help="folder for a contact sheet of each clip")
    parser.add_argument("--json", type=Path, help="file for all figures, with the times of what is wrong")
    options = parser.parse_args()
    results = []
    for clip, cuts in listed(options.clips):
        figures, looks = measure(clip, cuts, options.layout, options.tracks)
        print_figures(figures)
        results.append(figures)
        if options.sheets:
            options.sheets.mkdir(parents=True, exist_ok=True)
            (options.sheets / f"{clip.stem}.jpg").write_bytes(sheet(looks))
        if options.json:
            options.json.write_text(json.dumps([asdict(result) for result in results], indent=1))
    sys.exit(1 if any(result.missed() for result in results) else 0)


def listed(clips: Sequence[Path]) -> Iterator[tuple[Path, list[int] | None]]:
    """The clips, and their cuts where a list tells them."""
    for path in clips:
        if path.suffix == ".json":
            for entry in json.loads(path.read_text()):
                yield path.parent / entry["clip"], entry.get("cuts")
        else:
            yield path, None


def measure(
    clip: Path, known: list[int] | None, layout: str | None = None, kept: Path | None = None
) -> tuple[Figures, Looks]:
    """Track, plan and judge one clip. Tracks that are `kept` from an earlier call are taken as they are."""
    video = pipeline.probe(clip)
    table = kept / f"{clip.stem}.tracks.parquet" if kept else None
    if table is not None and table.exists():
        tracks = FaceTracks.read(table)
    else:
        tracks = pipeline.track(video)
        if table is not None:
            table.parent.mkdir(parents=True, exist_ok=True)
            tracks.write(table)
    plan = pipeline.plan_tiles(video, tracks, layout=layout)
    looks = look(video, plan, tracks)
    return judged(clip.name, plan, tracks, looks, known), looks


def judged(clip: str, plan: TilePlan, tracks: FaceTracks, looks: Looks, known: list[int] | None) -> Figures:
    """The figures of a clip that was looked at."""
    size = np.array(tracks.metadata.frame_size, np.float64)
    shown = (plan.crop_windows.astype(np.float64), plan.drawn, plan.subjects)
    by_tracks, anew = flaws(_tracked(tracks), *shown, size), flaws(looks.faces, *shown, size)
    samples = len(looks.frames)
    times: dict[str, list[tuple[float, float]]] = {}
    pairs: dict[str, tuple[float, float]] = {}
    for name in ("doubled", "both", "empty", "sliced", "strangers"):
        flags, flags_anew = getattr(by_tracks, name), getattr(anew, name)
        seen_anew = sorted(looks.empty) if name == "empty" else tracks.times[flags_anew].tolist()
        pairs[name] = float(flags.mean()), len(set(seen_anew)) / max(1, samples)
        times[name] = _spans(tracks.times[flags]) or _spans(np.array(seen_anew))
    times |= {"bars": _spans(np.array(looks.bars)), "seams": _spans(np.array(looks.seams))}
    moved = motion(plan, tracks)
    times["step"] = [(moved.step_at, moved.step_at)]
    eyes = np.array(looks.eyes).reshape(-1, 4)
    sizes = np.sort(eyes[:, 2:], axis=1)
    kinds = Counter[str]()
    for scene in plan.scenes:
        kinds[scene.kind] += len(scene)
    cuts = tracks.cuts.tolist()
    false = None if known is None else [cut for cut in cuts if not any(abs(cut - at) <= NEAR for at in known)]
    times["cuts_false"] = _spans(tracks.times[false or []])
    return Figures(
        clip=clip,
        frames=plan.frame_count,
        scenes={kind: count / plan.frame_count for kind, count in kinds.items()},
        scene_count=len(plan.scenes),
        **pairs,
        bars=len(set(looks.bars)) / max(1, samples),
        seams=len(set(looks.seams)) / max(1, samples),
        eyes=tuple(np.median(eyes[:, :2], axis=0).tolist()) if len(eyes) else None,
        eye_difference=float(np.median(np.abs(eyes[:, 0] - eyes[:, 1]))) if len(eyes) else None,
        size_ratio=float(np.median(sizes[:, 1] / sizes[:, 0])) if len(eyes) else None,
        jerk=moved.jerk / moved.followed if moved.followed else 0.0,
        step=moved.step,
        cuts=cuts,
        cuts_known=None if known is None else len(known),
        cuts_found=None if known is None else sum(any(abs(cut - at) <= NEAR for cut in cuts) for at in known),
        cuts_exact=None if known is None else len(set(cuts) & set(known)),
        cuts_false=false,
        times=times,
    )


def _tracked(tracks: FaceTracks) -> Faces:
    columns = [tracks.table[name].to_numpy() for name in BOX]
    people = [person or "" for person in tracks.table["person"].to_pylist()]
    return Faces(
        tracks.table["frame"].to_numpy(), np.stack(columns, axis=1).astype(np.float64), np.array(people, np.str_)
    )


def _spans(times: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Begin and end of each stretch of times that are no farther apart than samples are."""
    times = np.unique(times)
    edges = [0, *(np.flatnonzero(np.diff(times) > 1.5 / RATE) + 1).tolist(), len(times)]
    return [(round(float(times[a]), 2), round(float(times[b - 1]), 2)) for a, b in pairwise(edges) if b > a]


def print_figures(figures: Figures) -> None:
    """Print one clip."""

    def pair(values: tuple[float, float]) -> str:
        return "/".join(f"{value:.1%}" for value in values)

    kinds = ", ".join(f"{kind} {share:.0%}" for kind, share in figures.scenes.items())
    print(f"\n{figures.clip}: {figures.frames} frames, {figures.scene_count} scenes ({kinds})")
    for name in ("doubled", "both", "empty", "sliced", "strangers"):
        print(f"  {name} {pair(getattr(figures, name))}", end="")
    print(f"\n  bars {figures.bars:.1%}  seams {figures.seams:.1%}", end="")
    if figures.eyes is not None:
        eyes = " and ".join(f"{height:.3f}" for height in figures.eyes)
        print(f"  eyes {eyes}, apart {figures.eye_difference:.3f}  size {figures.size_ratio:.2f}", end="")
    print(f"  jerk {figures.jerk:.4f}  step 1/{1 / max(figures.step, 1e-6):.0f}", end="")
    of = "" if figures.cuts_known is None else f" of {figures.cuts_known}, exact {figures.cuts_exact}"
    found = len(figures.cuts) if figures.cuts_found is None else figures.cuts_found
    print(f"  cuts {found}{of}, false {figures.cuts_false if figures.cuts_false is not None else 'unknown'}")
    for name, what in figures.missed().items():
        spans: list[Any] = figures.times.get(name, [])
        at = ", ".join(f"{begin:g}" if begin == end else f"{begin:g}-{end:g}" for begin, end in spans[:12])
        print(
            f"  MISSED {name} {what}{': at ' + at + ' s' if at else ''}{' ...' if len(spans) > 12 else ''}", flush=True
        )


if __name__ == "__main__":
    main()
