"""Networks are values: a copy equals its original and shares its programs."""

import copy
import pickle
import subprocess
import sys

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest
from populations import MODELS, WRAPPERS, Case

from eventax import EvNN, FFEvNN
from eventax.adjoint import EventPropAdjoint
from eventax.neuron_models import AMOS, LIF, Refractory

pytestmark = pytest.mark.usefixtures("x64")

LIF_ARGS = {"thresh": 1.0, "tsyn": 5.0, "tmem": 10.0, "init_bias": 0.0}
LIF_ARGS |= {"init_weights": 5.0}


def pickled(x):
    return pickle.loads(pickle.dumps(x))


COPIES = [copy.copy, copy.deepcopy, pickled]


def check(net, other):
    """The same to JAX, and no array shared where it must not be."""
    structure = jax.tree.structure(net)
    assert structure == jax.tree.structure(other)
    assert hash(structure) == hash(jax.tree.structure(other))
    mean = jax.tree.map(lambda a, b: (a + b) / 2, net, other)
    for leaf, same in zip(*map(jax.tree.leaves, (net, mean)), strict=True):
        np.testing.assert_array_equal(leaf, same)


@pytest.mark.parametrize("of", COPIES)
@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("model", MODELS)
def test_a_copy_equals_its_original(model, wrapper, of):
    net = Case(model, wrapper, "both").network(jnp.float32)
    other = of(net)
    check(net, other)
    assert type(other.neuron_model) is type(net.neuron_model)


@pytest.mark.parametrize("of", COPIES)
def test_settings_of_every_kind(of):
    settings = [
        {"output_no_spike_value": np.nan},
        {"solver": diffrax.Tsit5(), "adjoint": EventPropAdjoint()},
        {
            "solver": diffrax.Kvaerno3(),
            "stepsize_controller": diffrax.PIDController(rtol=1e-4, atol=1e-6),
            "root_finder": optx.Newton(rtol=1e-6, atol=1e-6),
        },
        {"adjoint": diffrax.RecursiveCheckpointAdjoint(checkpoints=7)},
    ]
    for more in settings:
        net = EvNN(LIF, 2, 50.0, 1, **LIF_ARGS, **more)
        check(net, of(net))
    check(net := FFEvNN([2, 1], 1, LIF, 50.0, **LIF_ARGS), of(net))


@pytest.mark.parametrize("of", COPIES)
def test_a_copy_shares_the_programs(of):
    @eqx.filter_jit
    @eqx.debug.assert_max_traces(max_traces=1)
    def first(net):
        return net.ttfs([[1.0]])

    net = EvNN(Refractory(LIF), 2, 50.0, 1, t_refrac=1.0, **LIF_ARGS)
    np.testing.assert_array_equal(first(net), first(of(net)))


class Own(LIF):
    """A user's model."""


class Rested(Refractory(LIF)):
    """A user's subclass of a wrapped model."""


@pytest.mark.parametrize(
    "cls", [Own, Rested, Refractory(Own), AMOS(Refractory(Own), stop_incoming=True)]
)
def test_a_wrapped_class_is_found_again(cls):
    assert pickled(cls) is cls
    assert copy.deepcopy(cls) is cls
    net = EvNN(cls, 2, 50.0, 1, **LIF_ARGS)
    check(net, pickled(net))


def test_another_process_reads_it(tmp_path):
    # Refractory(LIF) has not been asked for there.
    net = EvNN(AMOS(Refractory(LIF)), 2, 50.0, 1, t_refrac=1.0, **LIF_ARGS)
    path = tmp_path / "net.pickle"
    path.write_bytes(pickle.dumps(net))
    program = (
        "import pickle, sys, jax; net = pickle.load(open(sys.argv[1], 'rb')); "
        "print(type(net.neuron_model).__name__, net.neuron_model.neuron.t_refrac.value)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True
    )
    assert done.stdout.split() == ["AMOS(Refractory(LIF))", "1.0"], done.stderr


def test_an_average_of_weights():
    net = EvNN(LIF, 2, 50.0, 1, **LIF_ARGS)
    average = copy.deepcopy(net)
    average = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, average, net)
    np.testing.assert_allclose(average.ttfs([[1.0]]), net.ttfs([[1.0]]), rtol=1e-6)
