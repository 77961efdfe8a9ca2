"""The cases of bench/simulators.py: which network, how long, how near the rates must be, with which peers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: Settings that only one simulator has; the fastest of them (and of one and all threads) is compared.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "snnsim": [{"dtype": "float32"}],
    "nest": [{}],
    "brian2": [{"dtype": "float64"}, {"dtype": "float32"}],
}
PEERS = ("nest", "brian2")


@dataclass(frozen=True)
class Case:
    """One network to time.

    Parameters
    ----------
    circuit : str
        Function of `snnsim.circuits`.
    arguments, quick : dict
        Its arguments in full, and what takes their place with ``--quick``.
    tolerance : float
        Largest relative difference of the mean rate of a population of snnsim's and a peer's; between two networks of
        one kind that are drawn anew it is about a third of this.
    peers : tuple of str
    variant : dict
        Settings of every simulator in this case.
    note : str
        What a reader of the table should know.
    """

    circuit: str
    arguments: dict[str, Any] = field(default_factory=dict)
    quick: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 0.05
    peers: tuple[str, ...] = PEERS
    variant: dict[str, dict[str, Any]] = field(default_factory=dict)
    note: str = ""


RUNGE_KUTTA = "NEST integrates conductances with an adaptive Runge-Kutta method, it has no other for iaf_cond_exp"
#: Quick runs: a fifth of a second of small networks.
QUICK_SECONDS = 0.2

CASES: dict[str, Case] = {
    "brunel": Case("brunel", {"order": 2500}, {"order": 250}),
    "cuba 4k": Case("vogels_abbott_cuba", {"n": 4000}, tolerance=0.25),
    "cuba 40k": Case("vogels_abbott_cuba", {"n": 40000}, {"n": 8000}, tolerance=0.1),
    "coba 4k": Case("vogels_abbott_coba", {"n": 4000}, tolerance=0.25, note=RUNGE_KUTTA),
    "coba 40k": Case("vogels_abbott_coba", {"n": 40000}, {"n": 8000}, tolerance=0.1, note=RUNGE_KUTTA),
    "coba 4k euler": Case(
        "vogels_abbott_coba",
        {"n": 4000, "integration": "euler"},
        tolerance=0.25,
        peers=("brian2",),
        variant={"brian2": {"integration": "euler"}},
        note="forward Euler on both sides",
    ),
    "stdp small": Case("brunel_stdp", {"order": 1000}, {"order": 250}),
    "stdp": Case("brunel_stdp", {"order": 2500}, {"order": 300}),
    "microcircuit 0.1": Case("potjans_diesmann", {"scale": 0.1, "background": "poisson"}, {"scale": 0.05}, 0.25),
    "microcircuit 0.5": Case("potjans_diesmann", {"scale": 0.5, "background": "poisson"}, {"scale": 0.08}, 0.15),
    "microcircuit": Case(
        "potjans_diesmann", {"scale": 1.0, "background": "poisson"}, {"scale": 0.1}, peers=(), note="full size"
    ),
    "microcircuit dc": Case(
        "potjans_diesmann", {"scale": 1.0}, {"scale": 0.1}, peers=(), note="full size, constant currents from outside"
    ),
}
