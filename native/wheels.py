"""Write the sdist and a wheel for each platform into a folder, and check the wheels.

    python -m native.wheels dist

This is the first half of `make wheels`; the second installs one and tests it.
"""

import os
import sys
from pathlib import Path

import hatchling.build

from .build import ROOT
from .check_wheel import WheelError, check
from .targets import TARGETS, here


def write_wheel(folder, target):
    """Compile for the target, with ziglang, and pack; the wheel's path."""
    os.environ["EVENTAX_WHEEL"] = target.tag
    return folder / hatchling.build.build_wheel(str(folder))


def main():
    """All of it; what cannot be run on this machine is named."""
    os.chdir(ROOT)
    folder = Path(sys.argv[1])
    print(hatchling.build.build_sdist(str(folder)))
    for target in TARGETS:
        wheel = write_wheel(folder, target)
        try:
            libraries = check(wheel, target)
        except WheelError as error:
            sys.exit(f"{wheel.name}: {error}.")
        print(wheel.name, "" if target == here() else "(checked, but never run)")
        print(*(f"    {library}" for library in libraries), sep="\n")


if __name__ == "__main__":
    main()
