"""Bad input is an error that names the argument, the rule, the value and the remedy."""

import re

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import slow

from eventax import EvNN, FFEvNN
from eventax._arguments import as_flag, as_float, check_count
from eventax._networks import _checks as checks
from eventax._neurons._base import check_model_class
from eventax.neuron_models import EGRU, LIF, PLIF, QIF, NeuronModel, Refractory

N, M = 2, 1
LIF_ARGS = {
    "thresh": 1.0,
    "tsyn": 5.0,
    "tmem": 10.0,
    "init_weights": 5.0,
    "init_bias": 0.0,
}
PLIF_ARGS = {
    "thresh": 1.0,
    "init_tsyn": 5.0,
    "init_weights": 5.0,
    "init_bias": 0.0,
}
QIF_ARGS = {"tsyn": 5.0, "tmem": 20.0, "init_weights": 8.0, "init_bias": 0.0}
CHAIN = np.array([[0, 1], [0, 0], [1, 0]])


def lif(**changes):
    """A valid network, changed; a change to `...` leaves the keyword out."""
    settings = {"wmask": CHAIN, "max_event_steps": 5, **LIF_ARGS} | changes
    settings = {k: v for k, v in settings.items() if v is not ...}
    return EvNN(LIF, N, 50.0, M, **settings)


def qif(**changes):
    return EvNN(QIF, N, 50.0, M, **({"wmask": CHAIN, **QIF_ARGS} | changes))


def fails(error, *words):
    """The error's message holds all of these, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(w) for w in words))


# Construction -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "given"),
    [
        ("wmask", np.ones((2, 2)), "(2, 2)"),
        ("wmask", np.ones((3,)), "(3,)"),
        ("output_neurons", np.ones((3,), bool), "(3,)"),
        ("output_neurons", np.ones((2,)), "float64"),
        ("input_neurons", np.ones((2, 1), bool), "(2, 1)"),
        ("init_weights", np.ones((2, 2)), "(2, 2)"),
        ("init_bias", np.ones((3,)), "(3,)"),
        ("thresh", np.ones((3,)), "(3,)"),
        ("tsyn", np.ones((2, 1)), "(2, 1)"),
        ("tmem", np.ones((1,)), "(1,)"),
        ("vreset", np.zeros((4,)), "(4,)"),
    ],
)
def test_a_wrong_shape_names_the_right_one(name, value, given):
    with fails(ValueError, f"`{name}`", "shape", "(", given):
        lif(**{name: value})


@pytest.mark.parametrize("value", [0.5, -1.0, np.nan, 2.0])
def test_a_mask_holds_zeros_and_ones(value):
    with fails(ValueError, "`wmask`", "0 and 1", "scale the weights"):
        lif(wmask=CHAIN * value)


@pytest.mark.parametrize("name", ["tsyn", "tmem"])
@pytest.mark.parametrize("network", [lif, qif])
@pytest.mark.parametrize("value", [0.0, -1.0, np.array([5.0, -2.0])])
def test_a_time_constant_is_positive(network, name, value):
    with fails(ValueError, f"`{name}` must be positive", "got", repr(value)):
        network(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, np.nan) for name in ("thresh", "tsyn", "tmem", "vreset")),
        *((name, np.inf) for name in ("thresh", "tsyn", "vreset")),
        ("tmem", -np.inf),
    ],
)
def test_a_constant_is_finite(name, value):
    with fails(ValueError, f"`{name}` must be finite", str(value)):
        lif(**{name: value})


def test_a_constant_is_not_none():
    with fails(ValueError, "`tmem` must be given", "(2,)"):
        lif(tmem=None)


@pytest.mark.parametrize("vreset", [1.0, 1.5, np.array([0.0, 1.0])])
def test_the_reset_lies_below_threshold(vreset):
    with fails(ValueError, "`vreset` must be below `thresh`", "thresh="):
        lif(vreset=vreset)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("tmemm", "tmem"),
        ("max_steps_event", "max_event_steps"),
        ("init_weight", "init_weights"),
    ],
)
def test_an_unknown_keyword_is_named_with_a_close_one(given, meant):
    with fails(TypeError, f"`{given}`", "LIF", f"Did you mean `{meant}`?"):
        lif(**{given: 1.0})
    with fails(TypeError, f"`{given}`", "FFEvNN", f"Did you mean `{meant}`?"):
        FFEvNN([2, 1], 1, LIF, 50.0, **LIF_ARGS, **{given: 1.0})


def test_an_unknown_keyword_without_a_close_one_lists_the_known():
    with fails(TypeError, "`zzz`", "LIF takes", "thresh", "init_bias"):
        lif(zzz=1)


def test_a_missing_keyword_of_the_model_is_named():
    with fails(TypeError, "'tmem'"):
        lif(tmem=...)


@pytest.mark.parametrize(
    ("given", "limit"), [("init_weights", "wlim"), ("init_bias", "blim")]
)
def test_what_is_drawn_needs_a_key_and_a_width(given, limit):
    with fails(ValueError, f"`{given}`", f"`{limit}`", "must be given"):
        lif(**{given: None}, key=jax.random.PRNGKey(0))
    with fails(ValueError, "`key` must be given", f"`{given}`", "PRNGKey"):
        lif(**{given: None, limit: 1.0})


def test_no_key_is_needed_where_nothing_is_random():
    lif()
    qif()


def test_float64_needs_64_bit_mode():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", False)
    try:
        with fails(ValueError, "`dtype`", "jax_enable_x64", "float32"):
            lif(dtype=jnp.float64)
    finally:
        jax.config.update("jax_enable_x64", before)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.int32, "complex64"])
def test_dtype_is_one_of_two(dtype):
    with fails(ValueError, "`dtype` must be jnp.float32 or jnp.float64"):
        lif(dtype=dtype)


def test_dtype_is_a_dtype():
    with fails(TypeError, "`dtype`", "jnp.float32", "'spam'"):
        lif(dtype="spam")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("solver", "diffrax AbstractSolver"),
        ("stepsize_controller", "diffrax AbstractStepSizeController"),
        ("root_finder", "optimistix AbstractRootFinder"),
    ],
)
@pytest.mark.parametrize("value", [0.1, diffrax.Tsit5, diffrax.DirectAdjoint()])
def test_what_integrates_has_the_right_type(name, kind, value):
    with fails(TypeError, f"`{name}`", kind, "None"):
        lif(**{name: value})


def test_adjoint_is_one_that_the_engine_has():
    with fails(ValueError, "`adjoint`", "RecursiveCheckpointAdjoint", "DirectAdjoint"):
        lif(adjoint=diffrax.DirectAdjoint())


def test_a_controller_needs_an_error_estimate():
    controller = diffrax.PIDController(rtol=1e-4, atol=1e-6)
    with fails(ValueError, "`stepsize_controller`", "Euler", "Tsit5", "stepsize"):
        lif(solver=diffrax.Euler(), stepsize_controller=controller)
    lif(solver=diffrax.Euler(), stepsize_controller=diffrax.ConstantStepSize())


def test_a_solver_integrates_one_equation():
    with fails(ValueError, "`solver`", "Tsit5", "SemiImplicitEuler"):
        lif(solver=diffrax.SemiImplicitEuler())


def test_steps_do_not_come_from_a_list():
    controller = diffrax.StepTo(ts=jnp.array([0.0, 1.0, 50.0]))
    with fails(ValueError, "`stepsize_controller`", "StepTo", "PIDController"):
        lif(solver=diffrax.Tsit5(), stepsize_controller=controller)


@pytest.mark.parametrize("value", [0.0, -0.1, np.inf, np.nan])
def test_the_step_is_positive(value):
    with fails(ValueError, "`solver_stepsize`", str(value)):
        lif(solver_stepsize=value)


@pytest.mark.parametrize("value", [0.0, 1.0, -1e-3])
def test_the_tolerance_is_a_relative_error(value):
    with fails(ValueError, "`flow_tolerance`", "between 0 and 1", str(value)):
        qif(flow_tolerance=value)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("n_neurons", 0, ValueError),
        ("in_size", -1, ValueError),
        ("max_event_steps", 0, ValueError),
        ("buffer_capacity", 0, ValueError),
        ("n_neurons", True, TypeError),
        ("t0", np.nan, ValueError),
        ("max_solver_time", np.inf, ValueError),
    ],
)
def test_counts_and_numbers(name, value, error):
    settings = {"n_neurons": N, "in_size": M, "max_solver_time": 50.0, "wmask": CHAIN}
    with fails(error, f"`{name}`", "got", str(value)):
        EvNN(LIF, **(settings | LIF_ARGS | {name: value}))


def test_types_of_counts_and_numbers():
    # Called directly: in these tests annotations are checked too, and come first.
    with fails(TypeError, "`n` must be a whole number", "2.5"):
        check_count("n", 2.5, 0)
    for check in (checks.check_number, checks.check_positive, as_float):
        with fails(TypeError, "`x` must be a number", "'soon'"):
            check("x", "soon")


def test_the_end_is_not_before_the_start():
    with fails(ValueError, "`max_solver_time`", "`t0` = 60.0", "50.0"):
        lif(t0=60.0)


def test_a_network_has_layers():
    with fails(ValueError, "`layers`", "at least one", "[]"):
        FFEvNN([], 1, LIF, 50.0, **LIF_ARGS)
    with fails(ValueError, "`layers`", "at least 1", "0"):
        FFEvNN([2, 0], 1, LIF, 50.0, **LIF_ARGS)


def test_the_model_is_a_class():
    model = lif().neuron_model
    with fails(TypeError, "`neuron_model`", "class", "instance", "LIF"):
        check_model_class("neuron_model", model)
    with fails(TypeError, "`neuron_model`", "subclass", "NeuronModel", "dict"):
        check_model_class("neuron_model", dict)


@pytest.mark.parametrize("given", ["no", 2, None, 0.0])
def test_what_is_no_flag(given):
    with fails(TypeError, "`freeze_dynamics`", "True or False", repr(given)):
        as_flag("freeze_dynamics", given)


@pytest.mark.parametrize("name", ["tsyn", "init_weights", "init_delays"])
def test_what_is_no_number(name):
    with fails(TypeError, f"`{name}`", "number or an array of numbers", "'much'"):
        lif(**{name: "much"})


# A user's model -----------------------------------------------------------------------


class Leaky(NeuronModel):
    weights: jax.Array

    def __init__(self, key, n_neurons, in_size, wmask, dtype=jnp.float32):
        super().__init__(dtype=dtype)
        self.weights = jnp.asarray(wmask, dtype)

    def init_state(self, n_neurons):
        return jnp.zeros((n_neurons, 1), self.dtype)

    def dynamics(self, t, y, args):
        return -y / 10

    def spike_condition(self, t, y, **kwargs):
        return y[:, 0] - 1

    def input_spike(self, y, from_idx, to_idx, valid_mask):
        w = jnp.where(valid_mask, self.weights[from_idx, to_idx], 0)
        return y.at[to_idx, 0].add(w)

    def reset_spiked(self, y, spiked_mask):
        return jnp.where(spiked_mask[:, None], 0, y)


@pytest.mark.parametrize(
    ("method", "wrong", "words"),
    [
        ("init_state", lambda self, n: (), ["at least one array"]),
        (
            "init_state",
            lambda self, n: jnp.zeros((1, n + 1), self.dtype),
            ["leading axis", "2", "(1, 3)"],
        ),
        (
            "init_state",
            lambda self, n: jnp.zeros((n, 1), jnp.int32),
            ["dtype", "float32", "int32"],
        ),
        ("dynamics", lambda self, t, y, args: -y[:, 0], ["(2, 1)", "(2,)"]),
        (
            "dynamics",
            lambda self, t, y, args: (-y).astype(jnp.float16),
            ["float32", "float16"],
        ),
        ("reset_spiked", lambda self, y, fired: (y, y), ["structure"]),
        ("input_spike", lambda self, y, a, b, c: y[:1], ["(2, 1)", "(1, 1)"]),
        ("spike_condition", lambda self, t, y: y - 1, ["(2,)", "(2, 1)"]),
    ],
)
def test_the_methods_of_a_model_fit_together(method, wrong, words):
    model = type("Wrong", (Leaky,), {method: wrong})
    with fails(ValueError, f"Wrong.{method}", *words):
        EvNN(model, N, 50.0, M)


@pytest.mark.parametrize("method", ["init_state", "dynamics", "spike_condition"])
def test_a_missing_method_is_named(method):
    model = type("Partial", (Leaky,), {method: getattr(NeuronModel, method)})
    with fails(NotImplementedError, "Partial must define", f"`{method}`"):
        EvNN(model, N, 50.0, M)


def test_an_array_of_a_model_is_a_parameter():
    class Counting(Leaky):
        count: jax.Array

        def __init__(self, **keywords):
            super().__init__(**keywords)
            self.count = jnp.zeros((2,), jnp.int32)

    with fails(ValueError, "Counting", "float32", "int32", "static=True"):
        EvNN(Counting, N, 50.0, M)


# Calls, where Python sees the fault ---------------------------------------------------


@pytest.fixture(scope="module")
def net():
    return lif()


@pytest.mark.parametrize("shape", [(1,), (2, 3), (4, 1, 3), ()])
def test_input_times_have_two_axes(net, shape):
    for method in (
        net.ttfs,
        net.record,
        lambda x: net.spikes_until_t(x, 5.0),
        lambda x: net.state_at_t(x, 5.0),
    ):
        with fails(ValueError, "`in_spike_times`", "(1, K)", str(shape), "vmap"):
            method(jnp.ones(shape))


def test_input_times_are_real_numbers(net):
    for value in (jnp.ones((1, 1), bool), jnp.ones((1, 1), complex)):
        with fails(TypeError, "`in_spike_times`", "real numbers", str(value.dtype)):
            net.ttfs(value)


def test_one_final_time(net):
    with fails(ValueError, "`final_time` must be a scalar", "(2,)"):
        net.spikes_until_t(None, [1.0, 2.0])


def test_max_spikes_is_a_count(net):
    with fails(ValueError, "`max_spikes`", "at least 0", "-1"):
        net.spikes_until_t(None, 5.0, max_spikes=-1)


# Calls, where only the running program sees it ----------------------------------------


def inputs_at(*times):
    """Input times of one shape, so that one compilation serves all."""
    return jnp.array([[*times, *[jnp.inf] * (8 - len(times))]])


def batched(function):
    """Runs the sample between two good ones."""

    def run(inputs, *rest):
        good = inputs_at(1.0)
        inputs = jnp.stack([good, inputs, good])
        return eqx.filter_vmap(function, in_axes=(0, *[None for _ in rest]))(
            inputs, *rest
        )

    return run


WAYS = {
    "eager": lambda function: function,
    "jit": eqx.filter_jit,
    "vmap": lambda function: eqx.filter_jit(batched(function)),
    "grad": lambda function: eqx.filter_jit(jax.grad(lambda x: jnp.sum(function(x)))),
}


@pytest.fixture(scope="module", params=WAYS)
def ttfs(request, net):
    """net.ttfs called in one of these ways, compiled once for all tests."""
    return WAYS[request.param](net.ttfs)


@pytest.fixture(scope="module", params=["eager", "jit", "vmap"])
def until_and_state(request, net):
    """Other methods, in the same way."""
    way = WAYS[request.param]
    return way(lambda x, t: net.spikes_until_t(x, t, 1)), way(net.state_at_t)


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ((jnp.nan, 2.0), ["`in_spike_times`", "NaN", "`inf`"]),
        ((-0.1, 2.0), ["`in_spike_times`", "before `t0` = 0.0", "start the network"]),
        ((2.0, -jnp.inf), ["`in_spike_times`", "before `t0` = 0.0"]),
    ],
)
def test_bad_input_times(ttfs, times, words):
    with fails(RuntimeError, *words):
        ttfs(inputs_at(*times))


@pytest.mark.parametrize("time", [-0.5, 50.5, jnp.nan])
def test_times_outside_the_simulation(until_and_state, time):
    until, state = until_and_state
    inputs, time = inputs_at(1.0), jnp.asarray(time)
    limits = ["`t0` = 0.0", "`max_solver_time` = 50.0", "Raise"]
    with fails(RuntimeError, "`final_time`", *limits):
        until(inputs, time)
    with fails(RuntimeError, "`comp_times`", *limits):
        state(inputs, jnp.stack([jnp.ones_like(time), time]))


def test_the_limits_themselves_are_inside(until_and_state):
    until, state = until_and_state
    inputs = inputs_at(0.0)
    for time in (0.0, 50.0):
        time = jnp.asarray(time)
        until(inputs, time)
        state(inputs, jnp.stack([time, time]))


def test_too_many_events(ttfs):
    with fails(RuntimeError, "`max_event_steps` = 5", "Raise"):
        ttfs(inputs_at(*[1.0] * 6))  # before any neuron fires
    ttfs(inputs_at(1.0, 60.0, 60.0, 60.0))  # that are never reached


def test_plain_jit_tells_the_message_too(net):
    with fails(RuntimeError, "`in_spike_times`", "NaN"):
        jax.block_until_ready(jax.jit(lambda x: net.ttfs(x))(inputs_at(jnp.nan)))


def test_a_state_that_diverges():
    class Diverging(Leaky):
        def dynamics(self, t, y, args):
            return 1 + y * y * y

        def spike_condition(self, t, y, **kwargs):
            return -jnp.ones_like(y[:, 0])

    net = EvNN(
        Diverging,
        1,
        50.0,
        0,
        max_event_steps=2,
        solver=diffrax.Heun(),
        solver_stepsize=0.1,
    )
    with fails(RuntimeError, "infinite or NaN", "smaller steps"):
        net.ttfs(None)


def test_more_steps_than_a_gradient_goes_through():
    net = lif(adjoint=diffrax.RecursiveCheckpointAdjoint(checkpoints=1))
    with fails(RuntimeError, "more than 1 steps", "checkpoints=n"):
        jax.grad(lambda x: jnp.sum(net.ttfs(x)))(jnp.array([[1.0]]))


# Values that JAX traces, and weights that are no numbers ------------------------------

STATIC = [
    # what varies, and the network that it is a setting of
    ("thresh", 1.0, lif),
    ("tmem", 10.0, lif),
    ("tmem", [10.0, 20.0], lif),
    ("t0", 0.0, lif),
    ("max_solver_time", 50.0, lambda **x: EvNN(LIF, N, in_size=M, **LIF_ARGS, **x)),
    ("output_no_spike_value", 0.0, lif),
    ("solver_stepsize", 0.1, lif),
    ("dlim", 1.0, lif),
    ("wmask", CHAIN, lif),
    ("output_neurons", np.array([True, False]), lif),
    ("input_neurons", np.array([True, False]), lif),
    ("flow_tolerance", 1e-6, qif),
    ("t_refrac", 1.0, lambda **x: EvNN(Refractory(LIF), N, 50.0, M, **LIF_ARGS, **x)),
    (
        "refrac_mask",
        True,
        lambda **x: EvNN(Refractory(LIF), N, 50.0, M, **LIF_ARGS, **x),
    ),
    (
        "tmem_low",
        5.0,
        lambda **x: EvNN(PLIF, N, 50.0, M, tmem_high=9.0, **PLIF_ARGS, **x),
    ),
    ("weight_scale", 1.0, lambda **x: EvNN(EGRU, N, 50.0, M, **x)),
]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("name", "value", "build"), STATIC)
def test_a_setting_is_known_when_the_network_is_built(name, value, build):
    # Found failing: a raw error of JAX's, which names neither argument nor remedy.
    batch = jax.tree.map(lambda x: jnp.stack([jnp.asarray(x)] * 2), value)
    words = (f"`{name}` must be known", "static", "one network for each", "`PLIF`")
    with fails(TypeError, *words):
        eqx.filter_vmap(lambda x: build(**{name: x}))(batch)
    with fails(TypeError, *words):
        jax.jit(lambda x: build(**{name: x}))(jnp.asarray(value))


def test_trainable_constants_may_be_traced():
    def first(tmem):
        net = EvNN(PLIF, N, 50.0, M, wmask=CHAIN, init_tmem=tmem, **PLIF_ARGS)
        return net.ttfs([[1.0]])

    together = jax.jit(jax.vmap(first))(jnp.array([8.0, 10.0]))
    apart = [first(8.0), first(10.0)]
    np.testing.assert_allclose(together, apart, rtol=1e-6)


@pytest.mark.parametrize(
    "build", [lif, slow(lambda: FFEvNN([1], 1, LIF, 50.0, **LIF_ARGS))]
)
def test_a_weight_that_is_no_number_is_an_error(build):
    # Found failing: with -inf a result, and a gradient that is not finite.
    net = build()

    def loss(weight):
        leaf = net.neuron_model.weights.at[-1].set(weight)
        changed = eqx.tree_at(lambda n: n.neuron_model.weights, net, leaf)
        return jnp.sum(changed.spikes_until_t([[1.0]], 50.0, 3))

    for function in (jax.jit(loss), jax.jit(jax.grad(loss))):
        for weight in (-jnp.inf, jnp.inf, jnp.nan):
            with fails(Exception, "infinite or NaN", "parameters"):
                jax.block_until_ready(function(weight))


# Too many events ----------------------------------------------------------------------


@pytest.mark.parametrize("way", ["eager", "jit", "filter_jit", "gradient"])
@pytest.mark.parametrize("kind", [EvNN, slow(FFEvNN)])
def test_too_many_events_tell_who_fired(kind, way):
    # 2 is driven by its bias, every 10 ln 2, and 0 every 10 ln (1.3 / 0.3).
    bias = np.array([1.3, 0.0, 2.0])
    args = LIF_ARGS | {"init_bias": bias, "init_weights": 0.0, "max_event_steps": 7}
    if kind is FFEvNN:
        net = FFEvNN([3], 1, LIF, 50.0, engine="jax", **args)
    else:
        net = EvNN(LIF, 3, 50.0, 1, engine="jax", **args)

    def run(x):
        return net.spikes_until_t(x, 50.0, 9)

    ways = {
        "eager": run,
        "jit": jax.jit(run),
        "filter_jit": eqx.filter_jit(run),
        "gradient": jax.jit(jax.grad(lambda x: jnp.sum(run(x)))),
    }
    with pytest.raises(RuntimeError) as caught:
        jax.block_until_ready(ways[way](jnp.array([[1.0, 2.0]])))
    last = str(caught.value).splitlines()[-1]
    # Inputs at 1 and 2; neuron 2 at 6.9, 13.9, 20.8, 27.7; neuron 0 at 14.7.
    words = ["`max_event_steps` = 7 was reached", "Raise `max_event_steps`"]
    words += ["Spikes until t = 27.73: 5", "neuron 2 (4), neuron 0 (1)"]
    words += ["arriving inputs: 2."]
    for word in words:
        assert word in last, last
    if way == "eager":
        assert str(caught.value).count("\n") == 0
