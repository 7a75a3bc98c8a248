"""Several neuron models in one network."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from .._arguments import check_known, check_static
from .._flows import AbstractFlow, Parallel
from .._static import Constant
from ._base import PUBLIC, NeuronModel, as_slice, check_model_class, replaced


class MultiNeuronModel(NeuronModel):
    """A population in which each neuron is of one of several models.

    The state is a tuple with the state of each sub-model; `state_at_t` shows each
    neuron's own channels, and NaN where others have more. Sub-models that are simulated
    in closed form, or as `QIF` is, stay so if all of them are; with others beside them,
    all are integrated together.

    Arguments:
        key: random key; needed where a sub-model draws something.
        n_neurons: N.
        in_size: number of input channels M.
        wmask: connectivity (N+M, N), rows are senders: neurons first, then inputs.
        neuron_models: the `NeuronModel` classes, wrapped ones too.
        neuron_model_kwargs: keywords of each of them, default none. Arrays per neuron
            have shape (n_sub,), weights (N+M, n_sub), where n_sub neurons are of that
            model, in ascending order.
        neuron_type_ids: (N,) whole numbers, the model of each neuron. In an `FFEvNN`
            with one model per layer they follow from the layers.
        dtype: floating-point type.

    Trainable leaves: those of `submodels`, a tuple; weights are (N+M, n_sub).

    Raises:
        ValueError: the lists have different lengths, a type is out of range or has no
            neuron, and as the sub-models.
        TypeError: a keyword is unknown to its sub-model.

    Example:
        >>> import jax.numpy as jnp
        >>> from eventax import FFEvNN
        >>> from eventax.neuron_models import LIF, QIF, MultiNeuronModel
        >>> both = {"tsyn": 5.0, "tmem": 10.0, "init_weights": 8.0, "init_bias": 0.0}
        >>> net = FFEvNN(
        ...     [3, 1], 1, MultiNeuronModel, 50.0, neuron_models=[LIF, QIF],
        ...     neuron_model_kwargs=[{**both, "thresh": 1.0}, both],
        ... )
        >>> net.ttfs(jnp.array([[1.0]])).shape
        (1,)
    """

    submodels: tuple[NeuronModel, ...]
    type_ids: Constant = eqx.field(static=True)

    _by_neuron: ClassVar[bool] = False

    def __init__(
        self,
        key: Array | None,
        n_neurons: int,
        in_size: int,
        wmask: Any,
        *,
        neuron_models: Sequence[type[NeuronModel]],
        neuron_model_kwargs: Sequence[Mapping[str, Any]] | None = None,
        neuron_type_ids: Any,
        dtype: Any = jnp.float32,
    ):
        super().__init__(dtype=dtype)
        models = list(neuron_models)
        for number, model in enumerate(models):
            check_model_class(f"neuron_models[{number}]", model)
        keywords = [dict(k) for k in neuron_model_kwargs or [{} for _ in models]]
        if len(keywords) != len(models):
            raise ValueError(
                "`neuron_model_kwargs` must hold one dictionary for each of the "
                f"{len(models)} `neuron_models`; got {len(keywords)}."
            )
        ids = _check_types(neuron_type_ids, n_neurons, len(models))
        self.type_ids = Constant(ids)
        keys = (
            [None] * len(models) if key is None else jax.random.split(key, len(models))
        )
        mask = jnp.asarray(wmask, dtype)
        parts = []
        for k, (model, own) in enumerate(zip(models, keywords, strict=True)):
            lost = f"{model.__name__} does not take it in `neuron_model_kwargs`"
            check_known(model, own, lost)
            where = np.flatnonzero(ids == k)
            # Senders are numbered as in the whole network.
            senders = {"n_neurons": where.size, "in_size": len(mask) - where.size}
            settings = {**senders, "wmask": mask[:, where], "dtype": self.dtype, **own}
            build = cast("Callable[..., NeuronModel]", model)
            parts.append(build(key=keys[k], **settings))
        self.submodels = tuple(parts)

    # Between the whole population and its parts ----------------------------------

    def _split(self, values: Any) -> list[Any]:
        """(N,) values as one array per sub-model."""
        ids = self.type_ids.value
        return [values[np.flatnonzero(ids == k)] for k in range(len(self.submodels))]

    def _join(self, parts: Sequence[Any]) -> Any:
        """Inverse of `_split`, also for arrays with further axes."""
        order = np.argsort(self.type_ids.value, kind="stable")
        return jnp.concatenate(parts)[np.argsort(order)]

    def _part(self, n_neurons: int, chosen: slice | np.ndarray) -> NeuronModel:
        """Of neurons that are all of one sub-model, a population of that one."""
        kind, within = self._within(chosen)
        size = int(np.sum(self.type_ids.value == kind))
        return self.submodels[kind]._part(size, within)

    def _state_of(self, z: PyTree, chosen: slice | np.ndarray) -> PyTree:
        kind, within = self._within(chosen)
        return self.submodels[kind]._state_of(z[kind], within)

    def _within(self, chosen: slice | np.ndarray) -> tuple[int, slice | np.ndarray]:
        """The sub-model of the chosen neurons, and their numbers in it."""
        ids = self.type_ids.value
        (kind,) = np.unique(ids[chosen])
        own = np.flatnonzero(ids == kind)
        within = np.searchsorted(own, np.arange(len(ids))[chosen])
        return int(kind), as_slice(within)

    def _rows(self, rows: list[Any]) -> list[list[Any]]:
        remaining = iter(rows)
        counts = [len(m.sender_leaves()) for m in self.submodels]
        return [list(itertools.islice(remaining, n)) for n in counts]

    # The public interface --------------------------------------------------------

    def init_state(self, n_neurons: int) -> PyTree:
        """A tuple with the state of each sub-model at t0."""
        counts = np.bincount(self.type_ids.value, minlength=len(self.submodels))
        pairs = zip(self.submodels, counts.tolist(), strict=True)
        return tuple(m.init_state(n) for m, n in pairs)

    def dynamics(self, t: Any, y: PyTree, args: Any) -> PyTree:
        """Time derivative of each sub-model's state."""
        pairs = zip(self.submodels, y, strict=True)
        return tuple(m.dynamics(t, part, args) for m, part in pairs)

    def spike_condition(self, t: Any, y: PyTree, **kwargs: Any) -> Any:
        """Signed distance to threshold, (N,)."""
        pairs = zip(self.submodels, y, strict=True)
        return self._join([m.spike_condition(t, part, **kwargs) for m, part in pairs])

    def input_spike(
        self, y: PyTree, from_idx: Any, to_idx: Any, valid_mask: Any
    ) -> PyTree:
        """State after a spike of `from_idx` arrived at `to_idx`."""
        ids, number = self.type_ids.value, np.zeros_like(self.type_ids.value)
        for k in range(len(self.submodels)):
            number[ids == k] = np.arange(np.sum(ids == k))
        kind, place = jnp.asarray(ids)[to_idx], jnp.asarray(number)[to_idx]
        return tuple(
            m.input_spike(part, from_idx, jnp.where(kind == k, place, 0), valid)
            for k, (m, part) in enumerate(zip(self.submodels, y, strict=True))
            for valid in [valid_mask & (kind == k)]
        )

    def reset_spiked(self, y: PyTree, spiked_mask: Any) -> PyTree:
        """State after the neurons in `spiked_mask` fired."""
        triples = zip(self.submodels, y, self._split(spiked_mask), strict=True)
        return tuple(m.reset_spiked(part, who) for m, part, who in triples)

    def observe(self, y: PyTree) -> Any:
        """(N, channels), NaN where a neuron's model has fewer than others."""
        shown = [m.observe(part) for m, part in zip(self.submodels, y, strict=True)]
        most = max(x.shape[1] for x in shown)
        pad = lambda x: [(0, 0), (0, most - x.shape[1])]  # noqa: E731
        return self._join([jnp.pad(x, pad(x), constant_values=jnp.nan) for x in shown])

    # The engine's questions ------------------------------------------------------

    def _overrides(self, *methods: str) -> bool:
        """Whether a user's subclass replaced one of these public methods."""
        return replaced(self, MultiNeuronModel, *methods)

    def _as_told(self) -> bool:
        return self._overrides(*PUBLIC)

    def _is_independent(self, chosen: slice | np.ndarray = slice(0, None)) -> bool:
        kinds = np.unique(self.type_ids.value[chosen])
        parts = [self.submodels[kind]._is_independent() for kind in kinds]
        return all(parts) and not self._as_told()

    def _kinds(self, n_neurons: int) -> np.ndarray:
        return self.type_ids.value

    def flow(self) -> AbstractFlow | None:
        flows = [m.flow() for m in self.submodels]
        if self._as_told() or any(flow is None for flow in flows):
            return None
        return Parallel(tuple(flow for flow in flows if flow is not None))

    def sender_leaves(self) -> list[Any]:
        if self._as_told():
            return []
        return [leaf for m in self.submodels for leaf in m.sender_leaves()]

    def _spread(self, values: Array, z: PyTree) -> PyTree:
        triples = zip(self.submodels, self._split(values), z, strict=True)
        return tuple(m._spread(mine, part) for m, mine, part in triples)

    def _unpack(self, y: PyTree) -> PyTree:
        if self._as_told():
            return y
        pairs = zip(self.submodels, y, strict=True)
        return tuple(m._unpack(part) for m, part in pairs)

    def _pack(self, z: PyTree) -> PyTree:
        if self._as_told():
            return z
        pairs = zip(self.submodels, z, strict=True)
        return tuple(m._pack(part) for m, part in pairs)

    def units(self, largest: PyTree) -> PyTree:
        if self._as_told():
            return largest
        pairs = zip(self.submodels, largest, strict=True)
        return tuple(m.units(part) for m, part in pairs)

    def _slope(self, t: Any, z: PyTree, motions: Any = None) -> PyTree:
        if self._as_told():
            return super()._slope(t, z)
        pairs = zip(motions or self.submodels, z, strict=True)
        return tuple(m._slope(t, part) for m, part in pairs)

    def _gap(self, t: Any, z: PyTree, motions: Any = None) -> Any:
        if self._as_told():
            return super()._gap(t, z)
        pairs = zip(motions or self.submodels, z, strict=True)
        return self._join([m._gap(t, part) for m, part in pairs])

    def _fire(self, z: PyTree, fired: Any, motions: Any = None) -> PyTree:
        if self._as_told():
            return super()._fire(z, fired)
        triples = zip(motions or self.submodels, z, self._split(fired), strict=True)
        return tuple(m._fire(part, who) for m, part, who in triples)

    def receive(
        self, z: PyTree, sender: Any, rows: Any, reached: Any, motions: Any = None
    ) -> PyTree:
        if self._as_told():
            return super().receive(z, sender, rows, reached)
        parts = (motions or self.submodels, z, self._rows(rows), self._split(reached))
        return tuple(
            m.receive(part, sender, own, who)
            for m, part, own, who in zip(*parts, strict=True)
        )

    def _alarm(self, z: PyTree, motions: Any = None) -> Any:
        pairs = zip(motions or self.submodels, z, strict=True)
        alarms = [m._alarm(part) for m, part in pairs]
        if all(alarm is None for alarm in alarms):
            return None
        counts = np.bincount(self.type_ids.value, minlength=len(alarms))
        never = [jnp.full((n,), jnp.inf, self.dtype) for n in counts]
        return self._join(
            [n if a is None else a for a, n in zip(alarms, never, strict=True)]
        )

    def _ring(self, z: PyTree, rings: Any, motions: Any = None) -> PyTree:
        triples = zip(motions or self.submodels, z, self._split(rings), strict=True)
        return tuple(m._ring(part, who) for m, part, who in triples)


def _check_types(ids: Any, n_neurons: int, n_models: int) -> np.ndarray:
    check_static("neuron_type_ids", ids)
    array = np.asarray(ids)
    whole = np.issubdtype(array.dtype, np.integer)
    if array.shape != (n_neurons,) or not whole:
        raise ValueError(
            f"`neuron_type_ids` must be whole numbers of shape ({n_neurons},), the "
            f"model of each neuron; got dtype {array.dtype}, shape {array.shape}."
        )
    found = np.unique(array).tolist()
    if found != list(range(n_models)):
        raise ValueError(
            f"`neuron_type_ids` must hold every number from 0 to {n_models - 1}, one "
            f"for each of `neuron_models`; got {found}."
        )
    return array.astype(np.int64)
