"""Readouts over a window, against many samples of the state and finite differences.

Where an engine is not named, it is the one that networks choose: the native core where
there is one.
"""

import functools
import itertools
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import slow

from eventax import EvNN, FFEvNN, Spikes
from eventax._native import load
from eventax.adjoint import EventPropAdjoint
from eventax.neuron_models import ALIF, LI, LIF, PLIF, MultiNeuronModel, Refractory

pytestmark = pytest.mark.usefixtures("x64")

T_END, DECAY = 40.0, 15.0
START, END = 7.3, 22.1
ENGINES = ["jax", *(["native"] if load() is not None else [])]
# JAX compiles longest: what both engines do alike `make test` leaves to the native one.
FAST = [slow("jax"), "native"] if load() is not None else ["jax"]
HIDDEN = {"thresh": 1.0, "tsyn": 5.0, "tmem": 20.0, "wmean": 2.0, "wlim": 3.0}
HIDDEN |= {"bmean": 0.5, "blim": 0.5}
READOUT = {"tsyn": 3.0, "tmem": 8.0, "wmean": 0.2, "wlim": 3.0, "blim": 0.5}
COMMON = {"key": jax.random.PRNGKey(0), "max_event_steps": 500}


def with_readouts(cls, engine, **changes):
    """[4, 2]: LIF neurons and leaky integrators."""
    keywords = {
        "neuron_models": [LIF, LI],
        "neuron_model_kwargs": [HIDDEN, READOUT],
        "neuron_type_ids": np.array([0] * 4 + [1] * 2),
        "dtype": jnp.float64,
        "engine": engine,
    }
    keywords = COMMON | keywords | changes
    if cls is FFEvNN:
        return FFEvNN([4, 2], 3, MultiNeuronModel, T_END, **keywords)
    mask = np.concatenate([1 - np.eye(6), np.ones((3, 6))])
    weak = [HIDDEN | {"wmean": 0.4}, READOUT]
    keywords |= {"wmask": mask, "neuron_model_kwargs": weak}
    outputs = np.arange(6) >= 4
    return EvNN(MultiNeuronModel, 6, T_END, 3, output_neurons=outputs, **keywords)


def firing(model, engine, cls=FFEvNN, **changes):
    """Three outputs that fire; of an `EvNN`, hear each other."""
    keywords = COMMON | {"dtype": jnp.float64, "engine": engine} | changes
    if cls is FFEvNN:
        return FFEvNN([3], 3, model, T_END, **keywords)
    return EvNN(model, 3, T_END, 3, **keywords)


ALIF_KEYWORDS = {"tmem": 10.0, "ta": 30.0, "b0": 1.0, "beta": 5.0, "wlim": 0.9}
ALIF_KEYWORDS |= {"positive_weights": True, "blim": 1.0}
PAUSED = HIDDEN | {"t_refrac": 3.0, "refrac_mask": [1, 0]}
NETWORKS = {
    "layered": lambda engine: with_readouts(FFEvNN, engine),
    "layered, delays": lambda engine: with_readouts(FFEvNN, engine, dlim=4.0),
    "recurrent": lambda engine: with_readouts(EvNN, engine),
    "recurrent, delays": lambda engine: with_readouts(EvNN, engine, dlim=4.0),
    "LIF": lambda engine: firing(LIF, engine, **HIDDEN),
    "Refractory": lambda engine: firing(Refractory(LIF), engine, **PAUSED),
    "ALIF": lambda engine: firing(ALIF, engine, **ALIF_KEYWORDS),
    "ALIF, recurrent, delays": lambda engine: firing(
        ALIF, engine, EvNN, dlim=3.0, **ALIF_KEYWORDS
    ),
}


def inputs():
    times = np.random.default_rng(0).uniform(0, 30, (3, 4))
    times[0, 2:] = np.inf
    return jnp.asarray(times)


def fast(*some):
    """Those of `make test`; the rest is slow."""
    cases = [(name, engine) for name in NETWORKS for engine in ENGINES]
    return [case if case in some else slow(*case) for case in cases]


@functools.cache
def sampled(name):
    """Potentials from START to END, and when."""
    grid = np.linspace(START, END, 8001)
    v = np.asarray(NETWORKS[name]("auto").state_at_t(inputs(), grid))[:, :, 0]
    return v, grid


def check_area(name, found, decay):
    v, grid = sampled(name)
    # A jump of the potential, which the grid knows to one step only.
    jumps = 0.0 if "ALIF" not in name and name not in ("LIF", "Refractory") else 40.0
    weight = 1.0 if decay is None else np.exp(-grid / decay)
    wanted = np.trapezoid(v * weight, grid)
    np.testing.assert_allclose(
        found, wanted, rtol=0, atol=1e-6 + jumps * (grid[1] - grid[0])
    )
    assert np.all(np.abs(wanted) > 1e-3)


def check_top(name, found):
    v, grid = sampled(name)
    assert np.all(found >= v.max(axis=1) - 1e-12)
    if "ALIF" not in name:  # whose jump over threshold no state shows
        step = grid[1] - grid[0]
        np.testing.assert_allclose(found, v.max(axis=1), rtol=0, atol=step)


# Of the engine in JAX `test_gradients` compares values too, in the same programs.
@pytest.mark.parametrize(
    ("name", "engine"), fast(*((name, "native") for name in NETWORKS))
)
def test_against_many_samples(name, engine):
    net, x = NETWORKS[name](engine), inputs()
    for decay in (None, DECAY):
        check_area(name, net.integral(x, decay, start=START, end=END), decay)
    top = np.asarray(net.max_over_time(x, start=START, end=END))
    check_top(name, top)
    whole = np.asarray(net.max_over_time(x))
    assert np.all(top <= whole)


@pytest.mark.parametrize(("name", "engine"), fast(
    ("recurrent, delays", "native"), ("layered", "native")))  # fmt: skip
def test_windows_side_by_side_add_up(name, engine):
    net, x = NETWORKS[name](engine), inputs()
    bounds = [0.0, START, END, T_END]
    areas, tops = [], []
    for start, end in itertools.pairwise(bounds):
        areas.append(net.integral(x, DECAY, start=start, end=end))
        tops.append(net.max_over_time(x, start=start, end=end))
    np.testing.assert_allclose(sum(areas), net.integral(x, DECAY), rtol=1e-12)
    np.testing.assert_allclose(np.max(tops, axis=0), net.max_over_time(x), rtol=1e-12)
    # What is left out is the start and the end of the simulation.
    same = net.integral(x, DECAY, start=END)
    np.testing.assert_allclose(same, areas[2], rtol=1e-12)
    same = net.max_over_time(x, end=START)
    np.testing.assert_allclose(same, tops[0], rtol=1e-12)


@pytest.mark.parametrize("engine", FAST)
@pytest.mark.parametrize("cls", [FFEvNN, EvNN])
def test_a_window_of_one_moment(cls, engine):
    net, x = with_readouts(cls, engine), inputs()
    v = np.asarray(net.state_at_t(x, [START, 0.0, T_END]))[:, :, 0]
    for k, t in enumerate((START, 0.0, T_END)):
        np.testing.assert_array_equal(net.integral(x, start=t, end=t), 0)
        top = net.max_over_time(x, start=t, end=t)
        np.testing.assert_allclose(top, v[:, k], rtol=0, atol=1e-14)


QUESTIONS = {
    "highest": lambda net, x, **window: net.max_over_time(x, **window),
    "integral": lambda net, x, **window: net.integral(x, DECAY, **window),
}


def loss_of(net, questions=tuple(QUESTIONS)):
    """Of what is asked, by all arrays, input times, start and end; and its gradient.

    One program for both: of the engine in JAX, each one compiles for seconds.
    """
    params, static = eqx.partition(net, eqx.is_array)

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def loss(values):
        params, x, start, end = values
        net = eqx.combine(params, static)
        seen = {q: QUESTIONS[q](net, x, start=start, end=end) for q in questions}
        total = sum(seen.values())
        return jnp.sum(total * jnp.array([1.0, -2.0, 0.5])[: total.shape[0]]), seen

    return loss, (params, inputs(), jnp.asarray(START), jnp.asarray(END))


def check_by_differences(loss, here, tolerance=1e-5):
    """What was asked, after its gradient is found right."""
    (_, seen), gradient = loss(here)
    rng, step = np.random.default_rng(1), 1e-6
    moves = [jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape)), here)]
    # By either end alone.
    still = jax.tree.map(jnp.zeros_like, here)
    moves += [(*still[:2], jnp.ones(()), still[3]), (*still[:3], jnp.ones(()))]
    for move in moves:
        there = [
            jax.tree.map(lambda p, m, s=s: p + s * step * m, here, move)
            for s in (1, -1)
        ]
        slope = (loss(there[0])[0][0] - loss(there[1])[0][0]) / (2 * step)
        products = jax.tree.map(lambda g, m: jnp.sum(g * m), gradient, move)
        mine = sum(jax.tree.leaves(products))
        np.testing.assert_allclose(mine, slope, rtol=tolerance, atol=1e-7)
    return seen


def check_values_and_gradients(name, engine, questions):
    loss, here = loss_of(NETWORKS[name](engine), questions)
    seen = check_by_differences(loss, here)
    if "highest" in questions:
        check_top(name, seen["highest"])
    if "integral" in questions:
        check_area(name, seen["integral"], DECAY)


@pytest.mark.parametrize(
    ("name", "engine"), fast(*((name, "native") for name in NETWORKS))
)
def test_gradients(name, engine):
    check_values_and_gradients(name, engine, tuple(QUESTIONS))


@pytest.mark.parametrize(
    ("name", "question"),
    [
        slow("LIF", "highest"),  # layer by layer
        slow("layered", "integral"),
        slow("recurrent, delays", "highest"),
        slow("recurrent", "integral"),  # by start and end; without them `test_readouts`
    ],
)
def test_values_and_gradients_by_jax(name, question):
    """One question alone, which compiles in half the time."""
    check_values_and_gradients(name, "jax", (question,))


@pytest.mark.parametrize("name", ["layered, delays", "recurrent, delays"])
def test_gradients_of_the_whole_way_with_delays(name):
    """Found failing: a maximum at an arrival did not move with that synapse's delay."""
    net = NETWORKS[name]("auto")
    whole = {"start": 0.0, "end": T_END}
    params, static = eqx.partition(net, eqx.is_array)

    @jax.jit
    def loss(params):
        net = eqx.combine(params, static)
        return jnp.sum(net.max_over_time(inputs()) * jnp.array([1.0, -2.0]))

    @jax.jit
    def over_window(params):
        net = eqx.combine(params, static)
        top = net.max_over_time(inputs(), **whole)
        return jnp.sum(top * jnp.array([1.0, -2.0]))

    found, wanted = jax.grad(loss)(params), jax.grad(over_window)(params)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    rng, step = np.random.default_rng(1), 1e-6
    move = jnp.asarray(rng.normal(size=params.delays.shape))
    there = [
        eqx.tree_at(lambda p: p.delays, params, params.delays + s * step * move)
        for s in (1, -1)
    ]
    slope = (loss(there[0]) - loss(there[1])) / (2 * step)
    mine = jnp.sum(found.delays * move)
    np.testing.assert_allclose(mine, slope, rtol=1e-6)


@pytest.mark.slow
def test_gradients_by_the_adjoint_equation():
    loss, here = loss_of(with_readouts(EvNN, "jax", adjoint=EventPropAdjoint()))
    check_by_differences(loss, here, tolerance=1e-4)


def test_the_derivative_by_its_ends_is_the_potential():
    net, x = NETWORKS["layered"]("auto"), inputs()
    area = lambda start, end: net.integral(x, DECAY, start=start, end=end)[0]  # noqa: E731
    by_start, by_end = jax.grad(area, argnums=(0, 1))(START, END)
    v = np.asarray(net.state_at_t(x, [START, END]))[0, :, 0]
    np.testing.assert_allclose(-by_start, v[0] * np.exp(-START / DECAY), rtol=1e-10)
    np.testing.assert_allclose(by_end, v[1] * np.exp(-END / DECAY), rtol=1e-10)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cls", [FFEvNN, EvNN])
def test_a_rising_or_falling_potential_is_highest_at_an_end(cls, engine):
    """One spike of weight 2 at 1, τm = 2 τs: v = 2 (x - x²), x = exp((1 - t) / 10)."""
    keywords = {"tsyn": 5.0, "tmem": 10.0, "init_weights": 2.0, "init_bias": 0.0}
    keywords |= {"dtype": jnp.float64, "engine": engine}
    if cls is FFEvNN:
        net = FFEvNN([1], 1, LI, 50.0, **keywords)
    else:
        net = EvNN(LI, 1, 50.0, 1, wmask=[[0], [1]], **keywords)
    one = jnp.array([[1.0]])
    top = lambda s, e: net.max_over_time(one, start=s, end=e)[0]  # noqa: E731
    v = lambda t: 2 * (np.exp((1 - t) / 10) - np.exp((1 - t) / 5))  # noqa: E731
    slope = lambda t: -np.exp((1 - t) / 10) / 5 + 2 * np.exp((1 - t) / 5) / 5  # noqa: E731
    for window, wanted in {
        (2.0, 5.0): (v(5.0), (0.0, slope(5.0))),  # rising
        (2.0, 20.0): (0.5, (0.0, 0.0)),  # its maximum within
        (12.0, 20.0): (v(12.0), (slope(12.0), 0.0)),  # falling
    }.items():
        found, by = jax.value_and_grad(top, argnums=(0, 1))(*window)
        np.testing.assert_allclose(found, wanted[0], rtol=1e-12)
        np.testing.assert_allclose(by, wanted[1], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("engine", FAST)
def test_a_window_of_its_own_for_each_sample(engine):
    net = with_readouts(FFEvNN, engine)
    x = jnp.stack([inputs(), inputs() + 1.0, inputs() + 3.0])
    starts, ends = jnp.array([0.0, 5.0, 30.0]), jnp.array([10.0, 5.5, 40.0])

    @jax.jit
    def both(starts, ends):
        def one(x, start, end):
            return net.max_over_time(x, start=start, end=end), net.integral(
                x, DECAY, start=start, end=end
            )

        return jax.vmap(one)(x, starts, ends)

    tops, areas = both(starts, ends)
    for k in range(3):
        window = {"start": starts[k], "end": ends[k]}
        np.testing.assert_allclose(
            tops[k], net.max_over_time(x[k], **window), rtol=1e-12
        )
        np.testing.assert_allclose(
            areas[k], net.integral(x[k], DECAY, **window), rtol=1e-12
        )
    by = jax.jit(jax.vmap(jax.grad(lambda s, x: net.integral(x, start=s)[0])))
    v = [net.state_at_t(x[k], starts[k])[0, 0, 0] for k in range(3)]
    np.testing.assert_allclose(by(starts, x), -np.array(v), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("engine", FAST)
@pytest.mark.parametrize("cls", [FFEvNN, EvNN])
def test_events_at_the_ends(cls, engine):
    """What happens at the start has happened; what happens at the end counts."""
    keywords = {"tmem": 10.0, "ta": 30.0, "b0": 1.0, "beta": 5.0, "init_weights": 0.6}
    keywords |= {"init_bias": 0.0, "dtype": jnp.float64, "engine": engine}
    if cls is FFEvNN:
        net = FFEvNN([1], 1, ALIF, T_END, **keywords)
    else:
        net = EvNN(ALIF, 1, T_END, 1, wmask=[[0], [1]], **keywords)
    x = jnp.array([[5.0, 10.0]])
    fall = np.exp(-0.5)
    jump = 0.6 * fall + 0.6  # below threshold
    tops = {
        (0.0, 5.0): 0.6,
        (5.0, 9.0): 0.6,
        (6.0, 10.0): jump,
        (10.0, 12.0): jump,
        (7.0, 9.0): 0.6 * np.exp(-0.2),
        (0.0, 4.0): 0.0,
    }
    for (start, end), wanted in tops.items():
        found = net.max_over_time(x, start=start, end=end)[0]
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-15)
    area = net.integral(x, start=5.0, end=10.0)[0]
    np.testing.assert_allclose(area, 6 * (1 - fall), rtol=1e-12)


@pytest.mark.parametrize("engine", FAST)
def test_what_comes_after_the_end_is_no_event(engine):
    """The simulation stops there."""
    bounded = {"max_event_steps": 4, "dtype": jnp.float64, "engine": engine}
    net = FFEvNN([1], 1, LI, T_END, tsyn=5.0, tmem=10.0, init_weights=1.0,
                 init_bias=0.0, **bounded)  # fmt: skip
    x = jnp.arange(8.0)[None]
    with pytest.raises(RuntimeError, match="max_event_steps"):
        net.integral(x)
    assert net.integral(x, end=3.5)[0] > 0


def test_lists_of_spikes_and_other_neurons():
    net = NETWORKS["layered"]("auto")
    channels = jnp.repeat(jnp.arange(3), 4)
    listed = Spikes(inputs().ravel(), channels)
    window = {"start": START, "end": END, "neurons": [0, 3]}
    for found, wanted in zip(
        (net.max_over_time(listed, **window), net.integral(listed, **window)),
        (net.max_over_time(inputs(), **window), net.integral(inputs(), **window)),
        strict=True,
    ):
        np.testing.assert_array_equal(found, wanted)
        assert found.shape == (2,)


@pytest.mark.parametrize("engine", FAST)
def test_single_precision(engine):
    net = with_readouts(FFEvNN, engine, dtype=jnp.float32)
    exact = with_readouts(FFEvNN, engine)
    window = {"start": START, "end": END}
    x = inputs()
    found, wanted = (
        np.array([n.max_over_time(x, **window), n.integral(x, DECAY, **window)])
        for n in (net, exact)
    )
    assert found.dtype == np.float32
    # Both draw their weights in their own precision; compare by the sizes.
    assert found.shape == wanted.shape
    grid = np.linspace(START, END, 2001)
    v = np.asarray(net.state_at_t(x, grid))[:, :, 0]
    np.testing.assert_allclose(found[0], v.max(axis=1), atol=1e-3)
    area = np.trapezoid(v * np.exp(-grid / DECAY), grid)
    np.testing.assert_allclose(found[1], area, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", FAST)
def test_trained_time_constants(engine):
    keywords = {"thresh": 1.0, "wlim": 4.0, "init_tmem": 15.0, "init_tsyn": 5.0}
    keywords |= {"shared_time_constants": False, "init_bias": 0.2}
    keywords |= {"init_tmem": jnp.array([15.0, 9.0, 20.0])}
    keywords |= {"init_tsyn": jnp.array([5.0, 4.0, 3.0])}
    loss, here = loss_of(firing(PLIF, engine, **keywords))
    check_by_differences(loss, here)


# Wrong windows ------------------------------------------------------------------------


@pytest.mark.parametrize("engine", FAST)
@pytest.mark.parametrize("cls", [FFEvNN, EvNN])
@pytest.mark.parametrize(
    "window",
    [(-1.0, 5.0), (5.0, T_END + 1), (6.0, 5.0), (np.nan, 5.0), (5.0, np.nan)],
)
def test_windows_outside_of_the_simulation(cls, engine, window):
    net, x = with_readouts(cls, engine), inputs()
    message = re.escape(
        "`start` and `end` must lie between `t0` = 0.0 and `max_solver_time` = 40.0, "
        "and `start` not after `end`"
    )
    start, end = window
    with pytest.raises(RuntimeError, match=message):
        net.integral(x, start=start, end=end)
    if window == (6.0, 5.0):
        top = jax.jit(jax.vmap(lambda s: net.max_over_time(x, start=s, end=end)))
        with pytest.raises(Exception, match=message):
            jax.block_until_ready(top(jnp.array([1.0, start])))


def test_windows_are_of_one_sample():
    net = NETWORKS["layered"]("auto")
    with pytest.raises(ValueError, match="`end` must be a scalar"):
        net.integral(inputs(), end=jnp.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="`start` must be a scalar"):
        net.max_over_time(inputs(), start=[1.0])
