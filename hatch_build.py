"""Build hook: a wheel carries the native core, compiled where there is a compiler."""

import importlib.util
import os
import tempfile
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

spec = importlib.util.spec_from_file_location(
    "eventax_native_build", Path(__file__).parent / "native" / "build.py"
)
native = importlib.util.module_from_spec(spec)
spec.loader.exec_module(native)


class NativeBuildHook(BuildHookInterface):
    """Compiles into the wheel, or beside the sources where these are installed."""

    def dependencies(self):
        """A compiler, only where there is none."""
        return native.requirements()

    def initialize(self, version, build_data):
        """Add the libraries; without them the package is complete, and slower."""
        if self.target_name != "wheel" or native.switched_off():
            return
        try:
            if version == "editable":
                native.build(native.BESIDE)
                return
            self.folder = tempfile.TemporaryDirectory()
            paths = native.build(Path(self.folder.name))
        except (native.BuildError, OSError) as error:
            self.app.display_warning(
                f"eventax is installed without its native core: {error}. "
                "It runs on JAX, slower on CPUs."
            )
            return
        build_data["pure_python"] = False
        build_data["tag"] = native.tag()
        for path in paths:
            build_data["force_include"][str(path)] = f"eventax/_native/{path.name}"
