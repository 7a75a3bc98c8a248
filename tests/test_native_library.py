"""Which native library is loaded, and what is said where none can be."""

import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eventax import EvNN, __version__
from eventax._native import _library, load, why_missing
from eventax.neuron_models import LIF

ROOT = Path(__file__).parent.parent
BUILT = sorted(_library.OWN.glob("eventax-*"))
COUNT = itertools.count()
INPUT = jnp.array([[1.0]])
needs_built = pytest.mark.skipif(not BUILT, reason="no native core was compiled")
needs_compiler = pytest.mark.skipif(not shutil.which("c++"), reason="no compiler")

# What `native/eventax.cpp` exports, with one handler and everything open.
SOURCE = """
#include "xla/ffi/api/c_api.h"
#ifdef FFI_MINOR
#undef XLA_FFI_API_MINOR
#define XLA_FFI_API_MINOR FFI_MINOR
#endif
#include "xla/ffi/api/ffi.h"
namespace ffi = xla::ffi;
static ffi::Error nothing() { return ffi::Error::Success(); }
XLA_FFI_DEFINE_HANDLER(handler, nothing, ffi::Ffi::Bind());
struct Handler { const char* name; XLA_FFI_Handler* call; };
static Handler handlers[] = {{"eventax_of_a_test", handler}, {nullptr, nullptr}};
extern "C" {
const char* eventax_native_version() { return VERSION; }
const char* eventax_native_instructions() { return "x86-64-v9"; }
const char* eventax_native_build() { return "by a test"; }
int eventax_native_needs() { return LEVEL; }
int eventax_native_processor() { return 4; }
const Handler* eventax_native_handlers() { return handlers; }
}
"""


@pytest.fixture(autouse=True)
def fresh():
    """Each test looks for the library anew, and so does whoever comes after."""
    _library._loaded.cache_clear()
    yield
    _library._loaded.cache_clear()


@pytest.fixture
def compile_library(tmp_path):
    """A library that is a little off: `compile_library(version, level, *flags)`."""

    def build(version=__version__, level=1, *flags):
        source, file = tmp_path / "library.cpp", tmp_path / "library.so"
        source.write_text(SOURCE)
        macros = [f'-DVERSION="{version}"', f"-DLEVEL={level}", *flags]
        include = f"-isystem{jax.ffi.include_dir()}"
        command = ["c++", "-std=c++17", "-fPIC", "-shared", include, *macros]
        subprocess.run([*command, str(source), "-o", str(file)], check=True)
        return file

    return build


def sentence(monkeypatch, setting, *, warned=True):
    """What is said with this setting: once, and networks run."""
    monkeypatch.setenv("EVENTAX_NATIVE", str(setting))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert load() is None
        assert load() is None
        said = f"No native core, eventax runs on JAX: {why_missing()}."
    assert [str(w.message) for w in caught] == [said] * warned
    assert "\n" not in said
    assert np.isfinite(network("auto").ttfs(INPUT)[0])
    with pytest.raises(ValueError, match="cannot simulate") as error:
        network("native").ttfs(INPUT)
    assert f"there is no native core: {why_missing()}. Use `engine=" in str(error.value)
    return said


def network(engine):
    """One neuron; no other test has its constant, so that none has compiled it."""
    constants = {"tmem": 20.0 + next(COUNT) / 1000, "tsyn": 5.0, "thresh": 1.0}
    weights = {"init_weights": 20.0, "init_bias": 0.0}
    return EvNN(LIF, 1, 10.0, 1, engine=engine, **constants, **weights)


@needs_built
def test_the_best_library_for_this_processor_is_loaded():
    library = load()
    assert why_missing() == ""
    assert library is load()
    assert library.path.parent == _library.OWN
    assert library.path.stem == f"eventax-{library.instructions}"
    processor = _library._symbols(BUILT[0]).eventax_native_processor()
    levels = [_library._level(path) for path in BUILT]
    assert _library._level(library.path) == max(n for n in levels if n <= processor)
    assert "-O3" in library.how
    assert "native" not in library.how
    assert {"eventax_forward_32", "eventax_backward_64"} <= set(library.targets)


@pytest.mark.parametrize("processor", [1, 2, 3, 4])
def test_no_instruction_set_is_chosen_that_the_processor_lacks(
    monkeypatch, tmp_path, processor
):
    class Symbols:
        def eventax_native_processor(self):
            return processor

    monkeypatch.setattr(_library, "_symbols", lambda path: Symbols())
    monkeypatch.setenv("EVENTAX_NATIVE", str(tmp_path))
    for level in (4, 2, 3):
        (tmp_path / f"eventax-x86-64-v{level}.so").touch()
    chosen = _library._choose(_library._candidates())
    assert chosen.name == f"eventax-x86-64-v{max(processor, 2)}.so"


# Recurrent networks: a bit that differs in one spike is seen in all later ones.
PROGRAM = """
import sys
import equinox as eqx, jax, jax.numpy as jnp
from eventax import EvNN
from eventax._native import load
from eventax.neuron_models import LIF, QIF

def loss(net):
    times = net.spikes_until_t(INPUTS, 60.0, 50)
    return jnp.where(jnp.isfinite(times), times, 0.0).sum()

KEY = jax.random.key(0)
INPUTS = jax.random.uniform(KEY, (5, 4), maxval=50.0)
print(load().path)
SETTINGS = {"tmem": 20.0, "tsyn": 5.0, "wmean": 0.1, "wlim": 1.0}
LIFS = (LIF, {"thresh": 1.0, "init_bias": 0.9})
QIFS = (QIF, {"init_bias": 0.3})
for model, constants in LIFS, QIFS:
    settings = {**SETTINGS, **constants}
    net = EvNN(model, 30, 60.0, 5, KEY, engine="native", **settings)
    value, gradient = eqx.filter_value_and_grad(loss)(net)
    print(value.item().hex(), gradient.neuron_model.weights.tobytes().hex())
"""


def run_with(library):
    """What the program prints where `EVENTAX_NATIVE` names the library."""
    environment = {"EVENTAX_NATIVE": str(library), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@needs_built
@pytest.mark.slow
def test_every_library_computes_the_same_bits():
    """Each named by its path."""
    processor = _library._symbols(BUILT[0]).eventax_native_processor()
    libraries = [path for path in BUILT if _library._level(path) <= processor]
    paths, *results = zip(*map(run_with, libraries), strict=True)
    assert list(paths) == [str(path) for path in libraries]
    for result in results:
        assert float.fromhex(result[0].split()[0]) > 0
        assert len(set(result)) == 1


def test_switched_off(monkeypatch):
    said = sentence(monkeypatch, "0", warned=False)
    assert "EVENTAX_NATIVE=0 switches it off" in said


def test_never_compiled(monkeypatch, tmp_path):
    monkeypatch.setattr(_library, "OWN", tmp_path)
    assert "none was compiled when eventax was" in sentence(monkeypatch, "")


def test_no_such_path(monkeypatch, tmp_path):
    said = sentence(monkeypatch, tmp_path / "nowhere")
    assert f"EVENTAX_NATIVE={tmp_path / 'nowhere'} names no library" in said


def test_a_bogus_file(monkeypatch, tmp_path):
    file = tmp_path / "eventax-x86-64-v2.so"
    file.write_text("This is no library. " * 1000)
    assert f"{file} cannot be loaded (" in sentence(monkeypatch, file)


@needs_compiler
def test_a_library_of_something_else(monkeypatch, tmp_path):
    file = tmp_path / "other.so"
    source = tmp_path / "other.cpp"
    source.write_text("int other() { return 1; }\n")
    subprocess.run(["c++", "-shared", "-fPIC", source, "-o", file], check=True)
    said = sentence(monkeypatch, file)
    assert f"{file} is no library of eventax" in said
    assert "eventax_native_version" in said


@needs_compiler
def test_another_version(monkeypatch, compile_library):
    said = sentence(monkeypatch, compile_library("0.1.7"))
    assert f"is built for eventax 0.1.7, and this is eventax {__version__};" in said
    assert "install eventax again" in said


@needs_compiler
def test_a_processor_without_the_instructions(monkeypatch, compile_library):
    said = sentence(monkeypatch, compile_library(level=9))
    assert "x86-64-v9, which this processor does not have;" in said


@needs_compiler
def test_headers_that_jaxlib_does_not_know(monkeypatch, compile_library):
    file = compile_library(__version__, 1, "-DFFI_MINOR=999")
    said = sentence(monkeypatch, file)
    assert f"JAX does not take {file} (" in said
    assert "0.999" in said


def test_the_headers_are_those_of_the_oldest_jax():
    """A library runs with its headers' jaxlib, and with newer ones."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (oldest,) = [
        r.removeprefix("jax>=")
        for r in project["project"]["dependencies"]
        if re.match(r"jax\b", r)
    ]
    requires = project["build-system"]["requires"]
    assert any(r.startswith(f"jaxlib=={oldest};") for r in requires)
