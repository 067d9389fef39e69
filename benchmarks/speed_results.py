"""Case and Result: what `benchmarks.speed` measures, and the file in which it keeps that.

Belongs here: the data. A file of results has a line of JSON for each time that a program did a case, written when it
ended, so that a measurement that is stopped goes on later, and files of several machines make one page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Final

from pydantic import BaseModel, ConfigDict

from benchmarks.measuring import Cost

BASE: Final = "ffmpeg"
"""The program whose time is that of the others' measure."""


class Case(BaseModel):
    """So many videos at once, of one size (as WIDTHxHEIGHT) and length in seconds, with one preset of x264."""

    model_config = ConfigDict(frozen=True)

    videos: int
    seconds: float
    size: str
    preset: str

    @classmethod
    def parse(cls, text: str) -> Case:
        """Of what `str` gives, such as "4x60s@1920x1080:veryfast". Raises ValueError."""
        found = re.fullmatch(r"(\d+)x([\d.]+)s@(\d+x\d+):(\w+)", text)
        if not found:
            raise ValueError(f"{text} is no case, such as 4x60s@1920x1080:veryfast")
        videos, seconds, size, preset = found.groups()
        return cls(videos=int(videos), seconds=float(seconds), size=size, preset=preset)

    def __str__(self) -> str:
        return f"{self.videos}x{self.seconds:g}s@{self.size}:{self.preset}"

    @property
    def length(self) -> str:
        """Of a video, for people."""
        return f"{self.seconds / 60:g} min" if self.seconds >= 60 else f"{self.seconds:g} s"

    @property
    def title(self) -> str:
        """What it is, for people."""
        return f"{self.size}, {self.videos} video{'s' * (self.videos > 1)} of {self.length}, {self.preset}"


class Result(BaseModel):
    """What a program took for a case, once.

    Attributes:
        machine: what figures depend on: the machine, versions and the commit, by names for people.
        case: what was done.
        program: what did it.
        number: of the round, from 1. In a round, each program does each case once.
        date: the day, as YYYY-MM-DD.
        cost: what it took.
        output_bytes: of all its videos.
        ssim: of its first video with what it encoded; None where that was not compared.
    """

    model_config = ConfigDict(frozen=True)

    machine: dict[str, str]
    case: Case
    program: str
    number: int
    date: str
    cost: Cost
    output_bytes: int
    ssim: float | None = None


class Results:
    """All of one machine, or of several: what is asked of them."""

    def __init__(self, results: Iterable[Result]) -> None:
        self._results = list(results)

    @classmethod
    def read(cls, *files: Path) -> Results:
        """Those of files, in the order of their lines."""
        return cls(
            Result.model_validate_json(line) for file in files for line in file.read_text().splitlines() if line.strip()
        )

    def add(self, result: Result, file: Path | None) -> None:
        """One more, at the end of a file, too."""
        self._results.append(result)
        if file is not None:
            with file.open("a") as opened:
                opened.write(result.model_dump_json() + "\n")

    @property
    def machines(self) -> list[dict[str, str]]:
        """In the order in which they come."""
        return [dict(each) for each in dict.fromkeys(tuple(result.machine.items()) for result in self._results)]

    @property
    def cases(self) -> list[Case]:
        """From small to large, few to many, short to long."""

        def order(case: Case) -> tuple[object, ...]:
            return int(case.size.partition("x")[0]), case.videos, case.seconds, case.preset != "veryfast"

        return sorted({result.case for result in self._results}, key=order)

    def of(
        self, machine: dict[str, str], case: Case | None = None, program: str | None = None, number: int | None = None
    ) -> list[Result]:
        """Those of a machine; only of a case, a program, a round."""
        return [
            result
            for result in self._results
            if result.machine == machine
            and case in {None, result.case}
            and program in {None, result.program}
            and number in {None, result.number}
        ]

    def seconds(self, machine: dict[str, str], case: Case, program: str) -> float | None:
        """The median of the rounds; None where there is none."""
        return median(found) if (found := [each.cost.seconds for each in self.of(machine, case, program)]) else None

    def ratio(self, machine: dict[str, str], case: Case, program: str, base: str = BASE) -> float | None:
        """A program's time by another one's in the same round, in the median of the rounds."""
        theirs = {each.number: each.cost.seconds for each in self.of(machine, case, base)}
        ours = {each.number: each.cost.seconds for each in self.of(machine, case, program)}
        return median(ours[number] / theirs[number] for number in both) if (both := ours.keys() & theirs) else None
