"""Activity of networks: spikes as they are recorded, events as they are counted."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import slow

from eventax import EvNN, FFEvNN
from eventax._networks._views import with_bound
from eventax.connectivity import layers
from eventax.encoding import list_spikes
from eventax.monitor import activity
from eventax.neuron_models import LI, LIF, MultiNeuronModel

KEY = jax.random.PRNGKey(0)
LIF_KEYWORDS = {"thresh": 1.0, "tsyn": 5.0, "tmem": 20.0, "init_bias": 0.0}
T_END, IN_SIZE = 40.0, 3


def feed_forward(**keywords):
    settings = {"wmean": 3.0, "wlim": 6.0, "max_event_steps": 300, "key": KEY}
    settings |= LIF_KEYWORDS | keywords
    return FFEvNN([6, 2], IN_SIZE, LIF, T_END, **settings)


SHAPE = layers({"hidden": 6, "readout": 2}, IN_SIZE, recurrent=["hidden"], types=[0, 1])


def recurrent(**keywords):
    li = {k: v for k, v in LIF_KEYWORDS.items() if k != "thresh"}
    drawn = {"wmean": 0.4, "wlim": 2.0}
    settings = {"max_event_steps": 500, "key": KEY} | keywords
    return EvNN(
        MultiNeuronModel,
        max_solver_time=T_END,
        **SHAPE,
        neuron_models=[LIF, LI],
        neuron_model_kwargs=[LIF_KEYWORDS | drawn, li | drawn],
        **settings,
    )


def samples(n=5):
    """Some of which have fewer spikes, or none, or spikes after the end."""
    times = 30.0 * jax.random.uniform(jax.random.PRNGKey(1), (n, IN_SIZE, 4))
    times = times.at[0, 1, 2:].set(jnp.inf).at[1].set(jnp.inf)
    return times.at[2, 0, 0].set(T_END + 1)


NETWORKS = {
    "feed-forward": feed_forward,
    "feed-forward, delays": lambda: feed_forward(dlim=5.0),
    "recurrent": recurrent,
    "recurrent, delays": lambda: recurrent(dlim=5.0),
    "recurrent, axonal delays": lambda: recurrent(axonal_dlim=5.0),
    "recurrent, by JAX": lambda: recurrent(engine="jax"),
    "recurrent, delays, by JAX": lambda: recurrent(dlim=5.0, engine="jax"),
}


@pytest.mark.parametrize(
    "name", [slow(n) if n == "recurrent, delays, by JAX" else n for n in NETWORKS]
)
def test_spikes_and_events_are_those_of_the_simulation(name):
    """So many events are allowed, and one less is an error."""
    net, inputs = NETWORKS[name](), samples()
    seen = activity(net, inputs)
    for k, one in enumerate(inputs):
        trains = np.asarray(
            net.spikes_until_t(one, T_END, 60, neurons=range(net.n_neurons))
        )
        np.testing.assert_array_equal(seen.spikes[k], np.isfinite(trains).sum(axis=1))
    assert seen.spikes.sum() > 10
    k = int(np.argmax(seen.events))
    with_bound(net, int(seen.events[k])).record(inputs[k])
    with pytest.raises(RuntimeError, match="max_event_steps"):
        with_bound(net, int(seen.events[k]) - 1).record(inputs[k])
    assert seen.events[1] == seen.spikes[1].sum() == 0


def test_the_table_says_what_the_arrays_do():
    net, inputs = recurrent(), samples()
    seen = activity(net, inputs, SHAPE)
    hidden, readout = seen.rows
    assert hidden.name == "hidden"
    assert hidden.neurons == 6
    assert hidden.spikes == seen.spikes[:, :6].mean()
    assert hidden.busiest == seen.spikes[:, :6].max()
    assert hidden.silent == (seen.spikes[:, :6].sum(axis=0) == 0).sum()
    assert not readout.fires
    assert seen.over_limit == 0
    lines = str(seen).splitlines()
    assert lines[0].split() == [
        "population", "neurons", "spikes", "busiest", "silent", "saturated",
    ]  # fmt: skip
    assert lines[1].split()[:4] == [
        "hidden", "6", f"{hidden.spikes:.2f}", f"{hidden.busiest}",
    ]  # fmt: skip
    assert lines[2].split() == ["readout", "2", "-", "-", "-", "-"]
    assert f"{seen.events.max()} at most, of max_event_steps = 500" in lines[3]
    assert len({len(line) for line in lines[:3]}) == 1


def test_lists_are_batches_too():
    net, inputs = recurrent(), samples()
    padded, listed = activity(net, inputs), activity(net, list_spikes(inputs))
    np.testing.assert_array_equal(padded.spikes, listed.spikes)
    np.testing.assert_array_equal(padded.events, listed.events)


def test_silent_and_saturated_neurons():
    weights = np.zeros((IN_SIZE + 3, 3))
    weights[3:, 1], weights[3:, 2] = 4.0, 60.0
    net = FFEvNN([3], IN_SIZE, LIF, T_END, init_weights=weights, max_event_steps=900,
                 **LIF_KEYWORDS)  # fmt: skip
    inputs = jnp.ones((2, IN_SIZE, 1))
    counts = activity(net, inputs).spikes[0]
    assert 0 == counts[0] < counts[1] < counts[2]
    seen = activity(net, inputs, saturated=int(counts[2]))
    np.testing.assert_array_equal(seen.silent, [True, False, False])
    np.testing.assert_array_equal(seen.saturated, [False, False, True])
    assert (seen.rows[0].silent, seen.rows[0].saturated) == (1, 1)


def test_more_events_than_allowed_are_told_not_raised():
    allowed = activity(feed_forward(), samples())
    net = feed_forward(max_event_steps=int(allowed.events.max()) // 3)
    seen = activity(net, samples())
    np.testing.assert_array_equal(seen.events, allowed.events)
    assert seen.limit == net.max_event_steps
    assert seen.over_limit == (allowed.events > seen.limit).sum() > 0
    assert f"{seen.over_limit} of 5 samples have more events" in str(seen)


def test_far_too_many_events_are_the_simulations_error(monkeypatch):
    from eventax.monitor import _counts

    monkeypatch.setattr(_counts, "MOST", 1)
    with pytest.raises(RuntimeError, match="max_event_steps"):
        activity(feed_forward(max_event_steps=5), samples())


def test_populations_are_named_by_the_network_or_the_user():
    inputs = samples(2)
    names = lambda *args: list(activity(*args).populations)  # noqa: E731
    assert names(feed_forward(), inputs) == ["hidden", "output"]
    assert names(recurrent(), inputs) == ["hidden", "output"]
    assert names(recurrent(), inputs, {"a": 3, "b": 5}) == ["a", "b"]
    assert names(recurrent(), inputs, [8]) == ["layer 0"]
    seen = activity(recurrent(), inputs, {"none": 0, "all": 8})
    assert seen.rows[0][1:] == (0, False, 0.0, 0, 0, 0)


def test_a_network_without_input():
    net = EvNN(LIF, 2, T_END, 0, init_weights=0.0, thresh=1.0, tsyn=5.0, tmem=10.0,
               init_bias=[1.5, 0.5])  # fmt: skip
    seen = activity(net, None)
    # A period of 10 ln 3 = 10.99.
    np.testing.assert_array_equal(seen.spikes, [[3, 0]])
    np.testing.assert_array_equal(seen.events, [3])


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        (jnp.ones((IN_SIZE, 1)), {}, "must have shape (batch, M, K)"),
        (jnp.ones((0, IN_SIZE, 1)), {}, "at least one sample"),
        (jnp.ones((1, 2, 1)), {}, "M = 3 channels"),
        (list_spikes(jnp.ones((IN_SIZE, 1))), {}, "shape (batch, E)"),
        (jnp.ones((1, IN_SIZE, 1)), {"populations": [7]}, "in sum its 8 neurons"),
        (jnp.ones((1, IN_SIZE, 1)), {"saturated": 0.0}, "`saturated` must be positive"),
    ],
)
def test_wrong_arguments_are_refused(inputs, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        activity(recurrent(), inputs, **options)
