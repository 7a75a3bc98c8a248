"""Networks of equal settings are one program to JAX: they compile once."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest

from eventax import EvNN, FFEvNN
from eventax._networks import _evnn
from eventax._static import Constant
from eventax.neuron_models import LIF, QIF

WEIGHTS = {"init_weights": 5.0, "init_bias": 0.0}


# Every call builds all objects anew, as a user's program does in a loop or in a test.
def lif(model=LIF, **changes):
    settings = {
        "n_neurons": 2,
        "max_solver_time": 50.0,
        "in_size": 1,
        "wmask": np.array([[0, 1], [0, 0], [1, 0]]),
        "output_neurons": np.array([True, True]),
        "thresh": 1.0,
        "tsyn": 5.0,
        "tmem": 10.0,
        **WEIGHTS,
    }
    return EvNN(model, **(settings | changes))


def per_neuron():
    return lif(thresh=np.array([1.0, 1.2]), tsyn=jnp.array([5.0, 4.0]), tmem=[3.0, 4.0])


def qif(**changes):
    return EvNN(QIF, 2, 50.0, 1, tsyn=5.0, tmem=20.0, **(WEIGHTS | changes))


def adaptive(rtol=1e-4, **changes):
    controller = diffrax.PIDController(rtol=rtol, atol=1e-6)
    return lif(solver=diffrax.Tsit5(), stepsize_controller=controller, **changes)


def implicit():
    return lif(
        solver=diffrax.Kvaerno3(),
        solver_stepsize=0.5,
        root_finder=optx.Bisection(rtol=1e-4, atol=1e-4),
    )


class Shifted(LIF):
    """A user's model: integrated numerically with the default controller."""

    def dynamics(self, t, y, args):
        return super().dynamics(t, y, args) + 0.1


def layered():
    return FFEvNN([2, 1], 1, LIF, 50.0, thresh=1.0, tsyn=5.0, tmem=10.0, **WEIGHTS)


def drawn():
    return qif(key=jax.random.PRNGKey(0), init_weights=None, wlim=1.0)


BUILDERS = [lif, per_neuron, qif, adaptive, implicit, layered, drawn]


@pytest.mark.parametrize("build", [*BUILDERS, lambda: lif(Shifted)])
def test_equal_settings_are_one_program(build):
    @eqx.filter_jit
    @eqx.debug.assert_max_traces(max_traces=1)
    def trainable(net):
        return eqx.filter(net, eqx.is_array)

    one, other = build(), build()
    structure = jax.tree.structure(one)
    assert structure == jax.tree.structure(other)
    assert hash(structure) == hash(jax.tree.structure(other))
    trainable(one)
    trainable(other)


def test_other_random_weights_are_the_same_program():
    one = qif(key=jax.random.PRNGKey(0), init_weights=None, wlim=1.0)
    other = qif(key=jax.random.PRNGKey(1), init_weights=None, wlim=2.0)
    assert jax.tree.structure(one) == jax.tree.structure(other)


@pytest.mark.parametrize(
    ("build", "changes"),
    [
        (lif, {"tsyn": 6.0}),
        (lif, {"thresh": np.array([1.0, 1.5])}),
        (lif, {"wmask": np.array([[0, 1], [1, 0], [1, 0]])}),
        (lif, {"output_neurons": np.array([False, True])}),
        (lif, {"t0": -1.0}),
        (lif, {"max_solver_time": 51.0}),
        (lif, {"max_event_steps": 10}),
        (lif, {"output_no_spike_value": 50.0}),
        (lif, {"reset_grad_preserve": False}),
        (lif, {"model": Shifted}),
        (lif, {"solver": diffrax.Tsit5()}),
        (lif, {"adjoint": diffrax.RecursiveCheckpointAdjoint(checkpoints=7)}),
        (qif, {"flow_tolerance": 1e-3}),
        (adaptive, {"solver": diffrax.Bosh3()}),
        (adaptive, {"solver_stepsize": 0.1}),
        (adaptive, {"rtol": 1e-3}),
    ],
)
def test_other_settings_are_another_program(build, changes):
    if "solver" in changes and build is adaptive:
        controller = diffrax.PIDController(rtol=1e-4, atol=1e-6)
        other = lif(stepsize_controller=controller, **changes)
    else:
        other = build(**changes)
    assert jax.tree.structure(build()) != jax.tree.structure(other)


def test_nan_as_fill_is_one_program():
    one, other = (lif(output_no_spike_value=float(x)) for x in ("nan", "nan"))
    assert jax.tree.structure(one) == jax.tree.structure(other)


# The native core has the same program around it, and none of its own to compile.
ENGINE = "jax"


@pytest.fixture
def traces(monkeypatch):
    """The methods' traces: a compiled method does not call `run` again."""
    seen = []

    def run(*args, **keywords):
        seen.append(args)
        return original(*args, **keywords)

    original = _evnn.run
    monkeypatch.setattr(_evnn, "run", run)
    return seen


def fresh(end):
    """A network that no other test has, so that nothing is compiled before."""
    return lif(max_solver_time=end, engine=ENGINE)


def test_a_users_function_traces_once_for_two_networks(traces):
    @eqx.filter_jit
    @eqx.debug.assert_max_traces(max_traces=1)
    def loss(net, inputs):
        return jnp.sum(jax.vmap(net.ttfs)(inputs))

    inputs = jnp.ones((3, 1, 1))
    assert loss(fresh(47.25), inputs) == loss(fresh(47.25), inputs)
    assert len(traces) == 1


def test_eager_calls_trace_once(traces):
    for net, value in ((fresh(47.5), 1.0), (fresh(47.5), 2.0)):
        net.ttfs(jnp.array([[value]]))
        net.ttfs([[value]])  # a list is no different
    assert len(traces) == 1


def test_other_times_are_the_same_program(traces):
    net = fresh(47.75)
    for time in (10.0, 20.0):
        net.spikes_until_t([[1.0]], time, max_spikes=2)
        net.state_at_t([[1.0]], [time, 5.0])
    assert len(traces) == 2
    net.spikes_until_t([[1.0]], 10.0, max_spikes=3)
    assert len(traces) == 3


# Constants ----------------------------------------------------------------------------


def test_constants_are_compared_by_value():
    def build():
        return Constant({"a": np.arange(3.0), "b": (1, "x", None)})

    assert build() == build()
    assert hash(build()) == hash(build())
    assert Constant(jnp.ones(2)) == Constant(np.ones(2, jnp.ones(2).dtype))
    assert Constant(max) == Constant(max)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (1, 1.0),
        (1, True),
        (np.ones(2), np.ones(3)),
        (np.ones(2), np.ones(2, np.float32)),
        (np.ones(4), np.ones((2, 2))),
        ((1, 2), [1, 2]),
        ({"a": 1}, {"b": 1}),
    ],
)
def test_different_constants_differ(one, other):
    assert Constant(one) != Constant(other)
    assert Constant(one) != one


def test_a_constant_cannot_be_changed():
    source = np.ones(2)
    constant = Constant(source)
    source[0] = 5.0
    assert np.array_equal(constant.value, [1, 1])
    with pytest.raises(ValueError, match="read-only"):
        constant.value[0] = 2.0


def test_a_constant_shows_its_value():
    assert repr(Constant(3)) == "Constant(3)"
