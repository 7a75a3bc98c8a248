"""Arguments of networks, checked where Python can see them."""

from __future__ import annotations

import inspect
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._arguments import as_float, check_known
from .._neurons import NeuronModel


def check_number(name: str, value: Any) -> float:
    """A finite number."""
    number = as_float(name, value)
    if not math.isfinite(number):
        raise ValueError(f"`{name}` must be finite; got {value!r}.")
    return number


def check_positive(name: str, value: Any) -> float:
    """A finite number above 0."""
    number = check_number(name, value)
    if number <= 0:
        raise ValueError(f"`{name}` must be positive; got {value!r}.")
    return number


def check_dtype(dtype: Any) -> np.dtype:
    """float32, or float64 where JAX has it switched on."""
    try:
        result = np.dtype(dtype)
    except TypeError as error:
        raise TypeError(
            f"`dtype` must be jnp.float32 or jnp.float64; got {dtype!r}."
        ) from error
    if result not in (np.float32, np.float64):
        raise ValueError(f"`dtype` must be jnp.float32 or jnp.float64; got {dtype!r}.")
    if result == np.float64 and not jax.config.jax_enable_x64:  # pyright: ignore
        raise ValueError(
            "`dtype` = float64 needs JAX's 64-bit mode, which is off. Call "
            "`jax.config.update('jax_enable_x64', True)` before anything else, or use "
            "`dtype=jnp.float32`."
        )
    return result


def check_keywords(network: type, model: type, keywords: dict[str, Any]) -> None:
    """Every keyword left over by the network must be one of the model's."""
    own = set(inspect.signature(network).parameters)
    own -= {"args", "kwargs", "neuron_model_kwargs"}
    lost = f"neither {network.__name__} nor {model.__name__} takes it"
    check_known(model, keywords, lost, also=own)


def check_model(model: NeuronModel, n_neurons: int, dtype: np.dtype) -> None:
    """That the model's methods fit together, from their shapes alone."""
    name = type(model).__name__
    if model.dtype != dtype:
        raise ValueError(
            f"{name} must be of the network's `dtype` {dtype}; got {model.dtype}. Its "
            "constructor gets `dtype`: pass it on, `super().__init__(dtype=dtype)`."
        )
    y = jax.eval_shape(lambda: model.init_state(n_neurons))
    leaves = jax.tree.leaves(y)
    if not leaves:
        raise ValueError(
            f"{name}.init_state must return at least one array; got {y!r}."
        )
    for leaf in leaves:
        if model._by_neuron and (leaf.ndim == 0 or leaf.shape[0] != n_neurons):
            raise ValueError(
                f"{name}.init_state must return arrays with leading axis n_neurons = "
                f"{n_neurons}; got shape {leaf.shape}."
            )
        if leaf.dtype != model.dtype:
            raise ValueError(
                f"{name}.init_state must return arrays of the model's dtype "
                f"{model.dtype}; got {leaf.dtype}."
            )
    for leaf in jax.tree.leaves(model):
        if isinstance(leaf, (jax.Array, np.ndarray)) and leaf.dtype != model.dtype:
            raise ValueError(
                f"Every array of {name} is a trainable parameter and must have the "
                f"model's dtype {model.dtype}; got {leaf.dtype}. Mark other things "
                "with `equinox.field(static=True)`."
            )
    t = jax.ShapeDtypeStruct((), model.dtype)
    fired = jax.ShapeDtypeStruct((n_neurons,), bool)
    everyone = jax.ShapeDtypeStruct((n_neurons,), jnp.int32)
    sender = jax.ShapeDtypeStruct((), jnp.int32)
    _same(f"{name}.dynamics", y, lambda t, y: model.dynamics(t, y, None), t, y)
    _same(f"{name}.reset_spiked", y, model.reset_spiked, y, fired)
    _same(f"{name}.input_spike", y, model.input_spike, y, sender, everyone, fired)
    gap = jax.eval_shape(model.spike_condition, t, y)
    if jax.tree.structure(gap) != jax.tree.structure(0) or gap.shape != (n_neurons,):
        raise ValueError(
            f"{name}.spike_condition must return an array of shape (n_neurons,) = "
            f"({n_neurons},); got {gap!r}."
        )
    if not jnp.issubdtype(gap.dtype, jnp.floating):
        raise ValueError(
            f"{name}.spike_condition must return the signed distance to threshold, a "
            f"real number per neuron; got dtype {gap.dtype}."
        )
    if type(model).observe is NeuronModel.observe:
        return
    shown = jax.tree.leaves(jax.eval_shape(model.observe, y))
    shapes = [leaf.shape for leaf in shown]
    if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][0] != n_neurons:
        raise ValueError(
            f"{name}.observe must return one array of shape (n_neurons, channels) = "
            f"({n_neurons}, channels); got shapes {shapes}."
        )


def _same(method: str, y: Any, function: Any, *args: Any) -> None:
    result = jax.eval_shape(function, *args)
    told = jax.tree.map(lambda x: (x.shape, str(x.dtype)), result)
    wanted = jax.tree.map(lambda x: (x.shape, str(x.dtype)), y)
    if told != wanted:
        raise ValueError(
            f"{method} must return a state of the structure, shapes and dtype of "
            f"init_state, {wanted}; got {told}."
        )
