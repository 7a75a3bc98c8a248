"""Every model, wrapper and kind of delay, as networks and for the oracle.

A new model is a row in `MODELS`, a new wrapper one in `WRAPPERS`. The table of tests
runs over the pairs of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from oracle import neurons, qif
from oracle.neurons import Population

from eventax import EvNN
from eventax.neuron_models import (
    ALIF,
    AMOS,
    EGRU,
    EIF,
    LIF,
    PLIF,
    PQIF,
    QIF,
    Izhikevich,
    MultiNeuronModel,
    NeuronModel,
    Refractory,
    pIzhikevich,
)

N, M, PER_INPUT, T_MAX = 10, 3, 4, 60.0
MASK = np.concatenate([1 - np.eye(N), np.ones((M, N))])
RNG = np.random.default_rng(5)
# Constants that differ from neuron to neuron.
TMEM, TSYN = RNG.uniform(8.0, 14.0, N), RNG.uniform(4.0, 7.0, N)
HALF = np.arange(N) % 2

Leaves = dict[str, np.ndarray]
Draw = np.random.Generator


@dataclass(frozen=True)
class Model:
    """A model and its parameters.

    Attributes:
        cls: the class.
        draw: trainable leaves by name; those of the k-th sub-model start with `k/`.
        oracle: leaves -> the same population for the oracle.
        constants: keywords of the constructor.
        exact: whether nothing but rounding limits its spike times.
        shown: the oracle's observed states -> what `observe` shows.
    """

    cls: type[NeuronModel]
    draw: Callable[[Draw], Leaves]
    oracle: Callable[[Leaves], Population]
    constants: dict[str, Any] = field(default_factory=dict)
    exact: bool = False
    shown: Callable[[np.ndarray], np.ndarray] = lambda states: states


@dataclass(frozen=True)
class Wrapper:
    """A wrapper, its keywords, and the oracle's."""

    wrap: Callable[[type[NeuronModel]], type[NeuronModel]]
    oracle: Callable[[Population], Population]
    keywords: dict[str, Any] = field(default_factory=dict)


def weights(rng: Draw, size: float, mean: float = 0.0, columns: Any = slice(None)):
    return (MASK * (mean + size * rng.normal(size=(N + M, N))))[:, columns]


def current(size: float, low: float, high: float, mean: float = 0.0):
    """Weights and bias currents."""

    def draw(rng: Draw) -> Leaves:
        return {"weights": weights(rng, size, mean), "ic": rng.uniform(low, high, N)}

    return draw


def with_constants(draw: Callable[[Draw], Leaves], **constants: Any):
    """Trainable constants too, by leaf."""
    return lambda rng: draw(rng) | {k: np.asarray(v) for k, v in constants.items()}


def gates(rng: Draw) -> Leaves:
    drawn = {f"W_{gate}": weights(rng, 0.7) for gate in "urz"}
    means = {"u": 1.0, "r": 1.0, "z": 1.5}
    return drawn | {f"b_{g}": m + 0.2 * rng.normal(size=N) for g, m in means.items()}


def voltage(states: np.ndarray) -> np.ndarray:
    """(V, i) of QIF states (phase, i)."""
    return np.stack([qif.voltage(states[..., 0]), states[..., 1]], axis=-1)


LIF_CONSTANTS = {"thresh": 1.0, "tsyn": TSYN, "tmem": TMEM}
QIF_CONSTANTS = {"tsyn": TSYN, "tmem": TMEM}
ALIF_CONSTANTS = {"tmem": TMEM, "ta": 30.0, "b0": 1.0, "beta": 5.0, "rm": 1.2}
P = {"init_tmem": 10.0, "init_tsyn": 5.0, "shared_time_constants": True}
PN = P | {"init_tmem": TMEM, "init_tsyn": TSYN, "shared_time_constants": False}
LOG_P = {"log_tmem": [np.log(10.0)], "log_tsyn": [np.log(5.0)]}
LOG_PN = {"log_tmem": np.log(TMEM), "log_tsyn": np.log(TSYN)}
IZHI = {"log_a": [-3.9], "log_b": [-1.6], "c": [-52.0], "log_d": [0.8]}


def tau(leaves: Leaves) -> dict[str, np.ndarray]:
    return {name: np.exp(leaves["log_" + name]) for name in ("tmem", "tsyn")}


def multi(leaves: Leaves) -> Population:
    part = {k: {n[2:]: v for n, v in leaves.items() if n[0] == k} for k in "01"}
    tmem, tsyn = ([x[k == HALF] for k in (0, 1)] for x in (TMEM, TSYN))
    lif = neurons.lif(**part["0"], tmem=tmem[0], tsyn=tsyn[0], thresh=1.0)
    other = neurons.qif(**part["1"], tmem=tmem[1], tsyn=tsyn[1])
    return neurons.multi([neurons.refractory(lif, 1.5), other], HALF)


def draw_multi(rng: Draw) -> Leaves:
    return {
        "0/weights": weights(rng, 0.7, 0.0, HALF == 0),
        "0/ic": rng.uniform(1.3, 2.2, N // 2),
        "1/weights": weights(rng, 3.0, 1.0, HALF == 1),
        "1/ic": rng.uniform(1.0, 4.0, N // 2),
    }


def part(k: int, **more: Any) -> dict[str, Any]:
    constants = {"tsyn": TSYN[k == HALF], "tmem": TMEM[k == HALF]}
    return {**constants, "init_weights": 0.0, "init_bias": 0.0, **more}


MODELS = {
    "LIF": Model(
        LIF,
        current(0.7, 1.2, 2.0),
        lambda leaves: neurons.lif(**leaves, tmem=TMEM, tsyn=TSYN, thresh=1.0),
        LIF_CONSTANTS,
        exact=True,
    ),
    "QIF": Model(
        QIF,
        current(3.0, 1.0, 4.0, 1.0),
        lambda leaves: neurons.qif(**leaves, tmem=TMEM, tsyn=TSYN),
        QIF_CONSTANTS,
        shown=voltage,
    ),
    "PLIF": Model(
        PLIF,
        with_constants(current(0.7, 1.2, 2.0), **LOG_PN),
        lambda leaves: neurons.lif(leaves["weights"], leaves["ic"], **tau(leaves)),
        {"thresh": 1.0} | PN,
        exact=True,
    ),
    "PQIF": Model(
        PQIF,
        with_constants(current(3.0, 1.0, 4.0, 1.0), **LOG_P),
        lambda leaves: neurons.qif(leaves["weights"], leaves["ic"], **tau(leaves)),
        P,
        shown=voltage,
    ),
    "ALIF": Model(
        ALIF,
        current(0.02, 1.3, 2.2, 0.02),
        lambda leaves: neurons.alif(**leaves, **ALIF_CONSTANTS),
        ALIF_CONSTANTS,
        exact=True,
    ),
    "EIF": Model(
        EIF,
        current(0.8, 1.3, 2.5),
        lambda leaves: neurons.eif(**leaves, tmem=TMEM, tsyn=TSYN),
        {"tmem": TMEM, "tsyn": TSYN},
    ),
    "EGRU": Model(
        EGRU,
        gates,
        lambda leaves: neurons.egru(**leaves, tmem=8.0, tsyn=TSYN, thresh=0.4),
        {"tmem": 8.0, "tsyn": TSYN, "thresh": 0.4},
    ),
    "Izhikevich": Model(
        Izhikevich,
        current(1.5, 6.0, 14.0),
        lambda leaves: neurons.izhikevich(**leaves, tau_syn=TSYN),
        {"tau_syn": TSYN},
    ),
    "pIzhikevich": Model(
        pIzhikevich,
        with_constants(current(0.5, 6.0, 14.0), **IZHI),
        lambda leaves: neurons.izhikevich(
            leaves["weights"],
            leaves["ic"],
            **{k: np.exp(leaves["log_" + k]) for k in "abd"},
            c=leaves["c"],
        ),
    ),
    "Multi": Model(
        MultiNeuronModel,
        draw_multi,
        multi,
        {
            "neuron_models": [Refractory(LIF), QIF],
            "neuron_model_kwargs": [part(0, thresh=1.0, t_refrac=1.5), part(1)],
            "neuron_type_ids": HALF,
        },
    ),
}

PERIODS = np.linspace(0.0, 3.0, N)
WRAPPERS = {
    "": Wrapper(lambda cls: cls, lambda p: p),
    "Refractory": Wrapper(
        Refractory, lambda p: neurons.refractory(p, PERIODS), {"t_refrac": PERIODS}
    ),
    "Refractory, open": Wrapper(
        Refractory,
        lambda p: neurons.refractory(p, 2.0, block=False),
        {"t_refrac": 2.0, "block_input_during_refrac": False},
    ),
    # Not frozen, some models diverge after their spike.
    "AMOS, frozen": Wrapper(
        lambda cls: AMOS(cls, freeze_dynamics=True),
        lambda p: neurons.amos(p, freeze=True),
    ),
    "AMOS, deaf": Wrapper(
        lambda cls: AMOS(cls, True, True), lambda p: neurons.amos(p, True, True)
    ),
    "AMOS of Refractory": Wrapper(
        lambda cls: AMOS(Refractory(cls), freeze_dynamics=True),
        lambda p: neurons.amos(neurons.refractory(p, 2.0), freeze=True),
        {"t_refrac": 2.0},
    ),
    "Refractory of AMOS": Wrapper(
        lambda cls: Refractory(AMOS(cls, stop_incoming=True, freeze_dynamics=True)),
        lambda p: neurons.refractory(neurons.amos(p, True, True), 2.0),
        {"t_refrac": 2.0},
    ),
}
DELAYS = {
    "": (),
    "synaptic": ("delays",),
    "axonal": ("axonal_delays",),
    "both": ("delays", "axonal_delays"),
}


# Other draws where with the usual one a spike arrives within rounding of the end of a
# pause, too few spikes come, or the oracle's own ones move by more than what is allowed
# when parameters move by as much as float32 rounds them (a nearly tangential crossing).
SEEDS = {
    "LIF-Refractory-synaptic": 12,
    "Multi-Refractory-both": 12,
    "Izhikevich-Refractory": 12,
    "Izhikevich-Refractory-synaptic": 12,
    "PLIF-Refractory-synaptic": 12,
    "QIF-Refractory-synaptic": 12,
}


@dataclass(frozen=True)
class Case:
    """One entry of the table."""

    model: str
    wrapper: str = ""
    delays: str = ""
    engine: str = ""  # default the network's choice

    def __str__(self) -> str:
        return "-".join(x for x in (self.drawn, self.engine) if x)

    @property
    def drawn(self) -> str:
        """What its numbers depend on."""
        return "-".join(x for x in (self.model, self.wrapper, self.delays) if x)

    @property
    def exact(self) -> bool:
        """Whether spike times are exact but for rounding."""
        return MODELS[self.model].exact

    @property
    def once(self) -> bool:
        """Whether neurons fire at most once."""
        return "AMOS" in self.wrapper

    def network(self, dtype: Any = jnp.float64, **settings: Any) -> EvNN:
        """The network; its leaves are to be replaced."""
        model, wrapper = MODELS[self.model], WRAPPERS[self.wrapper]
        return EvNN(
            wrapper.wrap(model.cls),
            **self.keywords()
            | {"key": jax.random.PRNGKey(0), "dtype": dtype}
            | ({"engine": self.engine} if self.engine else {})
            | settings,
        )

    def keywords(self) -> dict[str, Any]:
        """Of the network's constructor, without model, key and dtype."""
        model, wrapper = MODELS[self.model], WRAPPERS[self.wrapper]
        delays = {f"init_{name}": 1.0 for name in DELAYS[self.delays]}
        network = {
            "n_neurons": N,
            "in_size": M,
            "max_solver_time": T_MAX,
            "wmask": MASK,
            "max_event_steps": 1500 if self.delays in ("synaptic", "both") else 250,
        }
        given = (
            {}
            if self.model in ("EGRU", "Multi")
            else {
                "init_weights": 0.0,
                "init_bias": 0.0,
            }
        )
        return network | delays | given | model.constants | wrapper.keywords

    def leaves(self) -> Leaves:
        """Trainable leaves, and the input times."""
        rng = np.random.default_rng(SEEDS.get(self.drawn, 7))
        drawn = MODELS[self.model].draw(rng)
        if "delays" in DELAYS[self.delays]:
            drawn["delays"] = rng.uniform(0.5, 6.0, (N + M, N))
        if "axonal_delays" in DELAYS[self.delays]:
            drawn["axonal_delays"] = rng.uniform(0.5, 4.0, N + M)
        times = rng.uniform(1.0, 0.7 * T_MAX, (M, PER_INPUT))
        # Early enough for the first spikes to depend on them.
        times[:, 0] = rng.uniform(0.5, 2.0, M)
        times[0, -1] = np.inf
        return drawn | {"in_spike_times": times}

    def with_leaves(self, net: EvNN, leaves: Any) -> EvNN:
        """`net` with other leaves."""
        names = [name for name in leaves if name != "in_spike_times"]
        values = [jnp.asarray(leaves[name], net.dtype) for name in names]
        return eqx.tree_at(lambda net: [leaf(net, n) for n in names], net, values)

    def truth(self, leaves: Leaves, **options: Any) -> Any:
        """The oracle's run."""
        other = ("delays", "axonal_delays", "in_spike_times")
        own = {k: v for k, v in leaves.items() if k not in other}
        population = MODELS[self.model].oracle(own)
        return neurons.simulate(
            WRAPPERS[self.wrapper].oracle(population),
            leaves["in_spike_times"],
            t_max=T_MAX,
            delays=leaves.get("delays"),
            axonal_delays=leaves.get("axonal_delays"),
            **options,
        )


def leaf(net: EvNN, name: str) -> Any:
    """A leaf of a network, of its model inside all wrappers, or of a sub-model."""
    if name in ("delays", "axonal_delays"):
        return getattr(net, name)
    number, _, own = name.rpartition("/")
    model = inside(net.neuron_model)
    if number:
        model = inside(model.submodels[int(number)])
    return getattr(model, own)


def inside(model: Any) -> Any:
    """The model in all wrappers."""
    while hasattr(model, "neuron"):
        model = model.neuron
    return model
