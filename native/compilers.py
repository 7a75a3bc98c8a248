"""Compilers of C++17: the system's, or ziglang, which also compiles for others."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Compiler:
    """A command that compiles C++17 for a target, and what it calls itself."""

    command: tuple[str, ...]
    name: str
    zig: bool = False

    def instructions(self, level, name):
        """The flags for an instruction set; zig writes names its own way."""
        if level == 1:
            return []
        return [f"-march={name.replace('-', '_') if self.zig else name}"]


def system_compiler():
    """The first that works: `$CXX` where it is set, else the usual names."""
    wish = os.environ.get("CXX")
    for name in [wish] if wish else ["c++", "g++", "clang++"]:
        command = tuple(name.split())
        if shutil.which(command[0]) and _works(command):
            return Compiler(command, _first_line([*command, "--version"]))
    return None


def _works(command):
    """Whether a shared library comes out: a compiler may lack its standard library."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "a.cpp")
        source.write_text("#include <vector>\nstd::vector<int> a() { return {1}; }\n")
        files = [str(source), "-o", str(source.with_suffix(".so"))]
        flags = ["-std=c++17", "-fPIC", "-shared", *files]
        return not subprocess.run([*command, *flags], capture_output=True).returncode


def zig(target):
    """ziglang for a target, None where it is not installed."""
    if importlib.util.find_spec("ziglang") is None:
        return None
    command = (sys.executable, "-m", "ziglang")
    name = f"zig {_first_line([*command, 'version'])} for {target.zig}"
    return Compiler((*command, "c++", "-target", target.zig), name, zig=True)


def _first_line(command):
    return subprocess.run(command, capture_output=True, text=True).stdout.split("\n")[0]
