"""Gradients by the adjoint equation against the default ones, and what they keep."""

import math

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest
from marks import slow
from populations import DELAYS, MODELS, WRAPPERS, Case
from test_table import CORE

from eventax import EvNN
from eventax._engine import _event as ev
from eventax._flows import ClosedForm, EventProp, _eventprop
from eventax.adjoint import EventPropAdjoint
from eventax.neuron_models import EIF, LIF, PLIF, NeuronModel

pytestmark = pytest.mark.usefixtures("x64")

F32, F64 = jnp.float32, jnp.float64
T_MAX, RANK = 25.0, 12


def controller(rtol):
    return diffrax.PIDController(rtol=rtol, atol=rtol / 100, norm=optx.max_norm)


TIGHT = EventPropAdjoint(stepsize_controller=controller(1e-10))

# Agreement with the default gradient --------------------------------------------------


def of_spikes(net, inputs):
    """Of the first spikes, in order of time, and how many there are."""
    times = net.record(inputs)[0]
    weights = jnp.cos(jnp.arange(RANK)) + 1.5
    first = jnp.where(jnp.isfinite(times[:RANK]), times[:RANK], 0.0)
    return jnp.sum(first * weights), jnp.sum(jnp.isfinite(times))


def of_states(net, inputs):
    """Two of the times are one, another is the end."""
    states = net.state_at_t(inputs, [13.7, 0.0, T_MAX, 6.1, 6.1])
    # The angle of V, as that of QIF runs through infinity; NaN is padding of Multi.
    states = jnp.arctan(jnp.where(jnp.isnan(states), 0.0, states) / 3)
    weights = jnp.cos(jnp.arange(states.size).reshape(states.shape))
    return jnp.sum(states * weights), jnp.zeros((), int)


def of_both(net, inputs):
    spikes, count = of_spikes(net, inputs)
    return spikes + of_states(net, inputs)[0], count


def network(case, adjoint, dtype=F64, **changes):
    """Simulated so well that both gradients are exact to less than the tolerance."""
    settings = {"stepsize_controller": controller(1e-10)}
    if case.model in ("QIF", "PQIF"):
        settings["flow_tolerance"] = 1e-12
    if dtype == F32:
        settings = {}
    settings["max_solver_time"] = T_MAX
    return case.network(dtype, adjoint=adjoint, **(settings | changes))


def gradients(case, loss, adjoint, dtype=F64):
    """(batch of leaves) -> values with numbers of spikes, gradients by all leaves.

    By `adjoint` the batch is one, by default it is a loop.
    """
    net = network(case, adjoint, dtype)

    @jax.jit
    def one(leaves):
        def value(leaves):
            return loss(case.with_leaves(net, leaves), leaves["in_spike_times"])

        return jax.value_and_grad(value, has_aux=True)(leaves)

    def run(batch):
        batch = [{k: jnp.asarray(v, dtype) for k, v in x.items()} for x in batch]
        if adjoint is None:
            return stack([one(leaves) for leaves in batch])
        return jax.jit(jax.vmap(one))(stack(batch))

    return run


def stack(trees):
    return jax.tree.map(lambda *x: jnp.stack(x), *trees)


def batch(case):
    """Samples with many events, with more, and with none."""
    one = case.leaves()
    moved = {k: v * (1.03 if "weights" in k else 1.0) for k, v in one.items()}
    moved["in_spike_times"] = np.roll(one["in_spike_times"], 1, axis=0)
    silent = {k: v * 0 if is_drive(k) else v for k, v in one.items()}
    silent["in_spike_times"] = np.full_like(one["in_spike_times"], np.inf)
    return [one, moved, silent]


def is_drive(name):
    return name.rpartition("/")[2] in ("weights", "ic", "W_u", "W_r", "W_z", "b_z")


def worst(found, expected):
    """The largest relative error by leaf, over the samples."""
    errors = {}
    for name, exact in expected.items():
        for mine, other in zip(found[name], exact, strict=True):
            size = np.linalg.norm(other)
            error = np.linalg.norm(mine - other) / (size if size > 1e-8 else 1)
            errors[name] = max(errors.get(name, 0.0), float(error))
    return errors


# A closed form with a pause and all kinds of delays; spikes and a numerical flow are in
# `test_a_users_model`. The rest of the table is slow.
FAST = [(Case("QIF", "Refractory", "both"), of_states)]
ALL = [*(Case(model) for model in MODELS), *CORE]
ALL += [Case("LIF", w, d) for w in WRAPPERS for d in DELAYS]
SLOW = [(Case("LIF", "Refractory", "both"), of_spikes)]
SLOW += [(case, of_both) for case in dict.fromkeys(ALL)]


@pytest.mark.parametrize(
    ("case", "loss"),
    [*FAST, *(slow(*row) for row in SLOW)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_agrees_with_the_default_gradient(case, loss):
    samples = batch(case)
    (values, counts), found = gradients(case, loss, TIGHT)(samples)
    (expected_values, _), expected = gradients(case, loss, None)(samples)
    np.testing.assert_allclose(values, expected_values, rtol=1e-9)
    errors = worst(found, expected)
    print(case, loss.__name__, counts, {k: f"{v:.1e}" for k, v in errors.items()})
    for name, grad in expected.items():
        assert np.linalg.norm(grad[0]) > 0, name
    if loss is of_spikes:
        assert counts[0] >= RANK
        assert counts[2] == 0
        assert all(np.all(grad[2] == 0) for grad in found.values())
    # Solved and simulated to 1e-10 in each step. Multi simulates its QIF neurons less
    # well, and the default gradient is that of what was simulated.
    assert max(errors.values()) <= (1e-5 if case.model == "Multi" else 1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["LIF", "QIF", "EIF", "EGRU", "Izhikevich"])
def test_agrees_by_default(model):
    case = Case(model)
    samples = batch(case)[:1]
    _, found = gradients(case, of_both, EventPropAdjoint())(samples)
    _, expected = gradients(case, of_both, None)(samples)
    errors = worst(found, expected)
    print(model, {k: f"{v:.1e}" for k, v in errors.items()})
    # A relative tolerance of 1e-8 in each step, which the way back may amplify.
    assert max(errors.values()) <= 1e-5


@pytest.mark.slow
def test_more_events_than_one_chunk_holds():
    case = Case("LIF")
    net = network(case, TIGHT, max_event_steps=120, max_solver_time=60.0)
    net = case.with_leaves(net, case.leaves())
    inputs = case.leaves()["in_spike_times"]
    assert len(net.record(inputs)[0]) == 120
    plain = network(case, None, max_event_steps=120, max_solver_time=60.0)
    plain = case.with_leaves(plain, case.leaves())

    def loss(net):
        times = net.record(inputs)[0]
        return jnp.sum(jnp.where(jnp.isfinite(times), times, 0.0))

    found, expected = (jax.jit(jax.grad(loss))(n).neuron_model for n in (net, plain))
    events = np.isfinite(net.record(inputs)[0]).sum() + np.isfinite(inputs).sum()
    # As in `_gradient_room`.
    assert events > 3 * (math.isqrt(2 * 120 + inputs.size) + 1)
    for name in ("weights", "ic"):
        mine, other = getattr(found, name), getattr(expected, name)
        assert np.linalg.norm(mine - other) <= 1e-7 * np.linalg.norm(other)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["LIF", "QIF", "EIF", "EGRU"])
def test_single_precision(model):
    case = Case(model)
    samples = batch(case)[:1]
    _, found = gradients(case, of_both, EventPropAdjoint(), F32)(samples)
    _, expected = gradients(case, of_both, None, F32)(samples)
    errors = worst(found, expected)
    print(model, {k: f"{v:.1e}" for k, v in errors.items()})
    assert all(g.dtype == F32 for g in found.values())
    # Both have steps with a relative tolerance of 1e-6, and rounding.
    assert max(errors.values()) <= 3e-3


# Models that users write --------------------------------------------------------------


class Driven(NeuronModel):
    """v' = (u(t) - v + w tanh v)/10, at whose spikes v jumps, with a threshold 1 + r t.

    The weights act in the equation, in the reset and at arrivals.
    """

    weights: jax.Array
    rise: float = eqx.field(static=True)

    def __init__(self, key, n_neurons, in_size, wmask, rise=0.0, dtype=jnp.float32):
        super().__init__(dtype=dtype)
        rng = np.random.default_rng(2)
        self.weights = jnp.asarray(rng.uniform(0.0, 0.2, np.shape(wmask)), dtype)
        self.rise = rise

    def init_state(self, n_neurons):
        return jnp.zeros((n_neurons, 1), self.dtype)

    def dynamics(self, t, y, args):
        return (2.0 + jnp.sin(t) - y + self.weights[:2].T @ jnp.tanh(y)) / 10.0

    def spike_condition(self, t, y, **kwargs):
        return y[:, 0] - 1.0 - self.rise * t

    def input_spike(self, y, from_idx, to_idx, valid_mask):
        w = jnp.where(valid_mask, self.weights[from_idx, to_idx], 0.0)
        return y.at[to_idx, 0].add(w)

    def reset_spiked(self, y, spiked_mask):
        return jnp.where(spiked_mask[:, None], self.weights[:2, :1], y)


@pytest.mark.parametrize("rise", [0.0, slow(0.02)])
def test_a_users_model(rise):
    inputs = jnp.array([[1.0, 4.0]])

    def loss(net, inputs):
        return of_spikes(net, inputs)[0]

    def gradient(adjoint):
        net = EvNN(
            Driven,
            2,
            T_MAX,
            1,
            dtype=F64,
            rise=rise,
            max_event_steps=60,
            stepsize_controller=controller(1e-10),
            adjoint=adjoint,
        )
        by_net, by_inputs = jax.jit(jax.grad(loss, argnums=(0, 1)))(net, inputs)
        return by_net.neuron_model.weights, by_inputs

    # Solved to 1e-8 in each step.
    for mine, other in zip(gradient(EventPropAdjoint()), gradient(None), strict=True):
        assert np.linalg.norm(other) > 0.01
        assert np.linalg.norm(mine - other) <= 1e-6 * np.linalg.norm(other)


# Between two events -------------------------------------------------------------------
# Of one neuron that flows for a given time: the closed form is the truth.

TAU = 2.0


def neuron(dtype=F64):
    return EvNN(
        PLIF,
        1,
        1.0,
        1,
        dtype=dtype,
        thresh=1.0,
        init_tmem=2 * TAU,
        init_tsyn=TAU,
        shared_time_constants=True,
        init_weights=1.0,
        init_bias=0.5,
    ).neuron_model


def way(settings, dtype=F64):
    """(length, weight of the loss) -> gradient by parameters and start."""
    model = neuron(dtype)
    rtol = 1e-6 if dtype == F32 else 1e-8
    flow = ClosedForm()
    if settings is not None:
        flow = EventProp(flow, settings, rtol, rtol / 10)

    def loss(model, y, length, weight):
        end = flow.advance(model, jnp.zeros((), dtype), model._unpack(y), length)
        return weight * jnp.sum(model._pack(end) * jnp.array([[1.0, 0.7]], dtype))

    start = jnp.array([[0.4, 2.0]], dtype)
    by_model = jax.grad(loss, argnums=(0, 1))

    def gradient(length, weight=1.0):
        length, weight = jnp.asarray(length, dtype), jnp.asarray(weight, dtype)
        return by_model(model, start, length, weight)

    return gradient


def error(found, expected):
    """Relative to the whole gradient, by sample."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    flat = [(x.reshape(len(x), -1), y.reshape(len(y), -1)) for x, y in pairs]
    mine, other = (np.concatenate(x, axis=1) for x in zip(*flat, strict=True))
    return np.linalg.norm(mine - other, axis=1) / np.linalg.norm(other, axis=1)


# Backward in time the state is unstable: over 40 time constants, errors would grow by
# a factor of 1e17. The last one is close to what `max_steps` allows.
SILENCES = TAU * np.array([0.0, 1e-6, 1.0, 10.0, 40.0, 400.0, 4000.0])


@pytest.mark.parametrize("dtype", [F64, slow(F32)])
def test_long_silence(dtype):
    lengths = jnp.asarray(SILENCES, dtype)
    weights = jnp.array([1.0, 1e-9, 1e9, 1.0, 1.0, 1.0, 1.0], dtype)
    gradient = jax.jit(jax.vmap(way(EventPropAdjoint(), dtype)))
    found = gradient(lengths, weights)
    expected = jax.jit(jax.vmap(way(None, F64)))(lengths, weights)
    errors = error(found, expected)
    print(np.dtype(dtype), [f"{e:.1e}" for e in errors])
    # A step's tolerance of 1e-8 (1e-6), amplified within a part.
    assert max(errors) <= (1e-7 if dtype == F64 else 1e-4)
    # A loss of which the gradient is NaN takes no steps, and harms no one else.
    found = gradient(lengths, weights.at[3].set(jnp.nan))
    bad = [np.isnan(x).reshape(len(x), -1) for x in jax.tree.leaves(found)]
    assert all(x[3].all() or not x.any() for x in bad)  # arrivals alone read weights
    assert not any(np.delete(x, 3, axis=0).any() for x in bad)


# Jumps --------------------------------------------------------------------------------
# Written out in docs/eventprop.md, section 3, for neuron 1 of three.

WEIGHTS = np.array([[0.3, -0.5, 0.9], [0.4, 0.7, -1.1], [0.2, 0.6, -0.8]])
TM, TS = np.array([10.0, 8.0, 12.0]), np.array([5.0, 4.0, 6.0])
THRESH, RESET, DRIVE = 1.0, -0.2, np.array([0.5, 0.8, -0.1])
STATE = np.array([[0.2, 0.5], [THRESH, 1.9], [0.4, -0.3]])
MU, NU = np.array([0.3, -1.2, 0.8]), np.array([2.0, 0.7, -0.4])


def jump(kind, delays=None):
    """The transposed derivative of an event at which time has not moved yet.

    By the state before it, the weights and what moves it, of the state after it at a
    time that is fixed, and of the event's own time.
    """
    constants = {"tmem": TM, "tsyn": TS, "thresh": THRESH, "vreset": RESET}
    net = EvNN(
        LIF, 3, 9.0, 0, dtype=F64, init_weights=WEIGHTS, init_bias=DRIVE, **constants
    )
    model, t, everyone = net.neuron_model, jnp.asarray(3.0), jnp.ones(3, bool)
    delay, origin = (None, None) if delays is None else (jnp.zeros(()), jnp.asarray(0))
    event = ev.Event(jnp.asarray(kind), t, jnp.zeros(()), jnp.asarray(1), delay, origin)
    late = None if delays is None else jnp.zeros(3)

    def after(y, row, source, delays):
        z = model._unpack(y)
        landed = ev.land(
            ClosedForm(),
            model,
            [row],
            delays,
            late,
            everyone,
            everyone,
            t,
            z,
            source,
            event,
        )
        # Back to the fixed time, as the segment that follows does it.
        slope = model._slope(t, landed.after)
        z = jax.tree.map(lambda x, dx: x - dx * (landed.time - t), landed.after, slope)
        return model._pack(z), landed.time

    given = jnp.asarray(STATE), jnp.asarray(WEIGHTS[1]), t, delays
    return jax.vjp(after, *given)[1]


def test_jumps_at_a_spike_of_lif():
    by_time = 0.6
    by_state, by_row, *_ = jump(ev.CROSSING)((jnp.stack([MU, NU], 1), by_time))
    rate = (-THRESH + STATE[1, 1] + DRIVE[1]) / TM[1]
    # Wunderlich & Pehle, table 2, have λV = -μ/τm, λI = -ν/τs and one τ of each kind.
    terms = (THRESH - RESET) * MU[1] / TM[1] - by_time
    terms += np.sum(WEIGHTS[1] * (MU / TM - NU / TS))
    mu = MU.copy()
    mu[1] += terms / rate
    np.testing.assert_allclose(by_state, np.stack([mu, NU], 1), rtol=1e-12)
    np.testing.assert_allclose(by_row, NU, rtol=1e-12)


@pytest.mark.parametrize("delays", [None, np.array([1.0, 2.0, 3.0])])
def test_jumps_at_an_arrival_of_lif(delays):
    kind = ev.ARRIVAL if delays is None else ev.DELIVERY
    pull = jump(kind, None if delays is None else jnp.asarray(delays))
    by_state, by_row, by_source, by_delays = pull((jnp.stack([MU, NU], 1), 0.0))
    np.testing.assert_allclose(by_state, np.stack([MU, NU], 1), rtol=1e-12)
    np.testing.assert_allclose(by_row, NU, rtol=1e-12)
    alpha = WEIGHTS[1] * (NU / TS - MU / TM)
    assert float(by_source) == pytest.approx(alpha.sum(), rel=1e-12)
    if delays is not None:
        np.testing.assert_allclose(by_delays, alpha, rtol=1e-12)


# Keywords -----------------------------------------------------------------------------


def test_keywords_reach_the_solves(monkeypatch):
    seen = []

    def spy(terms, solver, start, stop, dt0, *args, **keywords):
        seen.append({"solver": solver, "dt0": dt0} | keywords)
        return original(terms, solver, start, stop, dt0, *args, **keywords)

    original = diffrax.diffeqsolve
    monkeypatch.setattr(_eventprop.diffrax, "diffeqsolve", spy)
    given = {
        "solver": diffrax.Dopri8(),
        "stepsize_controller": diffrax.PIDController(rtol=1e-3, atol=1e-4),
        "adjoint": diffrax.DirectAdjoint(),
        "max_steps": 77,
    }
    jax.eval_shape(way(EventPropAdjoint(dt0=0.1, **given)), 1.0)
    assert len(seen) == 3  # forth, each division again, back
    for keywords in seen:
        assert keywords["dt0"] is not None
        assert {name: keywords[name] for name in given} == given
    seen.clear()
    jax.eval_shape(way(EventPropAdjoint(max_steps=None)), 1.0)
    for keywords in seen:
        assert keywords["dt0"] is None
        assert keywords["max_steps"] is None
        assert isinstance(keywords["solver"], diffrax.Tsit5)
        assert isinstance(keywords["adjoint"], diffrax.RecursiveCheckpointAdjoint)
        assert keywords["stepsize_controller"].rtol == 1e-8


@pytest.mark.slow
def test_constant_steps_of_either_sign():
    """Euler's method is of first order in `dt0`."""
    errors = []
    for dt0 in (0.02, -0.01):
        settings = EventPropAdjoint(
            dt0=dt0,
            solver=diffrax.Euler(),
            stepsize_controller=diffrax.ConstantStepSize(),
        )
        found = jax.jit(jax.vmap(way(settings)))(jnp.array([3.0]))
        (one,) = error(found, jax.vmap(way(None))(jnp.array([3.0])))
        errors.append(one)
    assert errors[0] / errors[1] == pytest.approx(2.0, rel=0.1)


@pytest.mark.slow
def test_implicit_solver():
    gradient = jax.jit(jax.vmap(way(EventPropAdjoint(solver=diffrax.Kvaerno5()))))
    lengths = jnp.array([0.0, TAU, 40 * TAU])
    # Its steps tell nothing of the time constants, so all divisions are made.
    assert max(error(gradient(lengths), jax.vmap(way(None))(lengths))) <= 1e-6


def test_too_few_steps():
    run = jax.jit(jax.vmap(way(EventPropAdjoint(max_steps=3))))
    with pytest.raises(Exception, match="`max_steps` = 3 steps"):
        jax.block_until_ready(run(jnp.array([0.1, 20.0])))


@pytest.mark.slow
def test_too_few_steps_without_an_error():
    silent = jax.jit(jax.vmap(way(EventPropAdjoint(max_steps=3, throw=False))))
    assert jax.tree.leaves(silent(jnp.array([0.1, 20.0])))[0].shape[0] == 2


# The value of the loss is not used, so the check has to survive that.
@pytest.mark.slow
def test_too_few_steps_in_a_network():
    net = EvNN(
        LIF,
        1,
        20.0,
        1,
        thresh=1.0,
        tsyn=5.0,
        tmem=10.0,
        init_weights=1.0,
        init_bias=2.0,
        dtype=F64,
        max_event_steps=20,
        adjoint=EventPropAdjoint(max_steps=2),
    )
    gradient = jax.jit(jax.vmap(jax.grad(lambda x: jnp.sum(net.ttfs(x)))))
    with pytest.raises(Exception, match=r"EventPropAdjoint.*`max_steps` = 2"):
        jax.block_until_ready(gradient(jnp.ones((2, 1, 1))))


@pytest.mark.parametrize(
    ("kind", "keywords", "message"),
    [
        (TypeError, {"solver": diffrax.Tsit5}, "AbstractSolver instance"),
        (TypeError, {"stepsize_controller": 1e-6}, "AbstractStepSizeController"),
        (TypeError, {"adjoint": EventPropAdjoint()}, "AbstractAdjoint"),
        (TypeError, {"dt0": "0.1"}, "number or None; got '0.1'"),
        (TypeError, {"dt0": True}, "number or None; got True"),
        (TypeError, {"max_steps": 10.0}, "whole number or None; got 10.0"),
        (TypeError, {"throw": 1}, "True or False; got 1"),
        (TypeError, {"rtol": 1e-6}, "rtol"),
        (ValueError, {"max_steps": 0}, "at least 1"),
        (ValueError, {"dt0": 0.0}, "not 0"),
        (ValueError, {"dt0": math.nan}, "finite"),
        (
            ValueError,
            {"stepsize_controller": diffrax.ConstantStepSize()},
            "needs `dt0`",
        ),
    ],
)
def test_wrong_keywords(kind, keywords, message):
    with pytest.raises(kind, match=message):
        EventPropAdjoint(**keywords)


# Compilation --------------------------------------------------------------------------


def build(**changes):
    settings = {
        "solver": diffrax.Tsit5(),
        "stepsize_controller": diffrax.PIDController(
            rtol=1e-6, atol=1e-8, dtmax=jnp.array(2.0)
        ),
        "adjoint": diffrax.RecursiveCheckpointAdjoint(),
        "dt0": 0.1,
        "max_steps": 100,
    }
    adjoint = EventPropAdjoint(**(settings | changes))
    return EvNN(
        EIF, 2, 10.0, 1, jax.random.PRNGKey(0), tmem=9.0, tsyn=5.0, adjoint=adjoint
    )


def test_equal_settings_are_one_program():
    traces = []

    @eqx.filter_jit
    def trainable(net):
        traces.append(net)
        return eqx.filter(net, eqx.is_array)

    one, other = jax.tree.structure(build()), jax.tree.structure(build())
    assert one == other
    assert hash(one) == hash(other)
    trainable(build())
    trainable(build())
    assert len(traces) == 1
    changes = [
        {"solver": diffrax.Dopri5()},
        {"stepsize_controller": diffrax.PIDController(rtol=1e-5, atol=1e-8)},
        {"adjoint": diffrax.DirectAdjoint()},
        {"dt0": 0.2},
        {"max_steps": None},
        {"throw": False},
    ]
    for change in changes:
        assert jax.tree.structure(build(**change)) != one, change


# Memory -------------------------------------------------------------------------------


def memory(adjoint, stepsize=0.05, events=500, t_max=40.0):
    """Bytes that the gradient of 100 integrated neurons needs besides its result."""
    net = EvNN(
        LIF,
        100,
        t_max,
        10,
        jax.random.PRNGKey(0),
        tmem=10.0,
        tsyn=5.0,
        thresh=1.0,
        wlim=0.2,
        init_bias=0.5,
        solver=diffrax.Tsit5(),
        solver_stepsize=stepsize,
        max_event_steps=events,
        adjoint=adjoint,
    )
    inputs = jax.ShapeDtypeStruct((10, 5), F32)
    loss = lambda net, inputs: jnp.sum(net.record(inputs)[0][:5])  # noqa: E731
    compiled = jax.jit(jax.grad(loss)).lower(net, inputs).compile()
    return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.slow
def test_memory_grows_with_events_and_not_with_steps():
    fine, long = {"stepsize": 0.05 / 256}, {"t_max": 40.0 * 16}
    mine = memory(EventPropAdjoint())
    other = memory(None)
    print("bytes", mine, "by default", other)
    assert mine < other / 2
    assert memory(EventPropAdjoint(), **fine) == pytest.approx(mine, rel=0.01)
    assert memory(EventPropAdjoint(), **long) == pytest.approx(mine, rel=0.01)
    by_default = memory(None, **fine)
    more = memory(EventPropAdjoint(), events=8000)
    print("by default with finer steps", by_default, "more events", more)
    assert by_default > 1.5 * other
    # States at events grow as the root of their number, and results in proportion.
    assert more > 1.5 * mine
