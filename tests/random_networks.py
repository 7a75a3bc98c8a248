"""Random networks of every kind, and their comparison with the oracle.

A `Draw` is all choices that make a network; its numbers follow from `seed`, so that
hypothesis has few things to shrink. Sizes are few, since each of them is compiled anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from oracle import neurons as oracle
from populations import voltage

from eventax import EvNN
from eventax.neuron_models import (
    ALIF,
    AMOS,
    LIF,
    PLIF,
    PQIF,
    QIF,
    MultiNeuronModel,
    Refractory,
)

SPAN = 40.0
MODELS = ("LIF", "PLIF", "ALIF", "QIF", "PQIF", "LIF, QIF", "LIF, ALIF")
WRAPPERS = (
    "",
    "",
    "Refractory",
    "Refractory, open",
    "AMOS",
    "AMOS, frozen",
    "AMOS, deaf",
    "AMOS of Refractory",
)
CONNECTIONS = ("all", "sparse", "chain", "layers", "none")


@dataclass(frozen=True)
class Draw:
    """The choices that make a network and its input."""

    model: str
    wrapper: str
    n: int
    m: int
    per_input: int
    connections: str
    delays: bool
    axonal: bool
    t0: float
    grid: bool  # inputs, delays and periods are multiples of 1/2: many ties
    spread: bool  # constants differ from neuron to neuron
    seed: int

    @property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    @property
    def exact(self) -> bool:
        return "QIF" not in self.model


def draws() -> st.SearchStrategy[Draw]:
    """All kinds of networks."""
    return st.builds(
        Draw,
        model=st.sampled_from(MODELS),
        wrapper=st.sampled_from(WRAPPERS),
        n=st.sampled_from([1, 2, 5]),
        m=st.sampled_from([0, 1, 3]),
        per_input=st.sampled_from([0, 1, 4]),
        connections=st.sampled_from(CONNECTIONS),
        delays=st.booleans(),
        axonal=st.booleans(),
        t0=st.sampled_from([0.0, 0.0, -25.0, 12.5]),
        grid=st.booleans(),
        spread=st.booleans(),
        seed=st.integers(0, 2**20),
    )


@dataclass(frozen=True)
class Case:
    """A network's numbers, and the oracle's population."""

    draw: Draw
    mask: np.ndarray
    leaves: dict[str, Any]
    constants: dict[str, Any]
    keywords: dict[str, Any]
    inputs: np.ndarray
    observe: np.ndarray

    @classmethod
    def of(cls, draw: Draw) -> Case:
        rng, n, m = draw.rng, draw.n, draw.m
        senders = n + m
        mask = _mask(draw, rng)
        strength = {"ALIF": 0.4, "QIF": 4.0, "PQIF": 4.0, "LIF, ALIF": 0.6}
        size = strength.get(draw.model, 1.5)
        weights = size * (rng.normal(size=(senders, n)) + 0.3)
        weights[n:] += size
        ic = rng.uniform(0.3, 1.6, n) * (2 if "QIF" in draw.model else 1)
        shape = (n,) if draw.spread else ()
        tmem, tsyn = rng.uniform(4, 25, shape), rng.uniform(2, 15, shape)
        if rng.random() < 0.2:
            tsyn = tmem
        step = 0.5 if draw.grid else None
        inputs = _times(rng, (m, draw.per_input), 0.0, 0.9 * SPAN, step) + draw.t0
        inputs[rng.random(inputs.shape) < 0.15] = np.inf
        leaves = {"weights": weights, "ic": ic}
        if draw.delays:
            leaves["delays"] = _times(rng, (senders, n), -1.0, 8.0, step)
        if draw.axonal:
            leaves["axonal_delays"] = _times(rng, (senders,), -1.0, 5.0, step)
        keywords = {}
        if "Refractory" in draw.wrapper:
            keywords["t_refrac"] = _times(rng, shape, 0.0, 4.0, step)
        observe = np.sort(_times(rng, (6,), 0.0, SPAN, step)) + draw.t0
        constants = {"tmem": tmem, "tsyn": tsyn}
        return cls(draw, mask, leaves, constants, keywords, inputs, observe)

    def again(self, number: int) -> Case:
        """Other numbers for the same program: mask, constants and sizes stay."""
        other = Case.of(replace(self.draw, seed=self.draw.seed + number * 2**20))
        same = {"constants": self.constants, "keywords": self.keywords}
        return replace(other, draw=self.draw, mask=self.mask, **same)

    @property
    def t_end(self) -> float:
        return self.draw.t0 + SPAN

    # The same thing twice: for the package, and for the oracle.

    def network(self, engine: str, dtype: Any = jnp.float64, **more: Any) -> EvNN:
        d = self.draw
        cls, own = self._model()
        settings = {
            "n_neurons": d.n,
            "in_size": d.m,
            "max_solver_time": self.t_end,
            "t0": d.t0,
            "wmask": self.mask,
            "max_event_steps": 3000,
            "engine": engine,
            "dtype": dtype,
            **{
                f"init_{k}": 1.0
                for k in ("delays", "axonal_delays")
                if k in self.leaves
            },
            **more,
        }
        return self.with_leaves(EvNN(cls, **settings, **own), self.leaves)

    def with_leaves(self, net: EvNN, leaves: dict[str, Any]) -> EvNN:
        def at(net: EvNN) -> list[Any]:
            found, model = [], net.neuron_model
            while hasattr(model, "neuron"):
                model = model.neuron
            for part in getattr(model, "submodels", [model]):
                found += [part.weights, part.ic]
            return found + [getattr(net, k) for k in leaves if "delays" in k]

        values = []
        for who in self._kinds().values():
            values += [leaves["weights"][:, who], leaves["ic"][who]]
        values += [leaves[k] for k in leaves if "delays" in k]
        return eqx.tree_at(at, net, [jnp.asarray(v, net.dtype) for v in values])

    def truth(self, leaves: dict[str, Any] | None = None, inputs: Any = None, **o: Any):
        leaves = self.leaves if leaves is None else leaves
        d = self.draw
        parts = []
        for name, who in self._kinds().items():
            own = {k: _part(v, who) for k, v in self.constants.items()}
            weights, ic = (leaves["weights"] * self.mask)[:, who], leaves["ic"][who]
            if name == "ALIF":
                parts.append(oracle.alif(weights, ic, **_alif(own)))
            elif "QIF" in name:
                parts.append(oracle.qif(weights, ic, **own))
            else:
                parts.append(oracle.lif(weights, ic, **own, thresh=1.0, vreset=-0.1))
        population = parts[0] if len(parts) == 1 else oracle.multi(parts, self._ids())
        if "Refractory" in d.wrapper:
            period = self.keywords["t_refrac"]
            block = d.wrapper != "Refractory, open"
            population = oracle.refractory(population, period, block=block)
        if "AMOS" in d.wrapper:
            freeze = d.wrapper != "AMOS"
            deaf = d.wrapper == "AMOS, deaf"
            population = oracle.amos(population, freeze, deaf)
        return oracle.simulate(
            population,
            self.inputs if inputs is None else inputs,
            t0=d.t0,
            t_max=self.t_end,
            delays=leaves.get("delays"),
            axonal_delays=leaves.get("axonal_delays"),
            **o,
        )

    def shown(self, states: np.ndarray) -> np.ndarray:
        """(T, N, S) states of the oracle as `observe` shows them."""
        states = np.array(states)
        for name, who in self._kinds().items():
            if "QIF" in name:
                states[:, who] = voltage(states[:, who])
        return states

    def _ids(self) -> np.ndarray:
        return np.arange(self.draw.n) % 2

    def _kinds(self) -> dict[str, np.ndarray]:
        names = self.draw.model.split(", ")
        if len(names) == 1:
            return {names[0]: np.arange(self.draw.n)}
        return {name: np.flatnonzero(self._ids() == k) for k, name in enumerate(names)}

    def _model(self) -> tuple[Any, dict[str, Any]]:
        models = {"LIF": LIF, "PLIF": PLIF, "ALIF": ALIF, "QIF": QIF, "PQIF": PQIF}
        kinds = self._kinds()
        cls, own = MultiNeuronModel, {}
        if len(kinds) == 1:
            ((name, who),) = kinds.items()
            cls, own = models[name], self._keywords(name, who)
        else:
            own = {
                "neuron_models": [models[name] for name in kinds],
                "neuron_model_kwargs": [
                    self._keywords(*kind) for kind in kinds.items()
                ],
                "neuron_type_ids": self._ids(),
            }
        wrapper = self.draw.wrapper
        if "Refractory" in wrapper:
            cls = Refractory(cls)
            own |= self.keywords
            own["block_input_during_refrac"] = wrapper != "Refractory, open"
        if "AMOS" in wrapper:
            cls = AMOS(cls, wrapper != "AMOS", wrapper == "AMOS, deaf")
        return cls, own

    def _keywords(self, name: str, who: np.ndarray) -> dict[str, Any]:
        own = {k: _part(v, who) for k, v in self.constants.items()}
        given = {"init_weights": 0.0, "init_bias": 0.0}
        if name == "ALIF":
            return given | _alif(own)
        if name[0] == "P":
            own = {f"init_{k}": v for k, v in own.items()}
            own["shared_time_constants"] = np.ndim(self.constants["tmem"]) == 0
        if "LIF" in name:
            own |= {"thresh": 1.0, "vreset": -0.1}
        return given | own


def _alif(own: dict[str, Any]) -> dict[str, Any]:
    return {
        "tmem": own["tmem"],
        "ta": 3 * own["tsyn"],
        "b0": 0.8,
        "beta": 6.0,
        "rm": 1.2,
    }


def _part(value: Any, who: np.ndarray) -> Any:
    return value[who] if np.ndim(value) else value


def _times(rng: Any, shape: Any, low: float, high: float, step: float | None) -> Any:
    times = rng.uniform(low, high, shape)
    return times if step is None else np.round(times / step) * step


def _mask(draw: Draw, rng: np.random.Generator) -> np.ndarray:
    n, m = draw.n, draw.m
    mask = np.ones((n + m, n))
    if draw.connections == "sparse":
        mask = (rng.random(mask.shape) < 0.4) * 1.0
    elif draw.connections == "chain":
        mask[:n] = np.eye(n, k=1)
    elif draw.connections == "layers":
        # Those in the second half hear the first half, and inputs sometimes.
        late = np.arange(n) >= (n + 1) // 2
        mask[:n] = ~late[:, None] & late[None, :]
        mask[n:] = ~late | (rng.random(n) < 0.3)
    elif draw.connections == "none":
        mask[:n] = 0
    return mask


# Comparison -------------------------------------------------------------------------

# Parameters moved by as much as rounding does, and what that does to the oracle's
# spikes (times a margin), tell how well a network's spikes are determined.
NUDGE, MARGIN = 1e-11, 1e3


class IllConditioned(Exception):
    """The oracle's own spikes change when its parameters do by rounding."""


def compare(draw: Draw, engine: str, dtype: Any = jnp.float64) -> str:
    """Every method against the oracle; raises AssertionError where they disagree.

    Returns "ok", or why this network tells nothing.
    """
    case = Case.of(draw) if dtype == jnp.float64 else _rounded(Case.of(draw))
    truth = _truth(case)
    if isinstance(truth, str):
        return truth
    with jax.disable_jit():
        net = case.network(engine, dtype)
        end = _middle(case, truth)
        found = _answers(net, case, case.inputs, case.observe, end)
    return _judged(case, truth, found, end, dtype)


def compare_several(
    draw: Draw, engine: str, dtype: Any = jnp.float64, count: int = 20
) -> list[str | AssertionError]:
    """The same for `count` networks that are one program, compiled and mapped over.

    Where compiling takes long: the first network is that of `compare`, the others have
    other weights, biases, delays and inputs.
    """
    first = Case.of(draw)
    cases = [first, *(first.again(k) for k in range(1, count))]
    if dtype == jnp.float32:
        cases = [_rounded(case) for case in cases]
    found: list[Any] = [_truth(case) for case in cases]
    run = [(k, cases[k], t) for k, t in enumerate(found) if not isinstance(t, str)]
    if not run:
        return found
    net = run[0][1].network(engine, dtype)

    def answers(leaves: Any, *asked: Any) -> Any:
        return _answers(first.with_leaves(net, leaves), first, *asked)

    ends = [_middle(case, truth) for _, case, truth in run]
    asked = [
        (case.leaves, case.inputs, case.observe, end)
        for (_, case, _), end in zip(run, ends, strict=True)
    ]
    stacked = jax.tree.map(lambda *x: jnp.asarray(np.stack(x), dtype), *asked)
    answered = jax.tree.map(np.asarray, eqx.filter_jit(jax.vmap(answers))(*stacked))
    for j, (k, case, truth) in enumerate(run):
        own = jax.tree.map(lambda x, j=j: x[j], answered)
        try:
            found[k] = _judged(case, truth, own, ends[j], dtype)
        except AssertionError as error:
            found[k] = error
    return found


def _truth(case: Case) -> Any:
    """The oracle's trace, or why there is none to compare with."""
    try:
        truth = case.truth(observe_at=case.observe)
    except Exception as error:  # the oracle refuses a network that fires without end
        return f"oracle: {type(error).__name__}"
    return "too many spikes" if len(truth.times) > 1000 else truth


def _judged(case: Case, truth: Any, found: Any, end: float, dtype: Any) -> str:
    try:
        _agree(case, truth, found, end, _tolerance(case, truth, dtype))
    except AssertionError:
        if _is_ill_conditioned(case, truth, 1e-7 if dtype == jnp.float32 else NUDGE):
            return "ill-conditioned"
        raise
    return "ok"


def compare_gradient(draw: Draw, engine: str) -> str:
    """The gradient of spikes and states, in float64, along a random direction.

    Against differences of the engine's own values, which `compare` holds to the oracle.
    Raises AssertionError where they disagree; returns "ok", or why this network tells
    nothing: at a kink, where two things happen at one time by chance, there is no
    derivative.
    """
    case = Case.of(draw)
    with jax.disable_jit():
        net = case.network(engine)

        def answer(leaves: dict[str, Any]) -> tuple[Any, Any]:
            changed = case.with_leaves(net, leaves)
            times, who, _ = changed.record(case.inputs)
            states = jnp.stack(
                jax.tree.leaves(changed.state_at_t(case.inputs, case.observe))
            )
            told = jnp.where(jnp.isfinite(times), times, 0)
            total = jnp.sum(told * jnp.cos(jnp.arange(told.size)))
            return total + jnp.sum(jnp.sin(states)), who

        rng = np.random.default_rng(draw.seed)
        way = {k: rng.normal(size=np.shape(v)) for k, v in case.leaves.items()}
        way["weights"] = way["weights"] * case.mask
        leaves = {k: jnp.asarray(v, jnp.float64) for k, v in case.leaves.items()}
        try:
            (middle, who), gradient = jax.value_and_grad(answer, has_aux=True)(leaves)
        except RuntimeError as error:
            if "max_event_steps" in str(error):
                return "too many spikes"
            raise
        along = sum(float(jnp.sum(gradient[k] * way[k])) for k in way)
        slopes = []
        for step in (1e-6, -1e-6, 2e-6, -2e-6):
            value, other = answer({k: v + step * way[k] for k, v in leaves.items()})
            if not np.array_equal(who, other):
                return "another order of spikes"
            slopes.append(float(value - middle) / step)
    size = max(1.0, *map(abs, slopes))
    if np.ptp(slopes) > 1e-3 * size:
        return "a kink, or too curved"
    # From both sides they differ by the curvature times the step, at a kink by as much.
    near, far = abs(slopes[0] - slopes[1]), abs(slopes[2] - slopes[3])
    if near > 1e-6 * size and far < 1.5 * near:
        return "a kink"
    # The halved step's error is a quarter: what is left is of the fourth order.
    best = (2 * (slopes[0] + slopes[1]) - (slopes[2] + slopes[3]) / 2) / 3
    within = (1e-5 if case.draw.exact else 1e-3) * size
    assert abs(along - best) < within, f"derivative {along} instead of {best}"
    return "ok"


def _rounded(case: Case) -> Case:
    single = lambda x: np.asarray(x, np.float32).astype(float)  # noqa: E731
    return Case(
        case.draw,
        case.mask,
        {k: single(v) for k, v in case.leaves.items()},
        {k: single(v) for k, v in case.constants.items()},
        {k: single(v) for k, v in case.keywords.items()},
        single(case.inputs),
        single(case.observe),
    )


def _middle(case: Case, truth: Any) -> float:
    """Just after the middle one of all spikes."""
    if len(truth.times) == 0:
        return case.t_end
    return min(float(truth.times[len(truth.times) // 2]) + 1e-3, case.t_end)


def _answers(net: EvNN, case: Case, inputs: Any, observe: Any, end: Any) -> dict:
    return {
        "record": net.record(inputs),
        "ttfs": net.ttfs(inputs),
        "trains": net.spikes_until_t(inputs, case.t_end, 8),
        "states": net.state_at_t(inputs, observe),
        "until": net.spikes_until_t(inputs, end, 8),
    }


def _tolerance(case: Case, truth: Any, dtype: Any) -> float:
    if dtype == jnp.float32:
        return 1e-3
    return 1e-9 if case.draw.exact else 1e-4


def _agree(case: Case, truth: Any, found: Any, end: float, within: float) -> None:
    times, who, _ = (np.asarray(x, float) for x in found["record"])
    n = len(truth.times)
    assert np.sum(who >= 0) == n, f"{np.sum(who >= 0)} spikes instead of {n}"
    # Spikes at one time may stand in another order when their times differ by rounding.
    for k in range(case.draw.n):
        mine = times[:n][who[:n] == k]
        own = truth.of(k)
        assert len(mine) == len(own), f"neuron {k}: {len(mine)} spikes, not {len(own)}"
        np.testing.assert_allclose(mine, own, rtol=0, atol=within)
    np.testing.assert_allclose(found["ttfs"], truth.first_spikes(), rtol=0, atol=within)
    trains = truth.spike_table(8)
    np.testing.assert_allclose(found["trains"], trains, rtol=0, atol=within)
    states = np.asarray(found["states"])
    wanted = np.swapaxes(case.shown(truth.observed), 0, 1)
    if not case.draw.exact:
        # V runs through infinity: as an angle.
        states, wanted = np.arctan(states), np.arctan(wanted)
    scale = 1 + np.nanmax(np.abs(wanted), initial=0.0)
    # A time of observation at a spike shows either side of it, by rounding.
    near = np.abs(case.observe[:, None] - truth.times[None]).min(axis=1, initial=np.inf)
    clear = near > 1e-6
    np.testing.assert_allclose(
        states[:, clear],
        wanted[:, clear],
        rtol=0,
        atol=max(within, 1e-6) * scale * 10,
    )
    wanted = np.where(trains <= end, trains, np.inf)
    close = np.abs(trains - end) < 2 * within + 1e-9
    np.testing.assert_allclose(
        np.where(close, 0, found["until"]),
        np.where(close, 0, wanted),
        rtol=0,
        atol=within,
    )


def _is_ill_conditioned(case: Case, truth: Any, nudge: float) -> bool:
    rng = np.random.default_rng(0)
    for _ in range(3):
        moved = {
            k: v * (1 + nudge * rng.uniform(-1, 1, np.shape(v)))
            for k, v in case.leaves.items()
        }
        other = case.truth(moved, observe_at=case.observe)
        if len(other.times) != len(truth.times):
            return True
        if np.abs(other.times - truth.times).max(initial=0) > MARGIN * nudge * SPAN:
            return True
        states = np.abs(other.observed - truth.observed)
        if np.nanmax(states, initial=0.0) > MARGIN * nudge * 100:
            return True
    return False
