"""`python -m ...service.dagster_program PACKAGE ...`: a program of Dagster's, which reads its migrations once.

Belongs here: saving processor time that Dagster spends on itself. Whenever it opens one of its databases (SQLite,
1.13.27) it looks whether that is up to date, and to know what that means it executes all migrations that there ever
were. Every tick of every sensor opens three, and every run has one of its own.
"""

from __future__ import annotations

import runpy
import sys
from functools import cache
from typing import TYPE_CHECKING

from alembic.script import ScriptDirectory
from dagster._core.storage import sql

if TYPE_CHECKING:
    from alembic.config import Config


class ReadOnce(ScriptDirectory):
    """The migrations of a kind of database, which do not change while a process lives."""

    @classmethod
    @cache
    def from_config(cls, config: Config) -> ScriptDirectory:
        """The same object for the same configuration, of which Dagster has one per kind of database."""
        return super().from_config(config)


if __name__ == "__main__":
    sql.ScriptDirectory = ReadOnce  # type: ignore[attr-defined]  # a name that the module imports
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
