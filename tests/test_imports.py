"""The layers import downwards only, and every public name says what it is."""

import ast
from pathlib import Path

import pytest

import eventax
from eventax import (
    connectivity,
    datasets,
    encoding,
    evnn,
    initialization,
    io,
    losses,
    metrics,
    monitor,
    neuron_models,
    plot,
    testing,
)

PUBLIC = [
    connectivity,
    datasets,
    encoding,
    evnn,
    initialization,
    io,
    losses,
    metrics,
    monitor,
    neuron_models,
    plot,
    testing,
]

PACKAGE = Path(eventax.__file__).parent

# What a layer must not know of.
ABOVE = {"_native", "_networks", "_saving", "evnn", "neuron_models", "initialization"}
ABOVE |= {"_exchange", "plot", "monitor"}
ASIDE = {"losses", "metrics", "encoding", "datasets", "connectivity"}
CORE = {"_flows", "_neurons", "_engine", "_layers"}
FORBIDDEN = {
    "_static": CORE | ABOVE | ASIDE,
    "_flows": (CORE - {"_flows"}) | ABOVE | ASIDE,
    "_neurons": {"_engine", "_layers"} | ABOVE | ASIDE,
    "_engine": {"_neurons", "_layers"} | ABOVE | ASIDE,
    "_layers": {"_neurons"} | ABOVE | ASIDE,
    "_native": {"_layers"} | (ABOVE - {"_native"}) | ASIDE,
    "_networks": (ABOVE - {"_native", "_networks"}) | ASIDE,
    "_saving": (ABOVE - {"_networks", "_saving"}) | ASIDE,
    "initialization": {"plot"},
    "monitor": CORE - {"_neurons"} | (ABOVE - {"_networks", "monitor"}) | ASIDE,
    "plot": {"_flows", "_engine", "_layers", "_saving", "initialization", "datasets"},
    "_exchange": (ABOVE - {"_native", "_networks", "_exchange"}) | ASIDE,
    # They know arrays, and no network.
    "_arguments": CORE | ABOVE | ASIDE,
    **{name: CORE | ABOVE | (ASIDE - {name}) for name in sorted(ASIDE)},
}


def sources(layer):
    path = PACKAGE / layer
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def imported(source):
    """Dotted names of what a file imports, those under TYPE_CHECKING too."""
    here = ("eventax", *source.relative_to(PACKAGE).with_suffix("").parts)
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # One leading dot is the package that the file is in.
            base = here[: len(here) - node.level] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_a_layer_imports_no_higher_one(layer):
    files = sources(layer)
    assert files
    for source in files:
        parts = [name.split(".") for name in imported(source)]
        layers = {p[1] for p in parts if p[0] == "eventax" and len(p) > 1}
        assert not layers & FORBIDDEN[layer], source


def test_the_check_sees_imports():
    """Of the networks layer, which imports every lower one."""
    names = {n for source in sources("_networks") for n in imported(source)}
    assert "eventax._engine.run" in names
    assert "eventax._neurons.NeuronModel" in names
    assert "eventax._networks._choices.choose_flow" in names
    assert "jax" in names


def test_public_modules_only_name_things():

    for module in PUBLIC:
        tree = ast.parse(Path(module.__file__).read_text("utf-8"))
        kinds = {type(node) for node in tree.body}
        assert kinds <= {ast.Expr, ast.ImportFrom, ast.Assign}


@pytest.mark.parametrize("module", [eventax, *PUBLIC])
def test_public_names_exist_and_are_documented(module):
    assert module.__doc__
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, type):
            assert len(value.__doc__.splitlines()) > 1, name
        elif not isinstance(value, str):
            assert value.__doc__, name


@pytest.mark.parametrize(
    "cls",
    [
        evnn.EvNN,
        evnn.FFEvNN,
        *(getattr(neuron_models, name) for name in neuron_models.__all__),
    ],
)
def test_public_methods_are_documented(cls):
    for name in dir(cls):
        value = getattr(cls, name)
        ours = str(getattr(value, "__module__", "")).startswith("eventax")
        if not name.startswith("_") and callable(value) and ours:
            documented = [vars(c)[name].__doc__ for c in cls.__mro__ if name in vars(c)]
            assert any(documented), f"{cls.__name__}.{name}"
