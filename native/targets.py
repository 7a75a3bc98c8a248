"""Where the native core runs: machines, instruction sets, names of wheels."""

import os
import platform
import re
import sysconfig
from dataclasses import dataclass

# By machine: a level as `processor.h` computes it, and its name. The first is what
# every processor has that jaxlib runs on.
LEVELS = {
    "x86_64": {2: "x86-64-v2", 3: "x86-64-v3", 4: "x86-64-v4"},
    "aarch64": {1: "aarch64"},
}


@dataclass(frozen=True)
class Target:
    """Where a library is to run: in the words of Python, of wheels, and of zig."""

    system: str
    machine: str
    suffix: str
    tag: str
    zig: str

    def name(self, instructions):
        """The file's name, which says to the loader what the processor must have."""
        return f"eventax-{instructions}{self.suffix}"


TARGETS = [
    Target("Linux", "x86_64", ".so", "manylinux_2_17_x86_64", "x86_64-linux-gnu.2.17"),
    Target(
        "Linux", "aarch64", ".so", "manylinux_2_17_aarch64", "aarch64-linux-gnu.2.17"
    ),
    Target("Darwin", "x86_64", ".dylib", "macosx_11_0_x86_64", "x86_64-macos.11.0"),
    Target("Darwin", "aarch64", ".dylib", "macosx_11_0_arm64", "aarch64-macos.11.0"),
    Target("Windows", "x86_64", ".dll", "win_amd64", "x86_64-windows-gnu"),
]


def here():
    """The target that is this machine, None if the core is not written for it."""
    name = platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)
    wanted = (platform.system(), machine)
    return next((t for t in TARGETS if (t.system, t.machine) == wanted), None)


def crossed():
    """The target that `make wheels` asks for, None in an installation."""
    tag = os.environ.get("EVENTAX_WHEEL")
    return next(t for t in TARGETS if t.tag == tag) if tag else None


def wheel_tag():
    """Any Python 3, no ABI of Python, and the platform."""
    target = crossed()
    # Python for macOS may be of two machines, the library is of one.
    local = sysconfig.get_platform().replace("universal2", platform.machine())
    return f"py3-none-{target.tag if target else re.sub('[-.]', '_', local)}"
