"""What the kernels of plasticity share: the record they are given and the columns of its table."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Columns of the table of plastic groups, one row a group. Where arrays of the group begin: presynaptic ticks and
# traces, postsynaptic traces, history of postsynaptic spikes and its gains, eligibility, tables of decays.
(GROUP, SOURCE, TARGET, PLANE, OWN, SOURCES) = range(6)
(PRE, PRE_TRACES, POST, POST_TRACES, HISTORY, GAINS, ELIGIBILITY) = range(6, 13)
(PRE_DECAY, SLOW_PRE_DECAY, POST_DECAY, SLOW_POST_DECAY, ELIGIBILITY_DECAY) = range(13, 18)
# How many ticks each table of decays spans, in the same order.
SPANS = 18
# Ticks are counted from ORIGIN. Postsynaptic spikes before FLOOR have acted on all synapses; LATEST is the last one.
# NEAREST, TRIPLETS and ELIGIBLE tell the kind of rule, IN_ONE that of the tables of decays; weights are normalised
# EVERY so many ticks; LONGEST is the longest delay; ARRIVE and REPLAY are addresses of
# `snnsim.backends.cpu.plasticity.kernels`.
(ORIGIN, FLOOR, LATEST, NEAREST, TRIPLETS, ELIGIBLE, IN_ONE, EVERY, LONGEST, ARRIVE, REPLAY) = range(23, 34)
LEARNING_COLUMNS = 34

#: Postsynaptic spikes of a neuron that are kept until they have acted on all its synapses.
RANKS = 32
#: Synapses that are treated together.
BLOCK = 512
#: Elements of the lists of a block, of which the last ones, from EDGES on, tell where each list ends.
EDGES = BLOCK * (RANKS + 1)
SCRATCH = EDGES + RANKS + 1
#: A tick, counted from ORIGIN, before which nothing is left of any trace; none is later than `LAST_TICK`.
LONG_AGO, LAST_TICK = -(2**30), 2**29

# Fields of a spike on its way over a plastic group, in order of sending. PREVIOUS is the number of the spike that the
# same source sent before, and BEFORE its tick.
(FLIGHT_GROUP, FLIGHT_SOURCE, SENT, BEFORE, PREVIOUS) = range(5)
FLIGHT_FIELDS = 5
# Values of a flight: traces after the spike before, and the amplitude of the depression.
(TRACE_BEFORE, SLOW_TRACE_BEFORE, LOSS) = range(3)
FLIGHT_VALUES = 3
# Numbers that go with the flights: how many there are, and the number of the first.
(FLIGHTS, FIRST_FLIGHT) = range(2)


class Flights(NamedTuple):
    """Spikes on their way over plastic groups, in order of sending.

    Parameters
    ----------
    table : ndarray of int64, shape (fields, spikes)
    values : ndarray, shape (spikes, values)
    numbers : ndarray of int64, shape (2,)
    """

    table: NDArray[Any]
    values: NDArray[Any]
    numbers: NDArray[Any]


class Learning(NamedTuple):
    """Plastic groups of a part.

    Parameters
    ----------
    table : ndarray of int64, shape (plastic groups, columns)
    place : ndarray of int64, shape (groups,)
        Row of the table of each group of the engine; -1 where it is not plastic.
    coefficients : ndarray, shape (plastic groups, 6)
        As `snnsim.plasticity.Coefficients`.
    totals : ndarray of float64, shape (plastic groups,)
        Sums to which weights are normalised.
    pre_ticks : ndarray of int64
        When each source sent its last spike; counted from tick 0 of the run.
    pre_flights : ndarray of int64
        The number of that spike among the flights; -1 where it is older than all of them.
    pre_traces : ndarray
        Values after it; two rows where there are two traces.
    post_ticks : ndarray of int64
        When each own neuron fired last.
    post_traces : ndarray
    pending : ndarray of int32
        Spikes of each own neuron since FLOOR.
    history : ndarray of int32
        Ticks of the last spikes of each own neuron, ``[rank * OWN + neuron]``, the last one at rank 0.
    gains : ndarray
        Amplitudes of the potentiation by these spikes, where they differ.
    eligibility : ndarray
        In the order of the group's weights.
    decays : ndarray
        Tables: what is left after 0, 1, ... ticks, with a zero at the end.
    lists : ndarray of uint32
        Room to work in.
    flights : Flights
        Spikes on their way when the run began.
    """

    table: NDArray[Any]
    place: NDArray[Any]
    coefficients: NDArray[Any]
    totals: NDArray[Any]
    pre_ticks: NDArray[Any]
    pre_flights: NDArray[Any]
    pre_traces: NDArray[Any]
    post_ticks: NDArray[Any]
    post_traces: NDArray[Any]
    pending: NDArray[np.int32]
    history: NDArray[np.int32]
    gains: NDArray[Any]
    eligibility: NDArray[Any]
    decays: NDArray[Any]
    lists: NDArray[np.uint32]
    flights: Flights
