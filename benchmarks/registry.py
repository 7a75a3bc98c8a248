"""Every benchmark. A new one is a worker module beside this file and an entry here."""

from typing import Any

from harness.check import Check
from harness.comparison import Comparison, Row
from harness.curve import Curve

NUMERICAL_BOUND = 0.05
COARSE_BOUND = 1.0
FINE_BOUND = 1e-3

# The other engine of this package, which takes long to compile: once is enough.
JAX = Row("this", settings='engine="jax"', options={"engine": "jax"}, rounds=1)

COMPARISONS = {
    "regression": Comparison(
        name="regression",
        worker="regression",
        rows=(Row("peer"), JAX, Row("this")),
    ),
    "numerical": Comparison(
        name="regression, numerical flow",
        worker="regression",
        rows=(
            Row("peer", bound=NUMERICAL_BOUND),
            Row(
                "this",
                settings="Bosh3, PID, rtol 0, atol 5e-4",
                options={"solver": "Bosh3", "rtol": 0, "atol": 5e-4},
                bound=NUMERICAL_BOUND,
            ),
            Row(
                "this",
                settings="Heun, step 0.1",
                options={"solver": "Heun", "solver_stepsize": 0.1},
                bound=NUMERICAL_BOUND,
            ),
            # Of the settings that the peer completes within the bound, the fastest.
            Row(
                "peer",
                settings="Heun, step 0.1",
                options={"solver": "Heun", "solver_stepsize": 0.1},
                bound=NUMERICAL_BOUND,
            ),
        ),
    ),
}


def _recurrent(problem: str, *other_rows: Row) -> Comparison:
    return Comparison(
        name=f"recurrent {problem}",
        worker="recurrent",
        options={"problem": problem},
        rows=(*other_rows, Row("this", bound=NUMERICAL_BOUND)),
    )


def _peer(settings: str = "", bound: float = NUMERICAL_BOUND, **options: Any) -> Row:
    """A row of the older package, which takes seconds for one call."""
    return Row("peer", settings=settings, options=options, bound=bound, rounds=1)


def _peers(bound: float = NUMERICAL_BOUND) -> tuple[Row, Row]:
    """Its step of 0.1 ms, and its default of 0.001."""
    return _peer("step 0.1", bound, solver_stepsize=0.1), _peer()


def _this(solver: str, tolerance: float, bound: float = NUMERICAL_BOUND) -> Row:
    """A row of this package with a looser tolerance than its own."""
    return Row(
        "this",
        settings=f"{solver}, PID, rtol = atol = {tolerance:g}",
        options={"solver": solver, "rtol": tolerance, "atol": tolerance},
        bound=bound,
    )


def _classifier(active: int, least: int | None = None) -> Comparison:
    inputs = str(active) if least is None else f"{least} to {active}"
    return Comparison(
        name=f"MNIST size 784-350-10, {inputs} inputs",
        worker="classifier",
        options={"hidden": [350], "active": active, "least": least},
        rows=(JAX, Row("this")),
    )


def _speech(spikes: int, *others: Row) -> Comparison:
    """Rounding decides about some spikes of so many: their order is chaotic."""
    double = Row("this", settings="float64", options={"double": True})
    return Comparison(
        name=f"recurrent 700-256-20, {spikes} spikes per neuron",
        worker="speech",
        options={"network": f"{spikes} spikes"},
        rows=(*others, double, Row("this")),
    )


# Of the older package: its commonest setting, for EIF its default (a step of 0.001: on
# the others a call takes minutes), and the fastest found that keep the spikes within
# NUMERICAL_BOUND and within FINE_BOUND.
COMPARISONS |= {
    "eif": _recurrent(
        "eif",
        _peer("step 0.1", solver_stepsize=0.1),
        _peer(),
        _peer("step 0.003", solver_stepsize=0.003),
        _peer("Heun, step 0.001", FINE_BOUND, solver="Heun", solver_stepsize=0.001),
    ),
    "izhikevich": _recurrent(
        "izhikevich",
        _peer("step 0.1", COARSE_BOUND, solver_stepsize=0.1),
        _peer("Heun, step 0.1", solver="Heun", solver_stepsize=0.1),
        _peer("Heun, step 0.01", FINE_BOUND, solver="Heun", solver_stepsize=0.01),
        # As coarse as the older package at its fast settings.
        _this("Bosh3", 3e-3, COARSE_BOUND),
        _this("Bosh3", 5e-5),
    ),
    # No setting was found that brings it within FINE_BOUND.
    "egru": _recurrent(
        "egru",
        _peer("step 0.1", solver_stepsize=0.1),
        _peer("Heun, step 0.1", solver="Heun", solver_stepsize=0.1),
        _this("Bosh3", 5e-5),
    ),
    "yin-yang-delays": Comparison(
        name="Yin-Yang 5-20-3, trainable delays",
        worker="yin_yang",
        options={"classifier": "delays"},
        rows=(*_peers(), JAX, Row("this")),
    ),
    "yin-yang": Comparison(
        name="Yin-Yang 5-120-3",
        worker="yin_yang",
        options={"classifier": "plain"},
        rows=(*_peers(COARSE_BOUND), JAX, Row("this")),
    ),
    # Its times are in µs.
    "jaxsnn-example": Comparison(
        name="jaxsnn's example 5-100-3, a step (µs, not ms)",
        worker="jaxsnn_example",
        rows=(
            Row("jaxsnn", options={"package": "jaxsnn"}),
            JAX,
            Row("this"),
        ),
    ),
    "single": _recurrent("lif", *_peers(), JAX),
    "speech-small": Comparison(
        name="recurrent 50-24-4",
        worker="speech",
        options={"network": "small"},
        rows=(
            *_peers(),
            Row("jaxsnn", options={"package": "jaxsnn"}),
            JAX,
            Row("this", settings="float64", options={"double": True}),
            Row("this"),
        ),
    ),
    "speech-14": _speech(14),
    "speech-50": _speech(50, JAX),
    "mnist-150": _classifier(150),
    "mnist-400": _classifier(400),
    "mnist-mixed": _classifier(720, 50),
    "eventprop-memory": Comparison(
        name="578 events per sample",
        worker="recurrent",
        options={"problem": "many-events"},
        rows=(
            Row("this", bound=NUMERICAL_BOUND),
            Row(
                "this",
                settings="EventPropAdjoint()",
                options={"eventprop": True},
                bound=NUMERICAL_BOUND,
            ),
        ),
    ),
}

CURVES = {
    f"growth-{model.lower()}": Curve(
        name=f"recurrent {model} neurons",
        worker="growth",
        function="measure_neurons",
        size="neurons",
        values=(10, 30, 100, 300, 1000, 2000),
        quick_values=(10, 100),
        options={"model": model},
    )
    for model in ("LIF", "QIF")
} | {
    "growth-batch": Curve(
        name="regression network",
        worker="growth",
        function="measure_batch",
        size="batch",
        values=(1, 4, 16, 64, 256, 1024),
        quick_values=(1, 64),
        options={},
    ),
}

CURVES |= {
    f"growth-{function}": Curve(
        name=name,
        worker="classifier",
        function=f"measure_{function}",
        size=size,
        values=values,
        quick_values=values[:2],
        options={},
    )
    for function, name, size, values in (
        ("hidden", "classifier, hidden neurons", "neurons", (50, 100, 350, 1000, 2000)),
        ("inputs", "classifier, inputs per sample", "inputs", (10, 50, 150, 400, 784)),
        ("depth", "classifier, hidden layers of 100", "layers", (1, 2, 3, 4, 5)),
    )
}

CURVES |= {
    "growth-events": Curve(
        name="recurrent 700-256-20, spikes per neuron",
        worker="speech",
        function="measure_gain",
        size="spikes",
        values=(14, 30, 50, 100),
        quick_values=(14,),
        options={},
    ),
    "threads": Curve(
        name="recurrent 700-256-20, threads",
        worker="speech",
        function="measure_threads",
        size="threads",
        values=(1, 2),
        quick_values=(2,),
        options={},
    ),
}

CHECKS = {
    "compilation": Check(
        name="two networks of equal settings share one compilation",
        worker="compilation",
        wanted={"second_traces": 0, "second_compilations": 0},
    ),
}
