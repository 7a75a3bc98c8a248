"""Derivatives are of first order in reverse mode; all others say so in one sentence."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from eventax import EvNN, FFEvNN
from eventax.neuron_models import LIF, QIF

LIF_ARGS = {"thresh": 1.0, "tsyn": 5.0, "tmem": 10.0, "init_bias": 0.0}
LIF_ARGS |= {"init_weights": 5.0}
QIF_ARGS = {"tsyn": 5.0, "tmem": 20.0, "init_weights": 8.0, "init_bias": 0.0}
NETWORKS = {
    "EvNN": lambda: EvNN(LIF, 1, 30.0, 1, wmask=[[0], [1]], **LIF_ARGS),
    "FFEvNN": lambda: FFEvNN([1], 1, LIF, 30.0, **LIF_ARGS),
    "QIF": lambda: EvNN(QIF, 1, 30.0, 1, wmask=[[0], [1]], **QIF_ARGS),
}
SENTENCE = "derivatives of first order in reverse mode only"
X = jnp.array([[1.0]])


def jvp(f):
    return lambda x: jax.jvp(f, (x,), (jnp.ones_like(x),))


def twice(f):
    return jax.grad(lambda x: jnp.sum(jax.grad(f)(x)))


def twice_square(f):
    return jax.grad(lambda x: jnp.sum(jax.grad(lambda x: f(x) ** 2)(x)))


WAYS = {
    "jvp": jvp,
    "jacfwd": jax.jacfwd,
    "hessian": jax.hessian,
    "grad(grad)": twice,
    "grad(grad) of a square": twice_square,
    "jacrev(jacfwd)": lambda f: jax.jacrev(jax.jacfwd(f)),
    "jacrev(jacrev)": lambda f: jax.jacrev(jax.jacrev(f)),
}


@pytest.mark.parametrize("by", ["inputs", "weights"])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NETWORKS)
def test_other_derivatives_are_refused(name, way, compiled, by):
    # Found failing: "Cannot lower jaxpr with verifier errors", or a result of NaN.
    net = NETWORKS[name]()
    if by == "inputs":
        f, at = (lambda x: net.ttfs(x)[0]), X
    else:
        leaf = lambda n: n.neuron_model.weights  # noqa: E731
        f = lambda w: eqx.tree_at(leaf, net, w).ttfs(X)[0]  # noqa: E731
        at = net.neuron_model.weights
    derivative = WAYS[way](f)
    if compiled:
        derivative = jax.jit(derivative)
    with pytest.raises(NotImplementedError, match=SENTENCE):
        derivative(at)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_first_one_is_as_it_was(name):
    net = NETWORKS[name]()

    def f(x):
        return net.ttfs(x)[0]

    once = jax.jit(jax.grad(f))(X)
    batch = jnp.stack([X, X + 1])
    assert jnp.allclose(jax.jit(jax.vmap(jax.grad(f)))(batch), once)
