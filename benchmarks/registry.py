"""Every benchmark. A new one is a worker module beside this file and an entry here."""

from harness.check import Check
from harness.comparison import Comparison, Row
from harness.curve import Curve

NUMERICAL_BOUND = 0.05

COMPARISONS = {
    "regression": Comparison(
        name="regression",
        worker="regression",
        rows=(Row("peer"), Row("this")),
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

CHECKS = {
    "compilation": Check(
        name="two networks of equal settings share one compilation",
        worker="compilation",
        wanted={"second_traces": 0, "second_compilations": 0},
    ),
}
