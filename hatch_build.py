"""Build hook: a wheel carries the native core, compiled where there is a compiler."""

import sys
import tempfile
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))
from native.build import (
    BESIDE,
    BuildError,
    build,
    compiler_requirements,
    switched_off,
)
from native.targets import wheel_tag


class NativeBuildHook(BuildHookInterface):
    """Compiles into the wheel, or beside the sources where these are installed."""

    def dependencies(self):
        """A compiler, only where there is none."""
        return compiler_requirements() if self.target_name == "wheel" else []

    def initialize(self, version, build_data):
        """Add the libraries; without them the package is complete, and slower."""
        if self.target_name != "wheel" or switched_off():
            return
        try:
            if version == "editable":
                build(BESIDE)
            else:
                self._put_in(build_data)
        except (BuildError, OSError) as error:
            self.app.display_warning(
                f"eventax is installed without its native core: {error}. "
                "It runs on JAX, slower on CPUs."
            )

    def _put_in(self, build_data):
        # The folder goes with the hook, when the wheel is written.
        self.folder = tempfile.TemporaryDirectory()
        for file in build(Path(self.folder.name)):
            build_data["force_include"][str(file)] = f"eventax/_native/{file.name}"
        build_data["pure_python"] = False
        build_data["tag"] = wheel_tag()
