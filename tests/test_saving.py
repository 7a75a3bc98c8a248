"""A saved network comes back bit for bit, or not at all: nothing is lost in silence."""

import hashlib
import json
import pickle
import re
import warnings

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eventax import neuron_models
from eventax._saving._values import NotStorable, Writer
from eventax.evnn import EvNN, FFEvNN
from eventax.io import EVNN_REGISTRY, NEURON_MODEL_REGISTRY, load_evnn, save_evnn
from eventax.neuron_models import AMOS, LIF, QIF, NeuronModel, Refractory

KEY = jax.random.PRNGKey(3)
INPUTS = jnp.array([[1.0, 9.0], [3.0, jnp.inf]])
SIZES = {"n_neurons": 3, "in_size": 2, "max_solver_time": 20.0}
LAYERS = {"layers": [2, 1], "in_size": 2, "max_solver_time": 20.0}
DRAWN = {"wlim": 4.0, "wmean": 0.0, "blim": 0.5, "bmean": 1.5}
MASK = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 1], [1, 0, 1], [1, 0, 0]])
# What each model needs beyond DRAWN; None is what it does not take.
MODELS = {
    "LIF": {"thresh": 1.0, "tsyn": 5.0, "tmem": np.array([10.0, 12.0, 14.0])},
    "QIF": {"tsyn": 5.0, "tmem": np.array([10.0, 12.0, 14.0])},
    "PLIF": {"thresh": 1.0, "init_tmem": 10.0, "init_tsyn": 5.0},
    "PQIF": {"init_tmem": 10.0, "init_tsyn": 5.0},
    "ALIF": {
        "tmem": 10.0,
        "ta": 20.0,
        "b0": 1.0,
        "beta": 0.5,
        "wmean": None,
        "bmean": None,
    },
    "EIF": {"tmem": 10.0, "tsyn": 5.0},
    "EGRU": dict.fromkeys(DRAWN),
    "Izhikevich": {},
    "pIzhikevich": {},
}


def exported(name):
    """A public name, or the test is skipped for as long as there is none."""
    if not hasattr(neuron_models, name):
        pytest.skip(f"{name} is not there yet")
    return getattr(neuron_models, name)


def lif(**changes):
    """Keywords of a small LIF network that needs no key."""
    keywords = {"thresh": 1.0, "tsyn": 5.0, "tmem": 10.0}
    return SIZES | {"init_weights": 6.0, "init_bias": 0.5} | keywords | changes


def save(folder, model, config):
    """Save; a warning is an error."""
    path = folder / "net.eventax"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_evnn(path, model, config)
    return path


def assert_same_bits(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert type(x) is type(y)
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def fails(error, *words):
    """The error's message holds all of these, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(w) for w in words))


@pytest.fixture
def saved(tmp_path):
    config = lif()
    return save(tmp_path, EvNN(LIF, **config), config)


def rewritten(path, change, magic=b"eventax network 1"):
    """The same file with another header, and a checksum that fits."""
    _, text, blocks = path.read_bytes()[:-32].split(b"\n", 2)
    header = json.loads(text)
    change(header)
    content = b"\n".join([magic, json.dumps(header).encode(), blocks])
    path.write_bytes(content + hashlib.sha256(content).digest())


# Round trips --------------------------------------------------------------------------


@pytest.mark.parametrize("network", [EvNN, FFEvNN])
@pytest.mark.parametrize("name", MODELS)
def test_every_model_comes_back_bit_for_bit(tmp_path, network, name):
    model = exported(name)
    sizes = {**SIZES, "wmask": MASK} if network is EvNN else LAYERS
    config = {k: v for k, v in (DRAWN | MODELS[name]).items() if v is not None} | sizes
    net = network(neuron_model=model, key=KEY, **config)
    given = {"key": KEY, "neuron_model": model, **config}
    path = save(tmp_path, net, given)
    loaded, restored = load_evnn(path, jax.random.PRNGKey(4))
    assert type(loaded) is network
    assert type(loaded.neuron_model) is model
    assert_same_bits(loaded, net)
    assert restored.keys() == config.keys()
    assert_same_bits(load_evnn(path, None)[0], net)


def test_results_are_bit_identical(tmp_path):
    config = SIZES | DRAWN | MODELS["QIF"]
    config |= {"wmask": MASK, "max_solver_time": 60.0}
    net = EvNN(QIF, key=KEY, **config)
    loaded, _ = load_evnn(save(tmp_path, net, config), None)
    times, neurons, _ = net.record(INPUTS)
    assert neurons[0] >= 0
    assert_same_bits(loaded.record(INPUTS)[:2], (times, neurons))


def test_delays_come_back(tmp_path):
    delays = {"dlim": 3.0, "init_axonal_delays": np.linspace(0.1, 1, 5)}
    config = lif(init_weights=0.5, init_bias=1.5, **delays)
    net = EvNN(LIF, key=KEY, **config)
    loaded, _ = load_evnn(save(tmp_path, net, config), None)
    assert loaded.delays.shape == (5, 3)
    assert loaded.axonal_delays.shape == (5,)
    assert_same_bits(loaded, net)
    times, neurons, pending = net.record(INPUTS)
    assert max(pending) > 0
    assert_same_bits(loaded.record(INPUTS), (times, neurons, pending))


def test_float64(tmp_path):
    before = jax.config.jax_enable_x64
    try:
        jax.config.update("jax_enable_x64", True)
        config = lif(dtype=jnp.float64, tmem=jnp.array([1.0, 2.0, 3.0]) / 3)
        net = EvNN(LIF, **config)
        path = save(tmp_path, net, config)
        loaded, restored = load_evnn(path, None)
        assert_same_bits(loaded, net)
        assert restored["dtype"] is jnp.float64
        jax.config.update("jax_enable_x64", False)
        with fails(ValueError, str(path), "`tmem`", "float64", "jax_enable_x64"):
            load_evnn(path, None)
        with fails(ValueError, "`dtype`", "jax_enable_x64"):
            load_evnn(path, None, tmem=1.0)
    finally:
        jax.config.update("jax_enable_x64", before)


def test_the_arrays_of_now_are_saved_not_the_initial_ones(tmp_path):
    config = SIZES | DRAWN | MODELS["LIF"]
    net = EvNN(LIF, key=KEY, **config)
    trained = jax.tree.map(lambda x: x + 0.1, net)
    loaded, _ = load_evnn(save(tmp_path, trained, config), KEY)
    assert_same_bits(loaded, trained)
    assert not np.array_equal(loaded.neuron_model.ic, net.neuron_model.ic)


def test_values_that_are_not_numbers_are_kept(tmp_path):
    config = lif()
    net = eqx.tree_at(
        lambda n: n.neuron_model.ic,
        EvNN(LIF, **config),
        jnp.array([np.nan, -np.inf, -0.0], jnp.float32),
    )
    assert_same_bits(load_evnn(save(tmp_path, net, config), None)[0], net)


def test_the_returned_config_builds_and_saves(tmp_path):
    config = SIZES | DRAWN | MODELS["LIF"] | {"wmask": MASK}
    net = EvNN(LIF, key=KEY, **config)
    path = save(tmp_path, net, {"key": KEY, "neuron_model": LIF, **config})
    loaded, restored = load_evnn(path, None, max_event_steps=7)
    assert restored["max_event_steps"] == loaded.max_event_steps == 7
    again = type(loaded)(key=KEY, neuron_model=type(loaded.neuron_model), **restored)
    assert_same_bits(again, loaded)
    assert_same_bits(load_evnn(save(tmp_path, loaded, restored), None)[0], loaded)


def test_a_path_may_be_text_and_a_file_is_replaced_as_a_whole(tmp_path, monkeypatch):
    config = lif()
    net = EvNN(LIF, **config)
    path = str(tmp_path / "net")
    save_evnn(path, net, config)
    before = (tmp_path / "net").read_bytes()
    save_evnn(path, net, config, version=1)
    assert (tmp_path / "net").read_bytes() == before
    monkeypatch.setattr("os.fsync", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_evnn(path, net, config)
    assert (tmp_path / "net").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["net"]
    with pytest.raises(FileNotFoundError):
        load_evnn(tmp_path / "other", None)


# What cannot be stored ----------------------------------------------------------------


def test_what_has_no_safe_form_is_named_and_asked_for(tmp_path):
    controller = diffrax.PIDController(rtol=1e-4, atol=1e-6)
    config = lif(solver=diffrax.Tsit5(), stepsize_controller=controller)
    net = EvNN(LIF, **config)
    path = tmp_path / "net"
    with pytest.warns(UserWarning, match="is not saved") as caught:
        save_evnn(path, net, config)
    words = [str(w.message) for w in caught]
    assert [w.split()[0] for w in words] == ["`solver`", "`stepsize_controller`"]
    assert "Tsit5" in words[0]
    assert "load_evnn(path, key, solver=...)" in words[0]
    given = {k: config[k] for k in ("solver", "stepsize_controller")}
    with fails(ValueError, str(path), "without `solver`, `step", "solver=..., step"):
        load_evnn(path, None)
    with fails(ValueError, "without `stepsize_controller`", "PIDController"):
        load_evnn(path, None, solver=given["solver"])
    loaded, restored = load_evnn(path, None, **given)
    assert_same_bits(loaded, net)
    assert restored["solver"] is given["solver"]
    # An override may also be None.
    load_evnn(path, None, solver=None, stepsize_controller=None)


# A config that is not the model's -----------------------------------------------------


def test_only_networks_are_saved(tmp_path):
    with fails(TypeError, "`model`", "EvNN", "7"):
        save_evnn(tmp_path / "net", 7, {})
    with fails(TypeError, "`config`", "dict", "7"):
        save_evnn(tmp_path / "net", EvNN(LIF, **lif()), 7)
    with fails(ValueError, "`version` must be 1", "2"):
        save_evnn(tmp_path / "net", EvNN(LIF, **lif()), lif(), version=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("model", "config", "words"),
    [
        (lif(), lif(tmemm=1.0), ["`config`", "EvNN", "`tmemm`", "`tmem`"]),
        (lif(), SIZES, ["`config`", "building EvNN", "'thresh'"]),
        (lif(), lif(neuron_model=QIF), ["`config`", "QIF", "LIF"]),
        (lif(), lif(n_neurons=4), ["`neuron_model.", "(", "3", "in the model", "4"]),
        (lif(), lif(in_size=3), ["neuron_model.weights", "(5, 3)", "(6, 3)"]),
        (lif(wmask=MASK), lif(), ["wmask", "in the model", "`config` builds"]),
        (lif(max_event_steps=7), lif(), ["`max_event_steps` is 7", "1000"]),
        (lif(tmem=9.0), lif(), ["`neuron_model.tmem`", "9.", "10."]),
        (lif(solver=diffrax.Tsit5()), lif(), ["flow", "Numerical", "ClosedForm"]),
    ],
)
def test_a_config_that_does_not_build_the_model(tmp_path, model, config, words):
    net = EvNN(LIF, **model)
    with fails(ValueError, *words):
        save_evnn(tmp_path / "net", net, config)
    assert not list(tmp_path.iterdir())


def test_a_batch_of_networks_is_no_network(tmp_path):
    many = jax.tree.map(lambda x: jnp.stack([x, x]), EvNN(LIF, **lif()))
    with fails(ValueError, "`neuron_model.", "(2, ", "in the model", "`config` builds"):
        save_evnn(tmp_path / "net", many, lif())


def test_overrides_replace_and_must_fit(saved):
    loaded, restored = load_evnn(saved, None, max_solver_time=9.0, thresh=2.0)
    assert loaded.max_solver_time == restored["max_solver_time"] == 9.0
    assert loaded.neuron_model.thresh.value == restored["thresh"] == 2.0
    words = ["neuron_model.weights", "(5, 3) in the file", "(6, 3) in the network"]
    with fails(ValueError, str(saved), *words):
        load_evnn(saved, None, in_size=3)
    with fails(TypeError, "`tmemm`", "`tmem`"):
        load_evnn(saved, None, tmemm=3.0)
    with fails(ValueError, str(saved), "neuron_model.b", "absent in the file"):
        load_evnn(saved, None, neuron_model_registry={"LIF": Twofold})


# Classes ------------------------------------------------------------------------------


class Mine(LIF):
    """A user's model."""


class Twofold(LIF):
    """A user's model with a leaf of its own, a number, and what does not compare."""

    b: jax.Array
    gain: float
    squash: object

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.b = jnp.zeros((), self.dtype)
        self.gain = 0.5
        self.squash = lambda x: x


class Network(EvNN):
    """A user's network."""


def named(name, base):
    return type(name, (base,), {})


def test_a_model_of_ones_own(tmp_path):
    config = lif()
    net = EvNN(Mine, **config)
    path = save(tmp_path, net, config)
    words = ["`Mine`", Mine.__module__, "`neuron_model_registry`", "neuron_model=..."]
    with fails(ValueError, str(path), *words):
        load_evnn(path, None)
    registry = NEURON_MODEL_REGISTRY | {"Mine": Mine}
    for given in ({"neuron_model": Mine}, {"neuron_model_registry": registry}):
        loaded, restored = load_evnn(path, None, **given)
        assert_same_bits(loaded, net)
        assert restored == config


def test_all_that_a_model_of_ones_own_holds(tmp_path):
    config = lif()
    net = eqx.tree_at(lambda n: n.neuron_model.gain, EvNN(Twofold, **config), 0.75)
    loaded, _ = load_evnn(save(tmp_path, net, config), None, neuron_model=Twofold)
    assert loaded.neuron_model.gain == 0.75
    assert loaded.neuron_model.squash(3) == 3


def test_a_network_of_ones_own(tmp_path):
    config = lif()
    net = Network(LIF, **config)
    path = save(tmp_path, net, config)
    with fails(ValueError, str(path), "`Network`", "`evnn_registry`"):
        load_evnn(path, None)
    registry = EVNN_REGISTRY | {"Network": Network}
    assert_same_bits(load_evnn(path, None, evnn_registry=registry)[0], net)


def test_ones_own_model_does_not_become_the_built_in_one_of_its_name(tmp_path):
    config = lif()
    own = named("LIF", LIF)
    path = save(tmp_path, EvNN(own, **config), config)
    with fails(ValueError, "`LIF`", own.__module__, "neuron_model=..."):
        load_evnn(path, None)
    loaded, _ = load_evnn(path, None, neuron_model_registry={"LIF": own})
    assert type(loaded.neuron_model) is own


@pytest.mark.parametrize(
    ("saved_as", "given", "words"),
    [
        (LIF, Mine, ["of eventax's LIF,", "is your Mine.", "{'LIF': ...}"]),
        (LIF, named("LIF", LIF), ["of eventax's LIF,", "is your LIF."]),
        (Mine, LIF, ["of your Mine,", "is eventax's LIF.", "{'Mine': ...}"]),
        (Refractory(Mine), Mine, ["of Refractory(your Mine),", "is your Mine."]),
        (Mine, Refractory(Mine), ["of your Mine,", "is Refractory(your Mine)."]),
        (
            AMOS(LIF, stop_incoming=True),
            AMOS(LIF),
            ["stop_incoming=True)", "stop_incoming=False)"],
        ),
    ],
)
def test_another_model_than_the_saved_one(tmp_path, saved_as, given, words):
    pause = {"t_refrac": 1.0} if saved_as is Refractory(Mine) else {}
    config = lif() | pause
    net = EvNN(saved_as, **config)
    path = save(tmp_path, net, config)
    with fails(ValueError, str(path), *words):
        load_evnn(path, None, neuron_model=given)
    assert_same_bits(load_evnn(path, None, neuron_model=saved_as)[0], net)


def test_what_is_no_model_at_all(saved):
    with fails(TypeError, str(saved), "`neuron_model`", "class", "3"):
        load_evnn(saved, None, neuron_model=3)


def test_two_classes_of_one_name_are_not_told_apart():
    with pytest.raises(NotStorable, match="two classes are named LIF"):
        Writer()([LIF, named("LIF", LIF)], "neuron_models")


def test_the_registries():
    assert {"EvNN": EvNN, "FFEvNN": FFEvNN} == EVNN_REGISTRY
    exports = {name: getattr(neuron_models, name) for name in neuron_models.__all__}
    models = {
        name: value
        for name, value in exports.items()
        if isinstance(value, type) and issubclass(value, NeuronModel)
    }
    assert models == NEURON_MODEL_REGISTRY
    assert NEURON_MODEL_REGISTRY["NeuronModel"] is NeuronModel


def test_wrapped_models(tmp_path):
    amos, refractory = exported("AMOS"), exported("Refractory")
    config = SIZES | DRAWN | MODELS["LIF"]
    for model, more in (
        (amos(LIF, freeze_dynamics=True), {}),
        (amos(LIF, stop_incoming=True), {}),
        (refractory(QIF), {"t_refrac": 2.0}),
        (amos(refractory(LIF)), {"t_refrac": 2.0}),
    ):
        given = config | more
        if model is refractory(QIF):
            del given["thresh"]
        net = EvNN(model, key=KEY, **given)
        loaded, _ = load_evnn(save(tmp_path, net, given), None)
        assert type(loaded.neuron_model) is model
        assert_same_bits(loaded, net)


def test_a_wrapped_model_of_ones_own(tmp_path):
    wrapped = exported("AMOS")(Mine)
    net = EvNN(wrapped, **lif())
    path = save(tmp_path, net, lif())
    with fails(ValueError, "`Mine`"):
        load_evnn(path, None)
    registry = NEURON_MODEL_REGISTRY | {"Mine": Mine}
    loaded, _ = load_evnn(path, None, neuron_model_registry=registry)
    assert type(loaded.neuron_model) is wrapped
    assert_same_bits(loaded, net)


def test_a_subclass_of_a_wrapped_class_is_a_class_of_its_own(tmp_path):
    own = named("Own", exported("AMOS")(LIF))
    path = save(tmp_path, EvNN(own, **lif()), lif())
    with fails(ValueError, "`Own`"):
        load_evnn(path, None)


def test_several_models_in_one_network(tmp_path):
    multi, amos = exported("MultiNeuronModel"), exported("AMOS")
    config = {
        **LAYERS,
        "neuron_models": [amos(LIF), QIF],
        "neuron_model_kwargs": [
            DRAWN | {"thresh": 1.0, "tsyn": np.array([5.0, 6.0]), "tmem": 10.0},
            DRAWN | {"tsyn": 5.0, "tmem": 10.0},
        ],
        "neuron_type_ids": jnp.array([0, 0, 1], jnp.int32),
    }
    net = FFEvNN(neuron_model=multi, key=KEY, **config)
    loaded, restored = load_evnn(save(tmp_path, net, config), None)
    assert restored["neuron_models"] == config["neuron_models"]
    assert_same_bits(loaded, net)
    assert_same_bits(loaded.record(INPUTS), net.record(INPUTS))


# Files --------------------------------------------------------------------------------


def test_a_changed_byte_anywhere_is_found(saved):
    content = saved.read_bytes()
    places = {*range(24), *range(24, len(content), 29)}
    places |= {*range(len(content) - 40, len(content))}
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        saved.write_bytes(changed)
        with fails(ValueError, str(saved)):
            load_evnn(saved, None)


def test_a_damaged_file_says_so(saved):
    content = saved.read_bytes()
    middle = content.index(b"thresh")
    changed = content[:middle] + b"Thresh" + content[middle + 6 :]
    short = [content[:n] for n in (17, 18, 19, 40, len(content) // 2, len(content) - 1)]
    for damaged in (changed, content + b"x", *short):
        saved.write_bytes(damaged)
        with fails(ValueError, str(saved), "damaged", "checksum", "cut off"):
            load_evnn(saved, None)


@pytest.mark.parametrize("content", [b"", b"{}", b"\x93NUMPY", b"eventax", b"\n" * 99])
def test_a_foreign_file_says_so(saved, content):
    saved.write_bytes(content)
    with fails(ValueError, str(saved), "not a network that eventax.io.save_evnn wrote"):
        load_evnn(saved, None)


def test_a_newer_file_says_so(saved):
    content = saved.read_bytes().replace(b"network 1\n", b"network 12\n", 1)
    saved.write_bytes(content)
    with fails(ValueError, str(saved), "version 12", "up to 1", "newer eventax"):
        load_evnn(saved, None)


def without(name):
    return lambda header: header.pop(name)


def with_none(name):
    return lambda header: header.update({name: None})


@pytest.mark.parametrize("version", [b"", b"0", b"01", b"-1", b"9" * 5000, b"\xb2"])
def test_a_version_that_is_none_says_so(saved, version):
    rewritten(saved, lambda header: None, magic=b"eventax network " + version)
    with fails(ValueError, str(saved), "not", "wrote", "version"):
        load_evnn(saved, None)


@pytest.mark.parametrize(
    "change",
    [
        *(f(x) for f in (without, with_none) for x in ("omitted", "config", "leaves")),
        *(f(x) for f in (without, with_none) for x in ("network", "neuron_model")),
        lambda header: header.update(more={}),
        lambda header: header["config"].update(key=0),
        lambda header: header["config"].update(neuron_model="LIF"),
        lambda header: header["config"].update(thresh={}),
        lambda header: header["config"].update(thresh={"type": "system"}),
        lambda header: header["leaves"].update(ic={"jax": ["<f4", [2], 10**6]}),
        lambda header: header["leaves"].update(ic={"jax": ["<f4", [2], -8]}),
    ],
)
def test_a_header_that_is_none_says_so(saved, change):
    # With a checksum that fits.
    rewritten(saved, change)
    with fails(ValueError, str(saved), "not", "wrote", "header"):
        load_evnn(saved, None)


class Trap:
    """Runs code when it is unpickled."""

    sprung = False

    @staticmethod
    def spring():
        Trap.sprung = True

    def __reduce__(self):
        return Trap.spring, ()


def test_nothing_in_a_file_is_executed(saved):
    content = saved.read_bytes()
    trap = pickle.dumps(Trap())
    for payload in (trap, b"eventax network 1\n" + trap):
        saved.write_bytes(payload)
        with fails(ValueError, str(saved)):
            load_evnn(saved, None)

    def change(x):
        return lambda header: header["config"].update(thresh=x)

    # With a checksum that fits.
    for x in (
        {"pickle": trap.hex()},
        {"numpy": ["|O", [1], 0]},
        {"numpy": ["f4,O", [1], 0]},
        {"class": {"wrapper": "eval", "of": {}, "options": "1"}},
        {"class": {"name": "Trap", "module": __name__}},
    ):
        saved.write_bytes(content)
        rewritten(saved, change(x))
        with pytest.raises(ValueError, match=r"unknown|cannot create|needs the class"):
            load_evnn(saved, None)
    assert not Trap.sprung
    pickle.loads(trap)
    assert Trap.sprung
