"""What an image holds, in a plain folder, as far as it takes no minutes."""

import subprocess
import sys
import sysconfig
from pathlib import Path


def see_packages_of_the_tests(folder: Path) -> None:
    """Make a virtual environment that has the packages that the tests run with, in place of `build dependencies`."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    (packages / "of-the-tests.pth").write_text(sysconfig.get_path("purelib"))
