"""Networks written as graphs in NIR, and read again."""

import json
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import nir
import numpy as np
import pytest

from eventax import EvNN, FFEvNN
from eventax import _native as native
from eventax.io import from_nir, to_nir
from eventax.neuron_models import (
    ALIF,
    LI,
    LIF,
    PLIF,
    QIF,
    MultiNeuronModel,
    Refractory,
)

N, M, T_MAX = 6, 4, 40.0
LIF_KEYS = {"thresh": 1.0, "tsyn": 5.0, "tmem": 10.0, "wlim": 3.0, "init_bias": 0.2}
LI_KEYS = {key: value for key, value in LIF_KEYS.items() if key != "thresh"}
PLIF_KEYS = {
    "thresh": 1.0,
    "tmem_low": 7.0,
    "tmem_high": 12.0,
    "tsyn_low": 3.0,
    "tsyn_high": 6.0,
    "wlim": 3.0,
    "positive_weights": False,
    "blim": 0.5,
}
TOLD = {"unit": "ms", "spike": "dirac"}


def key(seed):
    return jax.random.PRNGKey(seed)


def sparse(seed, share):
    rng = np.random.default_rng(seed)
    return (rng.random((N + M, N)) < share).astype(float)


def feed_forward(model=LIF, **keywords):
    settings = {"max_event_steps": 700, "key": key(0), **keywords}
    return FFEvNN([4, 2], M, model, T_MAX, **settings)


def recurrent(model=LIF, **keywords):
    settings = {"max_event_steps": 700, "key": key(1), **keywords}
    return EvNN(model, N, T_MAX, M, **settings)


NETWORKS = {
    "layers": lambda: feed_forward(wmean=2.0, **LIF_KEYS),
    "recurrence": lambda: recurrent(**LIF_KEYS),
    "some outputs": lambda: recurrent(
        output_neurons=np.arange(N) % 2 == 1, wmask=sparse(0, 0.5), **LIF_KEYS
    ),
    "constants of each neuron": lambda: recurrent(
        **LIF_KEYS | {"tmem": np.linspace(5, 20, N), "vreset": -np.arange(N) / 10}
    ),
    "written reset": lambda: recurrent(reset_grad_preserve=False, **LIF_KEYS),
    "PLIF, shared": lambda: recurrent(PLIF, **PLIF_KEYS),
    "PLIF, of each neuron": lambda: feed_forward(
        PLIF, shared_time_constants=False, **PLIF_KEYS
    ),
    "readouts": lambda: feed_forward(
        MultiNeuronModel,
        neuron_models=[LIF, LI],
        neuron_model_kwargs=[{**LIF_KEYS, "wmean": 2.0}, LI_KEYS],
    ),
    "several models that are one": lambda: recurrent(
        MultiNeuronModel,
        neuron_type_ids=[0] * N,
        neuron_models=[LIF],
        neuron_model_kwargs=[LIF_KEYS],
    ),
    "mixed models": lambda: recurrent(
        MultiNeuronModel,
        neuron_type_ids=[1, 0, 1, 0, 2, 1],
        neuron_models=[PLIF, LIF, LI],
        neuron_model_kwargs=[PLIF_KEYS, LIF_KEYS, LI_KEYS],
        wmask=np.where(np.arange(N + M) == 4, 0, 1)[:, None] * sparse(1, 0.6),
    ),
    "axonal delays": lambda: recurrent(
        axonal_dlim=3.0, wmask=1 - np.eye(N + M, N), **LIF_KEYS
    ),
    "synaptic delays": lambda: recurrent(dlim=3.0, **LIF_KEYS),
    "both delays": lambda: recurrent(dlim=3.0, axonal_dlim=2.0, wmean=0.25, **LIF_KEYS),
    "delays in layers": lambda: feed_forward(
        dlim=3.0, axonal_dlim=2.0, wmean=2.0, **LIF_KEYS
    ),
    "jumps of the potential": lambda: feed_forward(
        ALIF,
        tmem=10.0,
        ta=1.0,
        b0=1.0,
        beta=0.0,
        wlim=0.6,
        init_bias=0.2,
        reset_grad_preserve=False,
    ),
    "a neuron that nothing reaches, and one that reaches nothing": lambda: recurrent(
        wmask=sparse(2, 0.3) * (np.arange(N) != 1) * (np.arange(N + M)[:, None] != 3),
        output_neurons=np.arange(N) != 3,
        **LIF_KEYS,
    ),
    "no connection from the input": lambda: recurrent(
        wmask=np.arange(N + M)[:, None] < N * np.ones(N), **LIF_KEYS
    ),
}
CONVENTIONS = {
    "dirac": {"unit": "ms", "spike": "dirac"},
    "jump": {"unit": "ms", "spike": "jump"},
    "step": {"unit": "ms", "spike": "step", "dt": 0.13},
}

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*synapses from .* have delays of their own"
)


def in_force(network):
    """Arrays of a network, with delays only where there are connections."""
    mask = np.asarray(network.get_wmask()) > 0
    for name, where in (("delays", mask), ("axonal_delays", mask.any(axis=1))):
        value = getattr(network, name)
        if value is not None:
            zeroed = jnp.where(where, value, 0)
            network = eqx.tree_at(lambda n, a=name: getattr(n, a), network, zeroed)
    return jax.tree.leaves(network)


def assert_same(network, other):
    """One program with the same numbers: then all results are the same, bit for bit."""
    assert jax.tree.structure(network) == jax.tree.structure(other)
    for mine, theirs in zip(in_force(network), in_force(other), strict=True):
        assert mine.dtype == theirs.dtype
        assert np.array_equal(mine, theirs)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_comes_back_as_it_was(name, convention, tmp_path):
    network = NETWORKS[name]()
    graph = to_nir(network, **CONVENTIONS[convention])
    assert_same(network, from_nir(graph))
    path = tmp_path / "graph.nir"
    nir.write(path, graph)
    assert_same(network, from_nir(path))
    # With its types checked, and whatever nodes nir adds then.
    checked = nir.read(path)
    assert checked.nodes.keys() == graph.nodes.keys()
    assert_same(network, from_nir(checked))


def test_spikes_are_the_same_bit_for_bit():
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.uniform(0, 20, (M, 5)), jnp.float32)
    for name in ("layers", "both delays"):
        network = NETWORKS[name]()
        read = from_nir(to_nir(network, **TOLD))
        expected, found = network.record(inputs), read.record(inputs)
        assert np.sum(np.asarray(expected[1]) >= 0) > 10
        for mine, theirs in zip(expected, found, strict=True):
            assert np.array_equal(mine, theirs)


def test_double_precision_and_settings_come_back(x64):
    settings = {
        "t0": -1.5,
        "max_event_steps": 321,
        "buffer_capacity": 17,
        "output_no_spike_value": 99.0,
        "engine": "jax",
        "dtype": jnp.float64,
        "dlim": 1.0,
    }
    network = recurrent(**LIF_KEYS, **settings)
    for convention in CONVENTIONS.values():
        assert_same(network, from_nir(to_nir(network, **convention)))


def test_a_network_of_the_native_core_comes_back_where_there_is_none(monkeypatch):
    graph = to_nir(NETWORKS["layers"](), **TOLD)
    note = json.loads(graph.metadata["eventax"])
    assert note["engine"] == "auto"
    graph.metadata["eventax"] = json.dumps(note | {"engine": "native"})
    monkeypatch.setattr(native, "load", lambda: None)
    assert from_nir(graph).engine == "auto"


def test_keywords_replace_noted_settings():
    graph = to_nir(NETWORKS["layers"](), **TOLD)
    read = from_nir(graph, 12.0, max_event_steps=3, output_no_spike_value=-1.0)
    assert read.max_solver_time == 12.0
    assert read.max_event_steps == 3
    assert read.output_no_spike_value == -1.0


def test_weights_of_zero_stay_connections_where_there_are_some():
    network = NETWORKS["some outputs"]()
    zeros = eqx.tree_at(
        lambda n: n.neuron_model.weights, network, replace_fn=jnp.zeros_like
    )
    read = from_nir(to_nir(zeros, **TOLD))
    assert np.array_equal(read.get_wmask(), network.get_wmask())


# What a graph looks like -----------------------------------------------------------


def test_nodes_of_layers():
    network = NETWORKS["readouts"]()
    graph = to_nir(network, unit="ms", spike="jump")
    kinds = {name: type(node).__name__ for name, node in graph.nodes.items()}
    assert kinds == {
        "input": "Input",
        "lif_0": "CubaLIF",
        "li_1": "CubaLI",
        "input_to_lif_0": "Linear",
        "lif_0_to_li_1": "Linear",
        "output": "Output",
    }
    hidden, readout = network.neuron_model.submodels
    first, second = graph.nodes["input_to_lif_0"], graph.nodes["lif_0_to_li_1"]
    assert np.array_equal(first.weight, hidden.weights[N:].T)
    assert np.array_equal(second.weight, readout.weights[:4].T)
    node = graph.nodes["lif_0"]
    for name, value in {
        "tau_syn": 5.0,
        "tau_mem": 10.0,
        "r": 1.0,
        "v_leak": 0.2,
        "v_threshold": 1.0,
        "v_reset": 0.0,
        "w_in": 1.0,
    }.items():
        array = getattr(node, name)
        assert array.shape == (4,)
        assert np.array_equal(array, np.full(4, value, np.float32))


@pytest.mark.parametrize("name", NETWORKS)
def test_all_types_are_set_and_fit(name):
    graph = to_nir(NETWORKS[name](), **TOLD)
    assert graph.check_types()
    for node in graph.nodes.values():
        for types in (node.input_type, node.output_type):
            (shape,) = types.values()
            assert isinstance(shape, np.ndarray)
            assert shape.shape == (1,)
            assert shape[0] >= 1


def test_recurrence_is_a_cycle():
    graph = to_nir(NETWORKS["recurrence"](), **TOLD)
    assert ("lif_0", "lif_0_to_lif_0") in graph.edges
    assert ("lif_0_to_lif_0", "lif_0") in graph.edges


def test_layers_of_any_network_are_found():
    """Hidden neurons with a cycle, two readouts, and a way past the hidden ones."""
    mask = np.zeros((5 + 2, 5))
    mask[:3, :3] = [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    mask[:3, 3:] = 1
    mask[5:, :] = 1
    network = EvNN(LIF, 5, T_MAX, 2, key(0), wmask=mask, **LIF_KEYS)
    graph = to_nir(network, **TOLD)
    sizes = {k: v.r.size for k, v in graph.nodes.items() if k.startswith("lif_")
             and isinstance(v, nir.CubaLIF)}  # fmt: skip
    assert sizes == {"lif_0": 3, "lif_1": 2}


def test_axonal_delays_are_one_node_for_each_sender():
    network = NETWORKS["axonal delays"]()
    graph = to_nir(network, unit="ms", graph_unit="s", spike="jump")
    delays = np.asarray(network.axonal_delays)
    assert np.allclose(graph.nodes["lif_0_delay"].delay, 1e-3 * delays[:N], rtol=1e-6)
    assert np.allclose(graph.nodes["input_delay"].delay, 1e-3 * delays[N:], rtol=1e-6)


def test_synaptic_delays_are_one_channel_for_each_synapse():
    network = NETWORKS["synaptic delays"]()
    with pytest.warns(UserWarning, match=r"24 synapses from input to lif_0 .* 240 num"):
        graph = to_nir(network, **TOLD)
    expand = graph.nodes["input_to_lif_0_synapses"].weight
    collect = graph.nodes["input_to_lif_0"].weight
    delays = graph.nodes["input_to_lif_0_delay"].delay
    assert np.array_equal(np.sort(expand, axis=1)[:, -2:], np.tile([0, 1], (24, 1)))
    for channel in range(24):
        (sender,), (receiver,) = (
            np.nonzero(expand[channel]),
            np.nonzero(collect.T[channel]),
        )
        assert delays[channel] == network.delays[N + sender[0], receiver[0]]
        weight = network.neuron_model.weights[N + sender[0], receiver[0]]
        assert collect[receiver[0], channel] == weight


def test_negative_delays_are_written_as_they_act():
    network = recurrent(init_axonal_delays=-1.0, **LIF_KEYS)
    graph = to_nir(network, **TOLD)
    assert np.all(graph.nodes["lif_0_delay"].delay == 0)


@pytest.mark.parametrize(
    ("arguments", "w_in", "tau_mem"),
    [
        ({"unit": "ms", "spike": "dirac"}, 5.0, 10.0),
        ({"unit": "ms", "spike": "jump"}, 1.0, 10.0),
        ({"unit": "ms", "spike": "step", "dt": 0.5}, 10.0, 10.0),
        ({"unit": "ms", "graph_unit": "s", "spike": "dirac"}, 5e-3, 1e-2),
        ({"unit": "ms", "graph_unit": "s", "spike": "step", "dt": 1e-4}, 50.0, 1e-2),
        ({"unit": 1e-6, "graph_unit": "ms", "spike": "dirac"}, 5e-3, 1e-2),
    ],
)
def test_conventions(arguments, w_in, tau_mem):
    """What one spike adds, by each reading: w_in / tau_syn, w_in, w_in dt / tau_syn."""
    node = to_nir(NETWORKS["layers"](), **arguments).nodes["lif_0"]
    assert np.allclose(node.w_in, w_in, rtol=1e-6)
    assert np.allclose(node.tau_mem, tau_mem, rtol=1e-6)


def test_metadata_tell_the_convention():
    network = NETWORKS["layers"]()
    told = to_nir(network, unit="ms", graph_unit="s", spike="step", dt=1e-4).metadata
    assert told["time_unit"] == "s"
    assert told["spike"] == "step"
    assert told["dt"] == 1e-4
    assert json.loads(told["eventax"])["max_solver_time"] == T_MAX / 1000


@pytest.mark.parametrize("graph_unit", ["s", "us", 0.013])
def test_another_unit_and_back(graph_unit):
    network = NETWORKS["both delays"]()
    graph = to_nir(network, unit="ms", graph_unit=graph_unit, spike="dirac")
    read = from_nir(graph, unit="ms")
    for mine, theirs in zip(in_force(network), in_force(read), strict=True):
        assert np.allclose(mine, theirs, rtol=1e-6)
    assert read.max_solver_time == pytest.approx(T_MAX, rel=1e-12)
    assert np.allclose(read.neuron_model.tmem.value, 10.0, rtol=1e-6)


def test_guesses_are_named_in_a_warning():
    network = NETWORKS["layers"]()
    with pytest.warns(UserWarning, match=r"`graph_unit` is not given.*`spike` is not"):
        graph = to_nir(network)
    assert "time_unit" not in graph.metadata
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(network, from_nir(graph))
        to_nir(network, **TOLD)


def test_a_changed_graph_is_read_as_it_is():
    """Notes beside the equations do not outlive a change of the equations."""
    network = NETWORKS["PLIF, of each neuron"]()
    graph = to_nir(network, **TOLD)
    node = graph.nodes["plif_0"]
    node.tau_mem = 2 * node.tau_mem
    node.v_threshold = node.v_threshold + np.arange(4, dtype=np.float32)
    read = from_nir(graph).neuron_model
    before = np.exp(np.asarray(network.neuron_model.log_tmem))
    factor = np.array([2, 2, 2, 2, 1, 1])
    assert np.allclose(np.exp(read.log_tmem), before * factor, rtol=1e-6)
    assert np.array_equal(read.thresh.value, [1, 2, 3, 4, 1, 1])


def test_a_spoilt_note_is_not_needed():
    network = NETWORKS["layers"]()
    graph = to_nir(network, **TOLD)
    for node in graph.nodes.values():
        node.metadata = {"eventax": "{"}
    read = from_nir(graph)
    leaves = zip(in_force(network), in_force(read), strict=True)
    assert all(np.array_equal(mine, theirs) for mine, theirs in leaves)
    assert type(read) is FFEvNN


# Errors ----------------------------------------------------------------------------


def test_only_networks():
    with pytest.raises(TypeError, match="`network` must be an EvNN or FFEvNN; got 1"):
        to_nir(1)


@pytest.mark.parametrize(
    ("model", "keywords"),
    [
        (QIF, {"tsyn": 5.0, "tmem": 10.0, "wlim": 1.0, "init_bias": 0.0}),
        (Refractory(LIF), {"t_refrac": 1.0, **LIF_KEYS}),
        (type("Mine", (LIF,), {}), LIF_KEYS),
    ],
)
def test_models_that_nir_has_no_node_for(model, keywords):
    with pytest.raises(
        ValueError, match=r"`network` must be of LIF, .* it has (QIF|Ref|M)"
    ):
        to_nir(recurrent(model, **keywords), **TOLD)


@pytest.mark.parametrize(
    "keywords",
    [{"beta": 1.0, "reset_grad_preserve": False}, {"beta": 0.0}],
)
def test_alif_that_adapts_or_keeps_what_is_above_threshold(keywords):
    network = feed_forward(
        ALIF, tmem=10.0, ta=5.0, b0=1.0, wlim=1.0, init_bias=0.0, **keywords
    )
    with pytest.raises(ValueError, match="ALIF neurons that NIR has no node for"):
        to_nir(network, **TOLD)


@pytest.mark.parametrize(
    "keywords", [{"in_size": 0}, {"in_size": 1, "output_neurons": np.zeros(2, bool)}]
)
def test_no_input_or_no_output(keywords):
    network = EvNN(LIF, 2, T_MAX, key=key(0), **keywords, **LIF_KEYS)
    with pytest.raises(ValueError, match="must have an input and an output"):
        to_nir(network, **TOLD)


@pytest.mark.parametrize("place", ["weights", "ic"])
def test_what_is_not_finite(place):
    network = eqx.tree_at(
        lambda n: getattr(n.neuron_model, place),
        NETWORKS["layers"](),
        replace_fn=lambda x: x.at[..., 0].set(jnp.nan),
    )
    with pytest.raises(ValueError, match=f"finite ({place}|v_leak of lif_0)"):
        to_nir(network, **TOLD)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"unit": "minutes", "spike": "jump"}, "`unit` must be a unit of time"),
        ({"unit": "ms", "graph_unit": -1.0}, "`graph_unit` must be a unit of time"),
        ({"unit": "ms", "spike": "dt"}, "`spike` must be 'dirac'"),
        ({"unit": "ms", "spike": "step"}, "`dt` must be given for `spike='step'`"),
        ({"unit": "ms", "spike": "jump", "dt": 1.0}, "and only there"),
        ({"unit": "ms", "spike": "step", "dt": 0.0}, "`dt` must be positive"),
    ],
)
def test_conventions_that_are_none(arguments, message):
    with pytest.raises(ValueError, match=message):
        to_nir(NETWORKS["layers"](), **arguments)


def test_connections_from_readouts_are_left_out_with_a_warning():
    network = EvNN(LI, 2, T_MAX, 1, key(0), **LI_KEYS)
    with pytest.warns(UserWarning, match="4 connections from LI neurons are left out"):
        graph = to_nir(network, **TOLD)
    assert not any(sender == "li_0" and "to_li" in to for sender, to in graph.edges)


def test_without_nir(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nir", None)
    with pytest.raises(ImportError, match=r"pip install 'eventax\[nir\]'"):
        to_nir(NETWORKS["layers"](), **TOLD)
