"""Graphs in NIR that others wrote: their equations here, or an error that says why."""

import re

import jax.numpy as jnp
import nir
import numpy as np
import pytest
from oracle import lif as oracle
from scipy.integrate import solve_ivp
from scipy.signal import correlate2d

from eventax import EvNN, FFEvNN
from eventax.io import from_nir, to_nir
from eventax.neuron_models import ALIF, LI, LIF, PLIF, MultiNeuronModel

JUMP = {"graph_unit": "ms", "spike": "jump"}


def array(*values):
    return np.array(values, np.float32)


def cuba(n=1, kind=nir.CubaLIF, **changes):
    """Current-based neurons, all parameters of shape (n,)."""
    parameters = {
        "tau_syn": 5.0,
        "tau_mem": 10.0,
        "r": 1.0,
        "v_leak": 0.0,
        "v_threshold": 1.0,
        "v_reset": 0.0,
        "w_in": 1.0,
    }
    if kind is nir.CubaLI:
        parameters = {k: v for k, v in parameters.items() if "v_" not in k or "ak" in k}
    parameters |= changes
    return kind(
        **{
            k: np.broadcast_to(np.float32(v), (n,)).copy()
            for k, v in parameters.items()
        }
    )


def delta(n=1, **changes):
    """Neurons whose potential jumps."""
    parameters = {"tau": 10.0, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0} | changes
    return nir.LIF(**{k: np.full(n, v, np.float32) for k, v in parameters.items()})


def inputs(*shape):
    return nir.Input({"input": np.array(shape)})


def outputs(*shape):
    return nir.Output({"output": np.array(shape)})


def graph(nodes, *chains, **keywords):
    """Edges along chains such as "in w lif out"; types are not checked."""
    edges = [
        pair for c in chains for pair in zip(c.split(), c.split()[1:], strict=False)
    ]
    return nir.NIRGraph(nodes, edges, type_check=False, **keywords)


def one_neuron(neuron, weight=8.0):
    nodes = {"in": inputs(1), "w": nir.Linear(array([weight])), "n": neuron}
    return graph(nodes | {"out": outputs(1)}, "in w n out")


# Equations -------------------------------------------------------------------------

CHANGES = {"r": 1.7, "w_in": 0.9, "v_leak": 0.3, "v_threshold": 0.8, "tau_syn": 4.0}


def nir_spike(jump, p):
    """First spike of a neuron with one input spike at 1, by NIR's formulas."""

    def f(t, y):
        current, v = y
        return [
            -current / p["tau_syn"],
            (p["v_leak"] - v + p["r"] * current) / p["tau_mem"],
        ]

    crossing = lambda t, y: y[1] - p["v_threshold"]  # noqa: E731
    crossing.terminal = True
    tight = {"rtol": 1e-10, "atol": 1e-12}
    before = solve_ivp(f, (0, 1), [0, 0], **tight).y[:, -1]
    start = before + np.array([jump, 0])
    return solve_ivp(f, (1, 30), start, events=crossing, **tight).t_events[0][0]


@pytest.mark.parametrize("spike", ["dirac", "jump"])
def test_a_cuba_lif_is_nirs_formula(spike):
    node = cuba(**CHANGES)
    p = {"tau_mem": 10.0} | CHANGES
    # A Dirac pulse in τ I' = -I + w S makes I jump by w / τ.
    jump = 8.0 * p["w_in"] / (p["tau_syn"] if spike == "dirac" else 1)
    network = from_nir(one_neuron(node), 30.0, graph_unit="ms", spike=spike)
    assert network.ttfs([[1.0]])[0] == pytest.approx(nir_spike(jump, p), abs=1e-5)


def test_a_step_is_an_input_of_1_in_one_step():
    """Euler's method for NIR's formulas converges to the network in first order."""
    p = {"tau_mem": 10.0} | CHANGES | {"w_in": 90.0}
    errors = []
    for dt in (0.02, 0.01, 0.005):
        node = cuba(**CHANGES | {"w_in": p["w_in"] * 0.02 / dt})
        network = from_nir(one_neuron(node), 30.0, spike="step", dt=dt, graph_unit="ms")
        current = v = 0.0
        for k in range(round(30 / dt)):
            given = 8.0 * (k == round(1 / dt)) * p["w_in"] * 0.02 / dt
            v += dt / p["tau_mem"] * (p["v_leak"] - v + p["r"] * current)
            current += dt / p["tau_syn"] * (given - current)
            if v > p["v_threshold"]:
                break
        errors.append(abs((k + 1) * dt - network.ttfs([[1.0]])[0]))
    assert errors[0] < 0.05
    assert errors[2] < 0.6 * errors[0]


def test_a_graph_with_all_its_parts_is_the_oracles_network():
    """Recurrence, delays of both kinds, constants of each neuron, several nodes."""
    rng = np.random.default_rng(3)
    w_in, w_rec, w_out = (
        rng.normal(m, 1.0, s).astype(np.float32)
        for m, s in ((2, (3, 2)), (0, (3, 3)), (2, (2, 3)))
    )
    hidden = cuba(3, r=[1.0, 2.0, 0.5], tau_mem=[8.0, 10.0, 14.0], v_leak=0.1)
    nodes = {
        "in": inputs(2),
        "axons": nir.Delay(array(0.5, 1.5)),
        "w_in": nir.Linear(w_in),
        "hidden": hidden,
        "w_rec": nir.Linear(w_rec),
        "late": nir.Delay(array(1.0, 2.0, 3.0)),
        "w_out": nir.Linear(w_out),
        "last": cuba(2, v_reset=-0.5, w_in=2.0),
        "out": outputs(2),
    }
    chains = ("in axons w_in hidden w_rec late hidden", "hidden w_out last out")
    network = from_nir(graph(nodes, *chains), 25.0, **JUMP, max_event_steps=2000)
    assert type(network) is EvNN
    assert network.output_indices.tolist() == [3, 4]
    weights, delays = np.zeros((7, 5)), np.zeros((7, 5))
    weights[:3, :3] = w_rec.T * [1.0, 2.0, 0.5]
    weights[:3, 3:] = w_out.T * 2
    weights[5:, :3] = w_in.T * [1.0, 2.0, 0.5]
    delays[:3, :3] = [1.0, 2.0, 3.0]
    delays[5:, :3] = np.array([[0.5], [1.5]])
    times = np.array([[1.0, 4.0, 9.0], [2.5, 3.0, 12.0]])
    trace = oracle.simulate(
        weights,
        [0.1, 0.1, 0.1, 0.0, 0.0],
        times,
        tmem=[8.0, 10.0, 14.0, 10.0, 10.0],
        tsyn=5.0,
        vreset=[0.0, 0.0, 0.0, -0.5, -0.5],
        t_max=25.0,
        delays=delays,
    )
    when, who, _ = network.record(times)
    n = int(np.sum(np.asarray(who) >= 0))
    assert n == len(trace.times) > 10
    assert np.array_equal(who[:n], trace.neurons)
    assert np.allclose(when[:n], trace.times, atol=1e-4)


def test_a_cuba_li_is_a_readout():
    nodes = {"in": inputs(1), "w": nir.Linear(array([2.0])), "out": outputs(1)}
    nodes["li"] = cuba(kind=nir.CubaLI, v_leak=0.25, r=2.0)
    network = from_nir(graph(nodes, "in w li out"), 50.0, **JUMP)
    assert type(network.neuron_model) is LI
    # r times what LI's docstring has for this weight, above the leak.
    s = 30.0
    v = 0.25 * (1 - np.exp(-s / 10)) + 4 * (np.exp(-s / 10) - np.exp(-s / 5))
    assert network.state_at_t([[0.0]], [s])[0, 0, 0] == pytest.approx(v, abs=1e-6)


@pytest.mark.parametrize(
    ("spike", "jump"),
    [("dirac", 0.3), ("jump", 3.0), ("step", 0.06)],
)
def test_a_lif_node_jumps(spike, jump):
    """τ v' = v_leak - v + r S: by r W / τ, r W, or r W dt / τ."""
    dt = 0.2 if spike == "step" else None
    node = delta(r=0.5, v_leak=0.4, v_threshold=100.0)
    network = from_nir(one_neuron(node, 6.0), 50.0, graph_unit="ms", spike=spike, dt=dt)
    assert type(network.neuron_model) is ALIF
    v = network.state_at_t([[2.0]], [2.0, 7.0])[0, :, 0]
    before = 0.4 * (1 - np.exp(-0.2))
    after = 0.4 + (before + jump - 0.4) * np.exp(-0.5)
    assert np.allclose(v, [before + jump, after], atol=1e-6)


def test_a_lif_node_is_reset_to_0():
    network = from_nir(one_neuron(delta(), 2.5), 50.0, **JUMP)
    times = network.spikes_until_t([[2.0, 3.0]], 50.0, max_spikes=3)
    assert times.tolist() == [[2.0, 3.0, np.inf]]
    assert network.state_at_t([[2.0]], [2.0])[0, 0, 0] == 0


@pytest.mark.parametrize(
    ("spike", "jump"), [("dirac", 0.3), ("jump", 0.3), ("step", 0.06)]
)
def test_an_if_node_adds_up(spike, jump):
    """v' = r S: each spike adds r W, or r W dt, and nothing is lost."""
    dt = 0.2 if spike == "step" else None
    node = nir.IF(array(0.5), array(1.01), array(0.0))
    read = from_nir(one_neuron(node, 0.6), 50.0, graph_unit="ms", spike=spike, dt=dt)
    assert type(read.neuron_model) is ALIF
    given = [[2.0, 7.0, 30.0, 31.0, 32.0]]
    v = read.state_at_t(given, [1.0, 5.0, 29.0, 30.5])[0, :, 0]
    assert np.allclose(v, [0, jump, 2 * jump, 3 * jump], atol=1e-6)
    # The fourth spike of 0.3 takes it over the threshold, and it starts at 0 again.
    times = read.spikes_until_t(given, 50.0, max_spikes=1)
    assert times.tolist() == [[31.0 if spike != "step" else np.inf]]
    again = from_nir(to_nir(read, unit="ms", spike=spike, dt=dt), 50.0)
    assert again.neuron_model.tmem.value == np.inf
    assert np.array_equal(again.state_at_t(given, [33.0]), read.state_at_t(given, 33.0))


def test_an_if_node_has_no_bias():
    nodes = {"in": inputs(1), "w": nir.Affine(array([1.0]), array(0.8))}
    nodes |= {"n": nir.IF(array(1.0), array(1.0)), "out": outputs(1)}
    with pytest.raises(ValueError, match="'n' \\(IF\\) has no leak"):
        from_nir(graph(nodes, "in w n out"), 9.0, graph_unit="ms", spike="dirac")


def test_a_bias_without_a_synapse_is_a_constant_current():
    nodes = {"in": inputs(1), "n": delta(r=0.5, v_leak=0.1), "out": outputs(1)}
    nodes["w"] = nir.Affine(array([1.0]), array(0.8))
    read = from_nir(graph(nodes, "in w n out"), 9.0, graph_unit="ms", spike="dirac")
    assert read.neuron_model.ic == pytest.approx(0.1 + 0.5 * 0.8)


def test_units():
    node = cuba(tau_syn=5e-3, tau_mem=10e-3)
    network = from_nir(one_neuron(node), 50.0, unit="ms", graph_unit="s", spike="jump")
    expected = from_nir(one_neuron(cuba()), 50.0, **JUMP)
    assert network.ttfs([[1.0]])[0] == pytest.approx(
        float(expected.ttfs([[1.0]])[0]), rel=1e-6
    )


def test_trainable_time_constants_where_asked_for():
    node = cuba(2, tau_mem=[10.0, 20.0])
    nodes = {"in": inputs(1), "w": nir.Linear(array([1.0], [2.0])), "n": node}
    given = graph(nodes | {"out": outputs(2)}, "in w n out")
    network = from_nir(given, 50.0, neuron_model=PLIF, **JUMP)
    assert np.allclose(np.exp(network.neuron_model.log_tmem), [10, 20])
    assert np.allclose(np.exp(network.neuron_model.log_tsyn), [5, 5])
    assert type(from_nir(given, 50.0, **JUMP).neuron_model) is LIF


# Structure -------------------------------------------------------------------------


def test_layers_are_a_feed_forward_network():
    nodes = {
        "in": inputs(2),
        "a": nir.Linear(np.ones((3, 2), np.float32)),
        "b": cuba(3),
        "c": nir.Linear(np.ones((2, 3), np.float32)),
        "d": cuba(2, nir.CubaLI),
        "out": outputs(2),
    }
    network = from_nir(graph(nodes, "in a b c d out"), 50.0, **JUMP)
    assert type(network) is FFEvNN
    assert network.layers == (3, 2)
    assert type(network.neuron_model) is MultiNeuronModel


def test_a_weight_of_zero_is_no_connection():
    nodes = {"in": inputs(2), "w": nir.Linear(array([1.0, 0.0])), "n": cuba()}
    network = from_nir(graph(nodes | {"out": outputs(1)}, "in w n out"), 5.0, **JUMP)
    assert type(network) is EvNN
    assert network.get_wmask()[1:, 0].tolist() == [1, 0]


def test_graphs_inside_graphs():
    """A recurrent layer as some tools write it, alone and inside another graph."""
    w_rec = array([0.0, 1.0], [2.0, 0.0])
    inner = graph(
        {"i": inputs(2), "lif": cuba(2), "rec": nir.Linear(w_rec), "o": outputs(2)},
        "i lif rec lif o",
    )
    outer = graph({"a": inputs(2), "layer": inner, "z": outputs(2)}, "a layer z")
    nodes = {"in": inputs(2), "w": nir.Linear(array([1.0, 2.0], [3.0, 4.0]))}
    for nested in (inner, outer):
        whole = graph(nodes | {"net": nested, "out": outputs(2)}, "in w net out")
        network = from_nir(whole, 50.0, **JUMP)
        expected = [[0, 2], [1, 0], [1, 3], [2, 4]]
        assert network.neuron_model.weights.tolist() == expected


def test_parameters_that_are_numbers_have_the_size_of_what_reaches_them():
    number = lambda x: np.array(x, np.float32)  # noqa: E731
    node = nir.CubaLIF(*(number(x) for x in (5.0, 10.0, 1.0, 0.0, 1.0)))
    nodes = {"in": inputs(1), "w": nir.Linear(array([1.0], [2.0])), "n": node}
    nodes |= {"rec": nir.Linear(np.eye(2, dtype=np.float32)), "out": outputs(2)}
    network = from_nir(graph(nodes, "in w n rec n out"), 5.0, **JUMP)
    assert network.n_neurons == 2


def test_several_inputs_and_outputs():
    nodes = {
        "in_a": inputs(1),
        "in_b": inputs(2),
        "w_a": nir.Linear(array([1.0], [2.0])),
        "w_b": nir.Linear(array([3.0, 4.0], [5.0, 6.0])),
        "n": cuba(2),
        "w": nir.Linear(array([7.0, 8.0])),
        "m": cuba(1),
        "out_n": outputs(2),
        "out_m": outputs(1),
    }
    chains = ("in_a w_a n out_n", "in_b w_b n w m out_m")
    network = from_nir(graph(nodes, *chains), 5.0, **JUMP)
    weights = [[0, 0, 7], [0, 0, 8], [0, 0, 0], [1, 2, 0], [3, 5, 0], [4, 6, 0]]
    assert network.neuron_model.weights.tolist() == weights
    assert network.output_indices.tolist() == [0, 1, 2]


def test_linear_nodes_between_two_layers_are_multiplied():
    nodes = {
        "in": inputs(2),
        "a": nir.Linear(array([1.0, 2.0], [0.0, 3.0], [1.0, 0.0])),
        "b": nir.Scale(array(1.0, 2.0, -1.0)),
        "c": nir.Linear(array([1.0, 1.0, 1.0])),
        "d": nir.Linear(array([10.0, 20.0])),
        "n": cuba(),
        "out": outputs(1),
    }
    network = from_nir(graph(nodes, "in a b c n out", "in d n"), 5.0, **JUMP)
    # (1 + 0 - 1) + 10 and (2 + 6 - 0) + 20
    assert network.neuron_model.weights[1:, 0].tolist() == [10, 28]


def test_delays_that_differ_from_branch_to_branch_are_those_of_synapses():
    nodes = {
        "in": inputs(1),
        "early": nir.Delay(array(1.0)),
        "late": nir.Delay(array(2.0)),
        "w": nir.Linear(array([3.0])),
        "n": cuba(),
        "m": cuba(),
        "u": nir.Linear(array([4.0])),
        "out": outputs(1),
    }
    nodes["out_m"] = outputs(1)
    chains = ("in early w n out", "in late u m out_m")
    network = from_nir(graph(nodes, *chains), 5.0, **JUMP)
    assert network.axonal_delays is None
    row = dict(zip(["m", "n"], network.delays[2].tolist(), strict=True))
    assert row == {"n": 1.0, "m": 2.0}


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"),
    [
        (1, 0, 1, 1),
        (2, 1, 1, 1),
        ((1, 2), (2, 1), (2, 1), 2),
        (1, "same", 1, 1),
        (1, "same", (1, 2), 2),
        (1, "valid", 1, 1),
    ],
)
def test_convolutions_are_unrolled(stride, padding, dilation, groups):
    rng = np.random.default_rng(0)
    shape, kernel, n = (4, 7, 6), (2, 3), 2
    weight = rng.normal(size=(n, shape[0] // groups, *kernel)).astype(np.float32)
    conv = nir.Conv2d(None, weight, stride, padding, dilation, groups, np.zeros(n))
    strides, dilations = np.broadcast_to(stride, 2), np.broadcast_to(dilation, 2)
    reach = dilations * (np.array(kernel) - 1)
    if isinstance(padding, str):
        before = reach // 2 if padding == "same" else 0 * reach
        after = reach - before if padding == "same" else 0 * reach
    else:
        before = after = np.broadcast_to(padding, 2)
    pads = [(0, 0), *zip(before, after, strict=True)]

    def expected(image):
        image = np.pad(image, pads)
        spread = np.zeros((*weight.shape[:2], *(reach + 1)))
        spread[..., :: dilations[0], :: dilations[1]] = weight
        result = []
        for k in range(n):
            members = image.reshape(groups, -1, *image.shape[1:])[k * groups // n]
            sums = [
                correlate2d(x, w, "valid")
                for x, w in zip(members, spread[k], strict=True)
            ]
            result.append(np.sum(sums, axis=0)[:: strides[0], :: strides[1]])
        return np.array(result)

    size = expected(np.zeros(shape)).size
    nodes = {"in": inputs(*shape), "conv": conv, "n": cuba(size), "out": outputs(size)}
    nodes["flat"] = nir.Flatten({"input": None}, 0, -1)
    network = from_nir(graph(nodes, "in conv flat n out"), 5.0, **JUMP)
    weights = np.asarray(network.neuron_model.weights)[size:]
    for _ in range(3):
        image = rng.normal(size=shape)
        assert np.allclose(image.ravel() @ weights, expected(image).ravel(), atol=1e-5)


@pytest.mark.parametrize("kind", [nir.SumPool2d, nir.AvgPool2d])
def test_pooling_is_unrolled(kind):
    pool = kind(np.array([2, 3]), np.array([2, 1]), np.array([0, 1]))
    shape = (2, 5, 4)
    nodes = {"in": inputs(*shape), "pool": pool, "n": cuba(16), "out": outputs(16)}
    network = from_nir(graph(nodes, "in pool n out"), 5.0, **JUMP)
    weights = np.asarray(network.neuron_model.weights)[16:]
    image = np.random.default_rng(0).normal(size=shape)
    padded = np.pad(image, [(0, 0), (0, 0), (1, 1)])
    expected = [
        padded[c, 2 * y : 2 * y + 2, x : x + 3].sum()
        for c in range(2)
        for y in range(2)
        for x in range(4)
    ]
    share = 1 if kind is nir.SumPool2d else 1 / 6
    assert np.allclose(image.ravel() @ weights, np.array(expected) * share, atol=1e-5)


def test_a_convolution_in_one_dimension():
    weight = np.array([[[1.0, 2.0]]], np.float32)
    conv = nir.Conv1d(3, weight, 1, 0, 1, 1, np.zeros(1))
    nodes = {"in": inputs(1, 3), "conv": conv, "n": cuba(2), "out": outputs(2)}
    network = from_nir(graph(nodes, "in conv n out"), 5.0, **JUMP)
    assert network.neuron_model.weights[2:].tolist() == [[1, 0], [2, 1], [0, 2]]


# Errors ----------------------------------------------------------------------------


def chain(**nodes):
    """A graph that is one chain from an input to an output."""
    return graph(nodes, " ".join(nodes))


W1 = nir.Linear(array([1.0]))
END = {"c": cuba(), "d": outputs(1)}
BAD = {
    "a kind that is none": (
        lambda: chain(a=inputs(1), b=W1, c=None, d=cuba(), e=outputs(1)),
        "Node 'c' must be of a kind that is known here, that is Input, .* got None",
    ),
    "an integrator": (
        lambda: chain(a=inputs(1), b=W1, c=nir.I(array(1.0)), e=outputs(1)),
        "Node 'c' must have an equation that a model here has too; .* of the kind I,",
    ),
    "a threshold": (
        lambda: chain(a=inputs(1), b=nir.Threshold(array(1.0)), c=cuba(), e=outputs(1)),
        "Node 'b' .* of the kind Threshold, and none is like it: it has no state",
    ),
    "a weight that does not fit": (
        lambda: chain(a=inputs(2), b=W1, **END),
        r"`weight` of node 'b' must have shape \(n, 2\), as 2 channels reach it",
    ),
    "neurons that do not fit": (
        lambda: chain(a=inputs(1), b=W1, c=cuba(2), d=outputs(2)),
        r"What reaches node 'c' must have as many channels as it has neurons, 2; got",
    ),
    "two senders that do not fit": (
        lambda: graph(
            {"a": inputs(1), "b": inputs(2), "c": cuba(), "d": outputs(1)},
            "a c d",
            "b c",
        ),
        r"What reaches node 'c' must have one shape; 'a' sends \(1,\), 'b' sends",
    ),
    "a delay that does not fit": (
        lambda: chain(
            a=inputs(1), b=nir.Delay(array(1.0, 2.0)), c=cuba(), d=outputs(1)
        ),
        r"`delay` of node 'b' must have shape \(1,\)",
    ),
    "a negative delay": (
        lambda: chain(a=inputs(1), b=nir.Delay(array(-1.0)), **END),
        "`delay` of node 'b' must not be negative",
    ),
    "a scale that does not fit": (
        lambda: chain(
            a=inputs(1), b=nir.Scale(array(1.0, 2.0)), c=cuba(), d=outputs(1)
        ),
        "`scale` of node 'b' must have shape",
    ),
    "a bias that does not fit": (
        lambda: chain(
            a=inputs(1), b=nir.Affine(array([1.0]), array(1, 2)), c=cuba(), d=outputs(1)
        ),
        r"`bias` of node 'b' must have shape \(1,\); got \(2,\)",
    ),
    "a bias that passes a synapse": (
        lambda: chain(
            a=inputs(1), b=nir.Affine(array([1.0]), array(0.5)), c=cuba(), d=outputs(1)
        ),
        "The bias of node 'b' must be 0, since it reaches 'c' through a synapse",
    ),
    "a bias that is late": (
        lambda: chain(
            a=inputs(1),
            b=nir.Affine(array([1.0]), array(0.5)),
            c=nir.Delay(array(1.0)),
            d=delta(),
            e=outputs(1),
        ),
        "What reaches node 'c' .* bias of node 'b' would start late",
    ),
    "a weight that is not finite": (
        lambda: chain(
            a=inputs(1), b=nir.Linear(array([np.nan])), c=cuba(), d=outputs(1)
        ),
        "`weight` of node 'b' must be finite",
    ),
    "weights that are no numbers": (
        lambda: chain(
            a=inputs(1), b=nir.Linear(np.array([["x"]])), c=cuba(), d=outputs(1)
        ),
        "`weight` of node 'b' must be real numbers; got dtype <U1",
    ),
    "a complex weight": (
        lambda: chain(
            a=inputs(1), b=nir.Linear(np.array([[1j]])), c=cuba(), d=outputs(1)
        ),
        "`weight` of node 'b' must be real numbers; got dtype complex",
    ),
    "a time constant of 0": (
        lambda: chain(a=inputs(1), b=W1, c=cuba(tau_mem=0.0), d=outputs(1)),
        "`tau_mem` of node 'c' must be positive",
    ),
    "a parameter that is infinite": (
        lambda: chain(a=inputs(1), b=W1, c=cuba(v_threshold=np.inf), d=outputs(1)),
        "`v_threshold` of node 'c' must be finite",
    ),
    "a reset at threshold": (
        lambda: chain(a=inputs(1), b=W1, c=cuba(v_reset=1.0), d=outputs(1)),
        "`v_reset` of node 'c' must be below `v_threshold`",
    ),
    "a jumping neuron that is reset elsewhere": (
        lambda: chain(a=inputs(1), b=W1, c=delta(v_reset=-1.0), d=outputs(1)),
        r"`v_reset` of node 'c' \(LIF\) must be 0",
    ),
    "no output": (
        lambda: chain(a=inputs(1), b=W1, c=cuba()),
        "must have a node of the kind Output",
    ),
    "no neurons": (
        lambda: chain(a=inputs(1), b=W1, c=outputs(1)),
        "must have a node of the kind CubaLIF",
    ),
    "a weighted sum as output": (
        lambda: chain(a=inputs(1), b=cuba(), c=nir.Linear(array([2.0])), d=outputs(1)),
        r"What reaches node 'd' \(Output\) must be neurons as they are",
    ),
    "an input as output": (
        lambda: graph(
            {"a": inputs(1), "b": cuba(), "c": outputs(1), "d": outputs(1)},
            "a b c",
            "a d",
        ),
        r"What reaches node 'd' \(Output\) must be neurons as they are",
    ),
    "outputs in another order": (
        lambda: chain(
            a=inputs(2), b=cuba(2), c=nir.Linear(array([0, 1], [1, 0])), d=outputs(2)
        ),
        r"Node 'd' \(Output\) must have its channels in the order of the neurons",
    ),
    "a potential that neurons hear": (
        lambda: chain(
            a=inputs(1), b=cuba(kind=nir.CubaLI), c=W1, d=cuba(), e=outputs(1)
        ),
        r"Node 'b' \(CubaLI\) must lead to an Output only, .* it reaches 'd'",
    ),
    "two ways of different delay": (
        lambda: graph(
            {"a": inputs(1), "b": nir.Delay(array(2.0)), "c": cuba(), "d": outputs(1)},
            "a b c d",
            "a c",
        ),
        "Two ways from node 'a' to node 'c' must have the same delay",
    ),
    "a cycle without neurons": (
        lambda: graph(
            {"a": inputs(1), "b": W1, "c": W1, "d": cuba(), "e": outputs(1)},
            "a b c b",
            "c d e",
        ),
        "Every cycle of the graph must lead through a node of neurons",
    ),
    "an edge to nowhere": (
        lambda: graph({"a": inputs(1), "b": cuba(), "c": outputs(1)}, "a b c", "b x"),
        "The edge b -> x must join two nodes of the graph; there is no node 'x'",
    ),
    "an edge twice": (
        lambda: graph({"a": inputs(1), "b": cuba(), "c": outputs(1)}, "a b c", "a b"),
        "The edge a -> b must be there once",
    ),
    "an edge into an input": (
        lambda: graph({"a": inputs(1), "b": cuba(), "c": outputs(1)}, "a b c", "b a"),
        r"Node 'a' \(Input\) must not be reached by an edge",
    ),
    "an edge out of an output": (
        lambda: graph({"a": inputs(1), "b": cuba(), "c": outputs(1)}, "a b c b"),
        r"Node 'c' \(Output\) must not be left by an edge",
    ),
    "a linear node that nothing reaches": (
        lambda: graph(
            {"a": inputs(1), "b": cuba(), "c": outputs(1), "d": W1}, "a b c", "d b"
        ),
        r"Node 'd' \(Linear\) must be reached by an edge",
    ),
    "a graph inside with two inputs": (
        lambda: chain(
            a=inputs(1),
            b=graph({"i": inputs(1), "j": inputs(1), "o": outputs(1)}, "i o"),
            c=outputs(1),
        ),
        "The graph inside node 'b' must have one Input, .* it has 2",
    ),
    "an input without a shape": (
        lambda: chain(a=nir.Input({"input": None}), b=cuba(), c=outputs(1)),
        r"Node 'a' \(Input\) must tell its shape",
    ),
    "parameters of different shapes": (
        lambda: chain(a=inputs(2), b=_ragged(), c=outputs(2)),
        r"The parameters of node 'b' \(CubaLIF\) must all have one shape",
    ),
    "an image with other channels": (
        lambda: chain(a=inputs(2, 5, 5), b=_conv(1), c=cuba(9), d=outputs(9)),
        r"What reaches node 'b' must have shape \(1, height, width\); got \(2, 5, 5\)",
    ),
    "a kernel that does not fit": (
        lambda: chain(a=inputs(1, 2, 2), b=_conv(1), c=cuba(9), d=outputs(9)),
        "The kernel of node 'b' must fit into what reaches it",
    ),
    "a stride of 0": (
        lambda: chain(a=inputs(1, 5, 5), b=_conv(1, stride=0), **END),
        "`stride` of node 'b' must be 2 whole numbers or one, at least 1",
    ),
    "the same size with a stride": (
        lambda: chain(
            a=inputs(1, 5, 5),
            b=_conv(1, stride=2, padding="same"),
            c=cuba(),
            d=outputs(1),
        ),
        "`padding` of node 'b' must be numbers where `stride` is not 1",
    ),
    "groups that do not fit": (
        lambda: chain(a=inputs(1, 5, 5), b=_conv(1, groups=2), **END),
        "`weight` of node 'b' must have 4 axes, the first a multiple of `groups`",
    ),
    "too much to unroll": (
        lambda: chain(a=inputs(1, 2900, 2900), b=_conv(1), **END),
        "Node 'b' must be small enough to be unrolled",
    ),
    "too many weights": (
        lambda: graph(
            {"a": inputs(1), "b": cuba(), "c": cuba(30000), "d": outputs(1)}, "a b d"
        ),
        "The graph must be smaller: 30001 neurons and 1 inputs",
    ),
}


def _ragged():
    node = cuba(2)
    node.r = array(1.0, 2.0, 3.0)
    return node


def _conv(channels, stride=1, padding=0, groups=1):
    weight = np.ones((1, channels, 3, 3), np.float32)
    node = nir.Conv2d(None, weight, 1, padding, 1, groups, np.zeros(1))
    node.stride = stride
    return node


@pytest.mark.parametrize("name", BAD)
def test_graphs_that_cannot_be_represented(name):
    make, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        from_nir(make(), 50.0, **JUMP)


def test_a_bias_has_no_meaning_where_spikes_are_jumps():
    nodes = {"a": inputs(1), "b": nir.Affine(array([1.0]), array(0.5))}
    with pytest.raises(ValueError, match="The bias of node 'b' must be 0"):
        from_nir(chain(**nodes, c=delta(), d=outputs(1)), 50.0, **JUMP)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"unit": "ms", "spike": "jump"}, "`graph_unit` must be given where `unit` is"),
        ({**JUMP, "neuron_model": ALIF}, "`neuron_model` must be LIF or PLIF"),
        ({**JUMP, "dt": 1.0}, "`dt` must be given for `spike='step'`"),
    ],
)
def test_arguments_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        from_nir(one_neuron(cuba()), 50.0, **arguments)


def test_the_time_of_the_end_must_be_given():
    with pytest.raises(ValueError, match="`max_solver_time` must be given"):
        from_nir(one_neuron(cuba()), **JUMP)


def test_what_the_graph_settles_is_not_given():
    with pytest.raises(TypeError, match="`wmask` must not be given: the graph settles"):
        from_nir(one_neuron(cuba()), 50.0, wmask=[[1], [1]], **JUMP)


def test_an_unknown_keyword():
    with pytest.raises(TypeError, match="max_event_stps"):
        from_nir(one_neuron(cuba()), 50.0, max_event_stps=1, **JUMP)


def test_a_graph_and_arguments_that_disagree():
    nodes = one_neuron(cuba()).nodes
    told = graph(nodes, "in w n out", metadata={"time_unit": "s", "spike": "jump"})
    assert from_nir(told, 5.0).neuron_model.tmem.value == 10
    with pytest.raises(ValueError, match="`graph_unit` must be 's', which the graph's"):
        from_nir(told, 5.0, graph_unit="ms")
    with pytest.raises(ValueError, match="`spike` must be 'jump', which the graph's"):
        from_nir(told, 5.0, spike="dirac")


def test_guesses_are_named_in_a_warning():
    with pytest.warns(UserWarning, match=r"`graph_unit` is not given.*`spike` is not"):
        network = from_nir(one_neuron(cuba()), 50.0)
    assert network.neuron_model.weights[1, 0] == np.float32(8 / 5)


def test_neither_graph_nor_path():
    with pytest.raises(TypeError, match=r"`graph_or_path` must be a nir\.NIRGraph or"):
        from_nir(3, 50.0, **JUMP)


# Files -----------------------------------------------------------------------------


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        from_nir(tmp_path / "none.nir", 50.0, **JUMP)


def damage(path, kind):
    content = path.read_bytes()
    if kind == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not a graph")
    else:
        import h5py

        with h5py.File(path, "a") as file:
            if kind == "another HDF5 file":
                del file["node"]
            elif kind == "a kind that nobody knows":
                del file["node/nodes/n/type"]
                file["node/nodes/n/type"] = "Strange"
            elif kind == "a parameter is missing":
                del file["node/nodes/n/tau_mem"]
            elif kind == "edges of another form":
                del file["node/edges"]
                file["node/edges"] = np.arange(4)


@pytest.mark.parametrize(
    "kind",
    [
        "cut",
        "empty",
        "text",
        "another HDF5 file",
        "a kind that nobody knows",
        "a parameter is missing",
        "edges of another form",
    ],
)
def test_damaged_and_foreign_files(kind, tmp_path):
    path = tmp_path / "graph.nir"
    nir.write(path, one_neuron(cuba()))
    assert from_nir(path, 50.0, **JUMP).n_neurons == 1
    damage(path, kind)
    with pytest.raises(
        ValueError, match=re.escape(str(path)) + " must be a graph in NIR"
    ):
        from_nir(path, 50.0, **JUMP)


def test_a_file_of_one_node(tmp_path):
    nir.write(tmp_path / "node.nir", cuba())
    with pytest.raises(ValueError, match=r"node\.nir must (hold|be) a graph"):
        from_nir(tmp_path / "node.nir", 50.0, **JUMP)


def test_times_have_the_networks_type():
    network = from_nir(one_neuron(cuba()), 50.0, **JUMP)
    assert network.ttfs(jnp.array([[1.0]])).dtype == jnp.float32
