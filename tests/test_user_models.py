"""Models of the user's own: the guide runs, and its models are what it says of them."""

import re
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import slow
from oracle import finite_differences as fd
from oracle import neurons
from oracle.neurons import Population
from samples import largest_gap

from eventax import EvNN
from eventax.adjoint import EventPropAdjoint
from eventax.io import NEURON_MODEL_REGISTRY, load_evnn, save_evnn
from eventax.neuron_models import AMOS, NeuronModel, Refractory

pytestmark = pytest.mark.usefixtures("x64")

PAGE = Path(__file__).resolve().parents[1] / "docs" / "neuron_models.md"
TEXT = PAGE.read_text("utf-8")
BLOCK = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)


# The guide ----------------------------------------------------------------------------


def run(block, names):
    """Execute a block of code; a traceback names the page's own lines."""
    line = TEXT.count("\n", 0, block.start(1))
    exec(compile("\n" * line + block[1], str(PAGE), "exec"), names)  # our own text


def same(printed, shown):
    """Whether two outputs are equal but for rounding of the last digit shown."""
    number = re.compile(r"-?\d+(?:\.\d*)?")
    assert number.split(printed) == number.split(shown)
    for found, wanted in zip(
        number.findall(printed), number.findall(shown), strict=True
    ):
        digits = len(wanted.partition(".")[2])
        assert float(found) == pytest.approx(float(wanted), abs=1.5 * 10**-digits)
    return True


@pytest.mark.slow
def test_the_guide_runs(capsys):
    names = {"__name__": "guide"}
    with np.printoptions():  # the page sets them
        for block in BLOCK.finditer(TEXT):
            run(block, names)
            printed = capsys.readouterr().out
            assert block[2] is None or same(printed, block[2])
    quotient = (names["sooner"] - names["later"]) / 2e-4
    np.testing.assert_allclose(names["gradient"][0], quotient, rtol=1e-5)
    starts, ends = zip(*((h[0], h[-1]) for h in names["histories"]), strict=True)
    print("loss", starts, ends)
    assert min(starts) > 100
    assert max(ends) < 5
    assert sorted(ends)[1] < 0.5


@pytest.fixture(scope="module")
def guide(x64):
    """The classes of the guide."""
    names = {"__name__": "guide"}
    wanted = ("import diffrax", "class DendriticSpikes", "class Channels")
    with np.printoptions():
        for block in BLOCK.finditer(TEXT):
            if any(word in block[1] for word in (*wanted, "class ByRows")):
                run(block, names)
    return names


# Its models against the oracle --------------------------------------------------------

N, M, T_MAX = 5, 3, 60.0
MASK = np.concatenate([1 - np.eye(N), np.ones((M, N))])
INHIBITORY = (False, True, False, False, True, False, False, True)
RANK = 10  # spikes that the loss is about


def dendrites(weights, ic, log_g):
    g = np.exp(log_g)

    def dynamics(t, y):
        v, d, w, i = y.T
        soma, dendrite = g * (d - v), g * (v - d)
        cubic = -6.0 * d**3 + 7.5 * d**2 - 1.5 * d
        rates = [
            (ic - v + soma) / 10.0,
            (cubic - w + 0.15 * dendrite + i) / 3.0,
            (d - w) / 20.0,
            -i / 3.0,
        ]
        return np.stack(rates, axis=1)

    def reset(y, neuron):
        y[neuron, 0] = 0.0
        return y

    def arrive(y, sender):
        y[:, 3] += weights[sender] * MASK[sender]
        return y

    return Population(
        start=np.zeros((N, 4)),
        dynamics=dynamics,
        gap=lambda t, y: y[:, 0] - 0.4,
        reset=reset,
        arrive=arrive,
    )


def channels(log_weights, log_ratio, ic):
    weights = MASK * np.exp(log_weights)

    def dynamics(t, y):
        v, ampa, nmda, gaba = y.T
        free = 3.57 / (3.57 + np.exp(-0.062 * v))
        total = 10.0 + ampa + nmda * free + gaba
        rate = (-700.0 - 80.0 * gaba + ic - total * v) / 200.0
        return np.stack([rate, -ampa / 2.0, -nmda / 60.0, -gaba / 8.0], axis=1)

    def reset(y, neuron):
        y[neuron, 0] = -60.0
        return y

    def arrive(y, sender):
        if INHIBITORY[sender]:
            y[:, 3] += weights[sender]
        else:
            y[:, 1] += weights[sender]
            y[:, 2] += np.exp(log_ratio) * weights[sender]
        return y

    return Population(
        start=np.tile([-70.0, 0.0, 0.0, 0.0], (N, 1)),
        dynamics=dynamics,
        gap=lambda t, y: y[:, 0] + 50.0,
        reset=reset,
        arrive=arrive,
    )


def draw(oracle, delays, seed):
    rng = np.random.default_rng(seed)
    if oracle is dendrites:
        weights = 0.15 * rng.normal(size=(N + M, N))
        weights[N:] += 0.5
        leaves = {
            "weights": weights,
            "ic": rng.uniform(0.0, 0.2, N),
            "log_g": np.log(rng.uniform(1.7, 2.5, N)),
        }
    else:
        weights = rng.uniform(3.0, 9.0, (N + M, N))
        weights[N:] *= 2.5
        leaves = {
            "log_weights": np.log(weights),
            "log_ratio": np.asarray(np.log(0.3)),
            "ic": rng.uniform(50.0, 190.0, N),
        }
    if delays:
        leaves["delays"] = rng.uniform(0.5, 4.0, (N + M, N))
        leaves["axonal_delays"] = rng.uniform(0.5, 2.0, N + M)
    leaves["in_spike_times"] = rng.uniform(1.0, 0.6 * T_MAX, (M, 4))
    return leaves


SOMA = {
    "t_refrac": 3.0,
    "block_input_during_refrac": False,
    "refrac_mask": (1, 0, 0, 0),
}
WRAPPED = {
    "": (lambda cls: cls, lambda p: p, {}),
    "soma rests": (
        Refractory,
        lambda p: neurons.refractory(p, 3.0, block=False, held=[True, *3 * [False]]),
        SOMA,
    ),
    "rests": (Refractory, lambda p: neurons.refractory(p, 2.5), {"t_refrac": 2.5}),
    "once": (AMOS, neurons.amos, {}),
    "once, frozen": (
        lambda cls: AMOS(cls, freeze_dynamics=True, stop_incoming=True),
        lambda p: neurons.amos(p, True, True),
        {},
    ),
}


def inside(net):
    """The model in all wrappers."""
    model = net.neuron_model
    while hasattr(model, "neuron"):
        model = model.neuron
    return model


def with_leaves(net, leaves):
    """`net` with other leaves, those of its model by their names."""
    names = [name for name in leaves if name != "in_spike_times"]

    def where(net):
        return [getattr(net if "delays" in n else inside(net), n) for n in names]

    return eqx.tree_at(where, net, [leaves[n] for n in names])


def loss(times, xp):
    """Of the first spikes, in order of time."""
    count = min(RANK, len(times))
    weights = np.cos(np.arange(count)) + 1.5
    chosen = times[:count]
    return xp.sum(xp.where(xp.isfinite(chosen), chosen, 0.0) * weights)


def network(cls, oracle, wrapper, delays, **settings):
    wrap, _, keywords = WRAPPED[wrapper]
    own = {"wlim": 0.0}
    if oracle is channels:
        own = {"inhibitory": INHIBITORY, "init_weights": 1.0}
    late = {"init_delays": 1.0, "init_axonal_delays": 1.0} if delays else {}
    settings = {"max_event_steps": 400, "dtype": jnp.float64, "wmask": MASK} | settings
    key = jax.random.PRNGKey(0)
    return EvNN(wrap(cls), N, T_MAX, M, key=key, **settings, **own, **late, **keywords)


@pytest.mark.parametrize(
    ("name", "oracle", "wrapper", "delays", "gradients"),
    [
        slow("DendriticSpikes", dendrites, "", False, True),
        slow("ByRows", dendrites, "soma rests", True, True),
        ("DendriticSpikes", dendrites, "once", False, False),
        slow("Conductances", channels, "", False, True),
        slow("Conductances", channels, "rests", True, True),
        slow("Conductances", channels, "once, frozen", True, False),
    ],
)
def test_models_of_the_guide(guide, name, oracle, wrapper, delays, gradients):
    samples = [draw(oracle, delays, seed) for seed in (1, 2)]
    net = network(guide[name], oracle, wrapper, delays)

    def one(leaves):
        record = with_leaves(net, leaves).record(leaves["in_spike_times"])
        return loss(record[0], jnp), record

    def simulate(leaves, **options):
        own = {n: x for n, x in leaves.items() if hasattr(inside(net), n)}
        return neurons.simulate(
            WRAPPED[wrapper][1](oracle(**own)),
            leaves["in_spike_times"],
            t_max=T_MAX,
            delays=leaves.get("delays"),
            axonal_delays=leaves.get("axonal_delays"),
            **options,
        )

    batch = {n: jnp.asarray(np.stack([s[n] for s in samples])) for n in samples[0]}
    if gradients:
        one = jax.value_and_grad(one, has_aux=True)
    value, gradient = jax.device_get(jax.jit(jax.vmap(one))(batch))
    record = value[1] if gradients else gradient
    traces = [simulate(leaves) for leaves in samples]
    counts = [len(trace.times) for trace in traces]
    found = [largest_gap([x[b] for x in record], t) for b, t in enumerate(traces)]
    print(name, wrapper, counts, found)
    assert min(counts) >= (4 if "once" in wrapper else 10)
    assert max(found) <= 1e-4
    if gradients:
        check_gradients(simulate, samples[0], {n: g[0] for n, g in gradient.items()})


def check_gradients(simulate, leaves, gradient):
    """Along a random direction of each leaf."""

    def truth(moved):
        enough = lambda times, _: len(times) >= RANK  # noqa: E731
        trace = simulate(moved, stop_after=enough)
        return float(loss(trace.times, np)), trace.events

    rng = np.random.default_rng(0)
    for name, value in leaves.items():
        direction = rng.normal(size=np.shape(value))
        if np.shape(value) == MASK.shape:
            direction *= MASK
        along = fd.directional(
            truth,
            leaves,
            {name: direction},
            scale=0.05 * np.max(np.abs(value)),
            noise=fd.ODE_NOISE,
            rtol=1e-6,
        )
        mine = np.sum(gradient[name] * direction)
        size = np.linalg.norm(gradient[name]) * np.linalg.norm(direction)
        print(name, mine, along.value, abs(mine - along.value) / size)
        assert along.error <= 1e-5 * size, name
        assert abs(mine - along.value) <= 1e-4 * size, name


@pytest.mark.slow
def test_the_adjoint_equation_of_a_model_of_ones_own(guide):
    """EventProp, and the default gradient."""
    times = jnp.asarray(draw(dendrites, False, 1)["in_spike_times"])
    leaves = draw(dendrites, False, 1)
    found = []
    for adjoint in (None, EventPropAdjoint()):
        net = network(guide["DendriticSpikes"], dendrites, "", False, adjoint=adjoint)
        net = with_leaves(net, {n: jnp.asarray(x) for n, x in leaves.items()})
        gradient = eqx.filter_jit(
            eqx.filter_grad(lambda net: loss(net.record(times)[0], jnp))
        )(net)
        found.append(jax.tree.leaves(gradient))
    for default, adjoint in zip(*found, strict=True):
        size = np.linalg.norm(default)
        print(np.linalg.norm(default - adjoint) / size)
        assert np.linalg.norm(default - adjoint) <= 1e-5 * size


def test_a_wrapped_model_of_ones_own_is_saved(guide, tmp_path):
    model = guide["Conductances"]
    config = {
        "n_neurons": 2,
        "max_solver_time": 10.0,
        "in_size": 1,
        "inhibitory": (False, True, False),
        "init_weights": np.arange(1.0, 7.0).reshape(3, 2),
        "t_refrac": 2.0,
    }
    net = EvNN(Refractory(model), key=None, **config)
    save_evnn(tmp_path / "net", net, config)
    with pytest.raises(ValueError, match="neuron_model_registry"):
        load_evnn(tmp_path / "net", key=None)
    registry = NEURON_MODEL_REGISTRY | {"Conductances": model}
    loaded, found = load_evnn(tmp_path / "net", None, neuron_model_registry=registry)
    assert eqx.tree_equal(loaded, net)
    assert list(found) == list(config)


# Mistakes -----------------------------------------------------------------------------


class Leaky(NeuronModel):
    weights: jax.Array

    def __init__(self, key, n_neurons, in_size, wmask, dtype=jnp.float32):
        super().__init__(dtype=dtype)
        self.weights = 2.0 * jnp.asarray(wmask, dtype)

    def init_state(self, n_neurons):
        return jnp.zeros((n_neurons, 2), self.dtype)

    def dynamics(self, t, y, args):
        return jnp.stack([(y[:, 1] - y[:, 0]) / 10, -y[:, 1] / 5], axis=1)

    def spike_condition(self, t, y, **kwargs):
        return y[:, 0] - 0.3

    def input_spike(self, y, from_idx, to_idx, valid_mask):
        w = jnp.where(valid_mask, self.weights[from_idx, to_idx], 0)
        return y.at[to_idx, 1].add(w)

    def reset_spiked(self, y, spiked_mask):
        return jnp.where(spiked_mask[:, None] & jnp.array([True, False]), 0, y)


def with_attribute(value, *, declared=True, static=False):
    """A constructor that assigns one attribute more."""

    def build():
        def init(self, *args, **keywords):
            Leaky.__init__(self, *args, **keywords)
            self.more = value()

        body = {"__init__": init, "__annotations__": {"more": object}}
        if static:
            body["more"] = eqx.field(static=True)
        if not declared:
            body = {"__init__": init}
        return type("Mine", (Leaky,), body)

    return build


def with_method(name, method):
    return lambda: type("Mine", (Leaky,), {name: method})


def no_super(self, key, n_neurons, in_size, wmask, dtype):
    self.weights = jnp.asarray(wmask, dtype)


def set_in_place(self, y, spiked_mask):
    y[:, 0] = 0.0
    return y


def rate_by_if(self, t, y, args):
    return y if y[0, 0] > 0 else -y


def run_network(model, **settings):
    mask = [[0, 0, 0]] * 3 + [[1, 1, 1]]
    net = EvNN(model, 3, 20.0, 1, **{"wmask": mask, **settings})
    return net.record(jnp.array([[1.0]]))


MISTAKES = [
    (
        "NotImplementedError: ... must define ...",
        with_method("dynamics", NeuronModel.dynamics),
    ),
    (
        "TypeError: Field 'dtype' was not initialized.",
        with_method("__init__", no_super),
    ),
    (
        "FrozenInstanceError: cannot assign to field",
        with_attribute(float, declared=False),
    ),
    (
        "ValueError: Every array of ... is a trainable parameter",
        with_attribute(lambda: np.arange(3)),
    ),
    (
        "ValueError: ...init_state must return arrays with leading axis n_neurons",
        with_method("init_state", lambda self, n: jnp.zeros((2, n), self.dtype)),
    ),
    (
        "ValueError: ...dynamics must return a state of the structure, shapes and "
        "dtype of init_state",
        with_method("dynamics", lambda self, t, y, args: y * np.ones(2)),
    ),
    (
        "ValueError: ...dynamics must return a state of the structure, shapes and "
        "dtype of init_state",
        with_method("dynamics", lambda self, t, y, args: [y[:, 0], y[:, 1]]),
    ),
    (
        "ValueError: ...spike_condition must return an array of shape (n_neurons,)",
        with_method("spike_condition", lambda self, t, y: y[:, :1] - 0.3),
    ),
    (
        "ValueError: ...spike_condition must return the signed distance to threshold",
        with_method("spike_condition", lambda self, t, y: y[:, 0] > 0.4),
    ),
    (
        "ValueError: ...observe must return one array of shape (n_neurons, channels)",
        with_method("observe", lambda self, y: y[:, 0]),
    ),
    (
        "ValueError: Incompatible shapes for broadcasting",
        with_method("reset_spiked", lambda self, y, who: jnp.where(who, 0.0, y)),
    ),
    ("TypeError: JAX arrays are immutable", with_method("reset_spiked", set_in_place)),
    (
        "NonConcreteBooleanIndexError: Array boolean indices must be concrete",
        with_method("reset_spiked", lambda self, y, who: y.at[who, 0].set(0.0)),
    ),
    (
        "TracerBoolConversionError: Attempted boolean conversion of traced array",
        with_method("dynamics", rate_by_if),
    ),
    (
        "EquinoxRuntimeError: `max_event_steps` = 1000 was reached",
        with_method("reset_spiked", lambda self, y, who: y),
    ),
    (
        "EquinoxRuntimeError: The state became infinite or NaN",
        with_method(
            "dynamics", lambda self, t, y, args: 1 + y**2 * jnp.array([0, 9.0], y.dtype)
        ),
    ),
]


@pytest.mark.parametrize(("told", "model"), MISTAKES, ids=lambda x: str(x)[:40])
def test_mistakes_give_the_errors_in_the_guide(told, model):
    assert f"`{told}" in TEXT
    kind, _, message = told.partition(": ")
    words = [re.escape(word) for word in message.split("...")]
    with pytest.raises(Exception, match="(?s)" + ".*".join(words)) as error:
        run_network(model())
    assert kind in {cls.__name__.lstrip("_") for cls in error.type.__mro__}


def test_an_array_in_a_static_field_is_found_at_the_second_network():
    model = with_attribute(lambda: np.ones(2), static=True)()
    for told in (
        "A JAX array is being set as static!",
        "ValueError: static arguments should be comparable",
    ):
        assert f"`{told}" in TEXT
    with pytest.warns(UserWarning, match="A JAX array is being set as static!"):
        run_network(model)
    with (
        pytest.warns(UserWarning, match="static"),
        pytest.raises(ValueError, match="static arguments should be comparable"),
    ):
        run_network(model)


def test_the_remaining_messages_of_the_guide():
    for told in (
        "TypeError: Unknown keyword ... Did you mean",
        "TypeError: `neuron_model` must be a class, not an instance of it",
    ):
        assert f"`{told}" in TEXT
    with pytest.raises(TypeError, match="Did you mean `max_event_steps`"):
        run_network(Leaky, max_steps_event=3)
