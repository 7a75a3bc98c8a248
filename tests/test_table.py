"""One table: every model, wrapper and kind of delay against the oracle."""

from dataclasses import replace
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import slow
from oracle import finite_differences as fd
from populations import DELAYS, MODELS, WRAPPERS, Case, M, N
from samples import largest_gap

pytestmark = pytest.mark.usefixtures("x64")

F32, F64 = jnp.float32, jnp.float64
# Every model, wrapper and delay (Refractory in STATES below); the rest is slow.
CORE = [
    Case("ALIF", "Refractory, open", "both"),
    Case("QIF", "AMOS, frozen", "axonal"),
    Case("LIF", "AMOS, deaf"),
    Case("PLIF", "AMOS of Refractory"),
    Case("LIF", "Refractory of AMOS"),
]
# Izhikevich is pIzhikevich with constants that are not trained.
OTHERS = [m for m in MODELS if m not in {case.model for case in CORE}]
CORE += [Case(m) for m in OTHERS if m != "Izhikevich"]
REST = [
    Case(model, wrapper, delays)
    for model in MODELS
    for wrapper, delays in [
        *((wrapper, "") for wrapper in WRAPPERS),
        *(("", delays) for delays in DELAYS),
        ("Refractory", "synaptic"),
        ("Refractory", "both"),
    ]
]
REST = [case for case in dict.fromkeys(REST) if case not in CORE]
# What the native core simulates runs through the engine in JAX, too.
NATIVE = ("ALIF", "LIF", "Multi", "PLIF", "PQIF", "QIF")
BY_JAX = [replace(c, engine="jax") for c in [*CORE, *REST] if c.model in NATIVE]
QUICK = [c for c in BY_JAX if replace(c, engine="") in (CORE[0], CORE[2])]
REST += [c for c in BY_JAX if c not in QUICK]
CORE += QUICK
TABLE = [*CORE, *map(slow, REST)]
# float32 differs by rounding only, so the stiffest model stands for all in the core.
SINGLE = [Case("EIF")]
ALL_SINGLE = [c for c in [*CORE, *REST] if c not in SINGLE]
SINGLE += map(slow, ALL_SINGLE)

RANK = 12  # spikes that the loss is about, at most
LAST = 20.0  # observations are before this time


def loss(times, xp):
    """Of the first spikes, in order of time."""
    count = min(RANK, len(times))
    chosen = times[:count]
    weights = np.cos(np.arange(count)) + 1.5
    return xp.sum(xp.where(xp.isfinite(chosen), chosen, 0.0) * weights)


@cache  # precisions are compared with what another test may have compiled
def runner(case, dtype):
    """(leaves) -> record and gradient, for a batch of leaves."""
    net = case.network(dtype)

    def one(leaves):
        record = case.with_leaves(net, leaves).record(leaves["in_spike_times"])
        return loss(record[0], jnp), record

    compiled = jax.jit(jax.vmap(jax.value_and_grad(one, has_aux=True)))

    def run(batch):
        leaves = {
            k: jnp.asarray(np.stack([x[k] for x in batch]), dtype) for k in batch[0]
        }
        (_, record), gradient = compiled(leaves)
        return jax.tree.map(np.asarray, (record, gradient))

    return run


def batch(case):
    """Two samples with other parameters and inputs."""
    one = case.leaves()
    moved = {k: v * (1.03 if "weights" in k else 1.0) for k, v in one.items()}
    moved["in_spike_times"] = np.roll(one["in_spike_times"], 1, axis=0)
    return [one, moved]


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_spikes_and_gradients(case):
    record, gradient = runner(case, F64)(batch(case))
    traces, derivatives = truths(replace(case, engine=""))
    fewest = 4 if case.once else 30
    assert min(len(trace.times) for trace in traces) >= fewest
    found = [largest_gap([x[b] for x in record], t) for b, t in enumerate(traces)]
    worst = {}
    for (name, b), (direction, along) in derivatives.items():
        mine = np.nansum(gradient[name][b] * direction)
        size = np.linalg.norm(gradient[name][b]) * np.linalg.norm(direction)
        if size <= along.error:  # what nothing depends on, but for where steps end
            assert abs(along.value) <= along.error, name
            continue
        assert along.error <= 1e-5 * size, name
        worst[name, b] = abs(mine - along.value) / size
    print(case, "spikes", max(found), {k: f"{v:.1e}" for k, v in worst.items()})
    assert max(found) <= (1e-6 if case.exact else 1e-3)
    assert max(worst.values()) <= 1e-4


@cache  # the same for each engine
def truths(case):
    """Traces of the samples, and by (leaf, sample) a direction and the derivative."""
    samples = batch(case)
    rng, derivatives = np.random.default_rng(0), {}
    for b, leaves in enumerate(samples):
        for name, value in leaves.items():
            # The second sample shows that each one has its own gradient.
            if b and name not in ("weights", "0/weights", "W_u"):
                continue
            direction = rng.normal(size=value.shape) * np.isfinite(value)
            if len(value) == N + M:
                direction *= value != 0  # absent connections stay absent
            along = fd.directional(
                lambda p: spikes(case, p),
                leaves,
                {name: direction},
                scale=scale(name, value),
                noise=fd.ODE_NOISE,
                rtol=1e-6,
            )
            derivatives[name, b] = direction, along
    return [case.truth(leaves) for leaves in samples], derivatives


def spikes(case, leaves):
    """The loss and the order of events, by the oracle."""
    trace = case.truth(leaves, stop_after=lambda times, _: len(times) >= RANK)
    return float(loss(trace.times, np)), trace.events


def scale(name, value):
    finite = np.abs(value[np.isfinite(value)])
    return 0.1 if "times" in name or "delays" in name else 0.1 * finite.max(initial=0.1)


@pytest.mark.parametrize("case", SINGLE, ids=str)
def test_single_precision(case):
    samples = batch(case)
    rounded = [
        {k: v.astype(np.float32).astype(float) for k, v in s.items()} for s in samples
    ]
    record, gradient = runner(case, F32)(rounded)
    traces = [case.truth(leaves) for leaves in rounded]
    found = [largest_gap([x[b] for x in record], t) for b, t in enumerate(traces)]
    print(case, "float32", max(found))
    assert record[0].dtype == np.float32
    for leaves, trace, gap in zip(rounded, traces, found, strict=True):
        assert gap <= 1e-3 or gap <= moved_by_rounding(case, leaves, trace)
    # A gradient is as good as the steps of the solver; what is wrong is worse.
    compared = case in CORE or case.wrapper == case.delays == ""
    exact = runner(case, F64)(rounded)[1] if compared else gradient
    off = {}
    for name, g in gradient.items():
        assert np.all(np.isfinite(g)), name
        size = max(float(np.linalg.norm(exact[name])), 1e-300)
        off[name] = float(np.linalg.norm(g - exact[name])) / size
    assert max(off.values()) <= 3e-3, off


def moved_by_rounding(case, leaves, trace):
    """How far the oracle moves spikes when parameters move by a float32 rounding."""
    rng, furthest = np.random.default_rng(0), 0.0
    for _ in range(6):
        moved = {
            k: v * (1 + 2.0**-24 * rng.choice([-1, 1], v.shape))
            for k, v in leaves.items()
            if k != "in_spike_times"
        }
        other = case.truth(leaves | moved)
        assert other.events == trace.events
        furthest = max(furthest, np.abs(other.times - trace.times).max())
    print(case, "moves by", furthest, "for a rounding of its parameters")
    return furthest


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_equal_settings_are_one_program(case):
    one, other = case.network(), case.network()
    assert jax.tree.structure(one) == jax.tree.structure(other)
    assert hash(jax.tree.structure(one)) == hash(jax.tree.structure(other))
    leaves = jax.tree.leaves(one)
    assert all(eqx.is_inexact_array(x) and x.dtype == F64 for x in leaves)
    assert set(case.leaves()) - {"in_spike_times"} <= names(one)


def names(net):
    found = {n for n in ("delays", "axonal_delays") if getattr(net, n) is not None}
    for path, _ in jax.tree_util.tree_leaves_with_path(net.neuron_model):
        keys = [k for k in path if getattr(k, "name", None) != "neuron"]
        number = [f"{k.idx}/" for k in keys if hasattr(k, "idx")]
        found.add("".join(number) + keys[-1].name)
    return found


STATES = [Case(m) for m in ("ALIF", "QIF", "EIF", "EGRU", "Multi")] + [
    Case("QIF", engine="jax"),
    Case("LIF", "Refractory", "synaptic"),
    Case("Izhikevich", "AMOS, deaf"),
]
STATES += [slow(case) for case in map(Case, MODELS) if case not in STATES]


@pytest.mark.parametrize("case", STATES, ids=str)
def test_observed_states(case):
    leaves = case.leaves()
    times = np.array([LAST, 0.0, 7.3])
    net = case.with_leaves(case.network(), leaves)
    seen = np.asarray(net.state_at_t(leaves["in_spike_times"], times))
    trace = case.truth(leaves, observe_at=times, stop_after=[])
    wanted = MODELS[case.model].shown(np.swapaxes(trace.observed, 0, 1))
    if case.model == "Multi":  # half of the neurons are QIF
        odd = slice(1, None, 2)
        wanted[odd] = MODELS["QIF"].shown(wanted[odd])
    scale = 1 + np.nanmax(np.abs(wanted))
    np.testing.assert_allclose(seen, wanted, atol=1e-5 * scale)
