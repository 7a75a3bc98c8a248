"""Compile and run the core's own tests under sanitizers: `native/tests/*.cpp`.

    python -m native.test [NAME ...]       # what `make test-native` runs

Each file is a program that returns 0. It needs the system's compiler: ziglang has no
AddressSanitizer.
"""

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .build import FLAGS, ROOT, includes
from .compilers import system_compiler

TESTS = ROOT / "native" / "tests"
SANITIZERS = {
    "address,undefined": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "thread": ["-fsanitize=thread"],
}
# As the core is compiled, and what sanitizers ask for; assertions stay in.
CHECKED = [flag for flag in FLAGS if flag not in ("-DNDEBUG", "-O3")]
CHECKED += ["-O1", "-g", "-fno-omit-frame-pointer", "-Werror", "-pthread"]


def run(compiler, folder, test, sanitizer):
    """Compile and run one test; what it printed if it failed, else None."""
    program = Path(folder, f"{test.stem}-{sanitizer}")
    flags = [*CHECKED, *SANITIZERS[sanitizer], *includes()]
    compiled = _call([*compiler.command, *flags, str(test), "-o", str(program)])
    done = compiled if compiled.returncode else _call([str(program)])
    print(f"{'FAILED' if done.returncode else 'passed'} {test.stem}, {sanitizer}")
    return done.stdout + done.stderr if done.returncode else None


def _call(command):
    return subprocess.run(command, capture_output=True, text=True)


def main():
    """All tests, or those named."""
    compiler = system_compiler()
    if compiler is None:
        sys.exit("The native core's tests need a compiler of C++17 with sanitizers.")
    tests = sorted(TESTS.glob("*.cpp"))
    names = sys.argv[1:] or [test.stem for test in tests]
    runs = [(t, s) for t in tests if t.stem in names for s in SANITIZERS]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        reports = list(pool.map(lambda r: run(compiler, folder, *r), runs))
    if not runs:
        sys.exit(f"No test is called {' or '.join(names)}.")
    failed = [report for report in reports if report is not None]
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()
