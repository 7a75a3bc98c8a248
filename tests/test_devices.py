"""Batches over several devices: in another process, which has two of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from marks import needs_native
from two_devices import METHODS, MODES

PROGRAM = Path(__file__).parent / "two_devices.py"


def check(engine, modes, methods):
    flags = (
        os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    )
    done = subprocess.run(
        [sys.executable, PROGRAM, engine, ",".join(modes), ",".join(methods)],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert "all right on 2 devices" in done.stdout, done.stdout + done.stderr[-3000:]


@needs_native
def test_native():
    # Found failing: "Resource axis: b of P('b',) is not found in mesh", and a batch
    # that each device gathered and simulated whole.
    check("native", MODES, ["ttfs"])


@pytest.mark.slow
@needs_native
def test_native_in_all_methods():
    check("native", MODES, METHODS)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_jax(mode):
    # Found failing: "cond branches must have equal output types".
    check("jax", [mode], ["ttfs"])


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_jax_in_all_methods(method):
    check("jax", ["explicit"], [method])
