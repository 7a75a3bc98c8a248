"""Values of a config: what a file can hold comes back as it was."""

import json
import math
import struct
from collections import namedtuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eventax._saving._values import NotStorable, Reader, Writer
from eventax.io import NEURON_MODEL_REGISTRY
from eventax.neuron_models import LIF, QIF


def round_trip(x):
    write = Writer()
    text = json.dumps(write(x, "x"), allow_nan=False)
    registries = {"neuron_model_registry": NEURON_MODEL_REGISTRY}
    return Reader("file", b"".join(write.blocks), **registries)(json.loads(text), "x")


@pytest.mark.parametrize(
    "x",
    [
        None,
        True,
        0,
        -(2**80),
        0.1,
        1e16,
        5e-324,
        math.inf,
        -math.inf,
        "",
        'µ "\n\ud800',
        [],
        (),
        {},
        [1, (2.0, [None]), {"a": (True,), 3: "b", (1, 2): {}}],
        {"tuple": [1]},
    ],
)
def test_plain_values_come_back_as_they_are(x):
    y = round_trip(x)
    assert y == x
    assert repr(y) == repr(x)


def test_numbers_that_do_not_compare():
    assert math.isnan(round_trip(math.nan))
    assert struct.pack("d", round_trip(-0.0)) == struct.pack("d", -0.0)


@pytest.mark.parametrize(
    "x",
    [
        np.arange(6.0).reshape(2, 3),
        np.arange(6, dtype=">i2").reshape(2, 3).T,
        np.array([[np.nan, -0.0, np.inf]], np.float16),
        np.array([True, False]),
        np.array(3 + 4j),
        np.zeros((0, 3)),
        np.array(["a", "µß"]),
        np.array(["2020-01-01"], "M8[D]"),
        np.float64(0.1),
        np.float32(0.1),
        np.bool_(True),
        np.int8(-3),
        np.array([1.5, np.inf], jnp.bfloat16),
        jnp.arange(3, dtype=jnp.int8),
        jnp.array(0.1, jnp.bfloat16),
        jnp.zeros((2, 0)),
        jax.random.PRNGKey(1),
    ],
    ids=repr,
)
def test_arrays_come_back_bit_for_bit(x):
    y = round_trip({"a": [x]})["a"][0]
    assert type(y) is type(x)
    assert (y.dtype, y.shape) == (x.dtype, x.shape)
    assert np.asarray(y).tobytes() == np.asarray(x).tobytes()


@pytest.mark.parametrize(
    "x",
    [jnp.float32, np.float32, jnp.float64, np.float64, jnp.bfloat16, np.bool_, float],
)
def test_types_come_back_as_the_same_object(x):
    assert round_trip(x) is x


def test_dtypes_and_classes_come_back():
    for x in (np.dtype("float32"), np.dtype(">i4"), jnp.dtype("bfloat16")):
        assert round_trip(x) == x
    assert round_trip([LIF, QIF]) == [LIF, QIF]


@pytest.mark.parametrize(
    "x",
    [
        lambda: None,
        object(),
        {1},
        b"a",
        2j,
        namedtuple("P", "x")(1),
        np.array([None]),
        np.zeros(2, [("a", "f4")]),
        np.ma.masked_array([1.0]),
        jax.random.key(0),
        jax.ShapeDtypeStruct((1,), jnp.float32),
        diffrax.Tsit5,
    ],
    ids=lambda x: type(x).__name__,
)
def test_what_would_not_come_back_is_not_stored(x):
    with pytest.raises(NotStorable, match=r"x\['a'\]\[1\] is a .*, which has no safe"):
        Writer()({"a": [1, x]}, "x")
