"""What the kernels of the long run share: the records they are given and the columns of their tables."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.cpu.parts.plasticity_records import Flights, Learning

# Columns of a part's table of groups: where the group's arrays begin; -1 where it has none.
(ROWS, SEGMENT_ROWS, TARGETS, WEIGHTS) = range(4)
# Columns of the table of groups that all parts share.
(DELAY, ZERO_DELAY, PLASTIC, TRACKED) = range(4)
# Fields of a spike on its way to a part: when its next synapses are due, where they begin and how many they are,
# where the row goes on, who sent it, and over a plastic group the number of its flight.
(DUE, SYNAPSE, COUNT, SEGMENT, SEGMENT_END, GROUP, SENDER, FLIGHT) = range(8)
N_FIELDS = 8
# Numbers that a part carries from one window to the next: records of spikes on their way and how many of them are
# done, spikes in the log, neurons to visit, the tick, box and stage of the present window (see `long_engine`), and rows
# that its spikes reach.
(ACTIVE, FINISHED, LOGGED, TOUCHED, TICK, BOX, STAGE, REACHED) = range(8)
N_NUMBERS = 8
# Outcomes of running window after window.
(DONE, LACKS_ROOM, LEFT_ALONE) = range(3)
#: Whole numbers that fill a line of the cache.
APART = 8
#: Later than every tick; typed, since Numba would compile functions once more for a literal.
NEVER = np.int64(2**62)


class Part(NamedTuple):
    """Own neurons of a part, all synapses onto them, and room to work in.

    Parameters
    ----------
    number : int
    low, high : ndarray of int64, shape (populations,)
        Own neurons of each population.
    base : ndarray of int64, shape (populations,)
        Place in the plane of receptor 0 of the first own neuron; receptor r begins ``high - low`` later.
    plane : ndarray, shape (accumulators,)
        Input of the present tick.
    groups : ndarray of int64, shape (groups, 4)
    rows : ndarray of int64
        For each group, where the row of each source begins, and where the last ends.
    segment_rows : ndarray of int64
        The same for the segments of groups whose delays differ.
    targets : ndarray of uint16
        Place in the plane.
    segments : ndarray of uint16
        Low byte: ticks after the segment before; high byte: number of synapses.
    weights : ndarray
    scratch : ndarray
        Room for the step kernels.
    fired : ndarray of int32
    slot_of : ndarray of int32, shape (accumulators,)
        Place in the plane of receptor 0 of the same neuron; empty where no population is visited by events.
    marks : ndarray of uint8, shape (accumulators,)
        Whether a neuron stands in the list of those to visit.
    lists : ndarray of int32, shape (2, accumulators)
        Neurons to visit in this tick and in the next.
    learning : Learning
        What plastic groups need besides.
    """

    number: int
    low: NDArray[Any]
    high: NDArray[Any]
    base: NDArray[Any]
    plane: NDArray[Any]
    groups: NDArray[Any]
    rows: NDArray[Any]
    segment_rows: NDArray[Any]
    targets: NDArray[Any]
    segments: NDArray[Any]
    weights: NDArray[Any]
    scratch: NDArray[Any]
    fired: NDArray[Any]
    slot_of: NDArray[Any]
    marks: NDArray[Any]
    lists: NDArray[Any]
    learning: Learning


class Shared(NamedTuple):
    """What all parts read.

    Parameters
    ----------
    order, position : ndarray of int64, shape (populations,)
        Populations in order of the schedule, and the place of each in it.
    steps : ndarray of int64, shape (populations,)
        Address of each population's step kernel; 0 for sources.
    populations, receptors, drives : ndarray of int64
    coefficients : ndarray
    thresholds : ndarray of int32
        Tables of `population_tables`.
    first_group : ndarray of int64, shape (populations + 1,)
        The groups of each source population.
    groups : ndarray of int64, shape (groups, 4)
    constant : ndarray, shape (groups,)
        Weight of the groups that have one for all synapses.
    by_events : ndarray of int64, shape (populations,)
        1 where neurons are visited only when events reach them.
    visit_values : ndarray of float64
    visit_table : ndarray of int64
        See `snnsim.backends.cpu.long_run.event_driven`.
    window : int
        Ticks between two exchanges of spikes: the shortest delay.
    """

    order: NDArray[Any]
    position: NDArray[Any]
    steps: NDArray[Any]
    populations: NDArray[Any]
    receptors: NDArray[Any]
    drives: NDArray[Any]
    coefficients: NDArray[Any]
    thresholds: NDArray[Any]
    first_group: NDArray[Any]
    groups: NDArray[Any]
    constant: NDArray[Any]
    by_events: NDArray[Any]
    visit_values: NDArray[Any]
    visit_table: NDArray[Any]
    window: int


class Senders(NamedTuple):
    """Events of the source populations during one call.

    Parameters
    ----------
    populations : ndarray of int64, shape (sources,)
    offsets : ndarray of int64, shape (sources + 1,)
    ticks : ndarray of int64
        Counted from the start of the call.
    numbers : ndarray of int32
    """

    populations: NDArray[Any]
    offsets: NDArray[Any]
    ticks: NDArray[Any]
    numbers: NDArray[Any]


class Mail(NamedTuple):
    """Spikes that the parts send to each other, in two boxes used in turn.

    Parameters
    ----------
    keys : ndarray of int64, shape (2, parts, spikes)
        Tick within the window times the number of populations, plus place in the schedule: ascending.
    numbers : ndarray of int32, shape (2, parts, spikes)
        Neuron within its population.
    counts : ndarray of int64, shape (2, parts, `APART`)
        Number of spikes; only the first of the `APART` is used, so that each part writes to a line of the cache of its
        own.
    next_ticks : ndarray of int64, shape (2, parts, `APART`)
        Tick at which a part next has something to do if nothing is sent.
    barrier : ndarray of int64
    threads : int
    exchange : int
        Address of the function that brings the spikes of other processes (see `snnsim.backends.cpu.long_run.mpi`), or
        0.
    """

    keys: NDArray[Any]
    numbers: NDArray[Any]
    counts: NDArray[Any]
    next_ticks: NDArray[Any]
    barrier: NDArray[Any]
    threads: int
    exchange: int


class Traces(NamedTuple):
    """What a part records of the states of its neurons.

    Parameters
    ----------
    table : ndarray of int64, shape (traces, 6)
        Columns as in `snnsim.backends.cpu.recordings.engine`, and the population.
    neurons, columns : ndarray of int64
        Own neurons, and the column of `values` of each.
    values : ndarray
    """

    table: NDArray[Any]
    neurons: NDArray[Any]
    columns: NDArray[Any]
    values: NDArray[Any]


class Run(NamedTuple):
    """State and counters of the whole run, which each part changes only for its own neurons.

    Parameters
    ----------
    floats : ndarray
    held : ndarray of int32
        Refractory ticks left.
    visited : ndarray of int64
        Tick up to which a neuron is advanced, of populations visited by events.
    spike_counts : ndarray of int64
        Spikes of each neuron.
    updates : ndarray of int64, shape (parts, populations + `APART`)
        Neurons advanced; what stands after the populations keeps the parts on lines of the cache of their own.
    recorded : ndarray of uint8, shape (populations,)
    start, end : int
        First tick, and the tick after the last.
    in_flight : bool
        Whether the ring of `floats` holds anything.
    """

    floats: NDArray[Any]
    held: NDArray[Any]
    visited: NDArray[Any]
    spike_counts: NDArray[Any]
    updates: NDArray[Any]
    recorded: NDArray[Any]
    start: int
    end: int
    in_flight: bool


class Carried(NamedTuple):
    """What a part carries from one window to the next.

    Parameters
    ----------
    active : ndarray of int64, shape (fields, spikes)
        Spikes on their way, in order of sending.
    due : ndarray of int64, shape (2, spikes)
        Room for numbers of spikes: over groups that learn nothing, and over plastic ones.
    numbers : ndarray of int64
    log_keys : ndarray of int64
    log_neurons : ndarray of int32
        Recorded spikes.
    now, later : ndarray of int64, shape (sources,)
        Next event of each source to act in its tick, and to be sent on.
    heads : ndarray of int64, shape (parts,)
    flights : Flights
    """

    active: NDArray[Any]
    due: NDArray[Any]
    numbers: NDArray[Any]
    log_keys: NDArray[Any]
    log_neurons: NDArray[Any]
    now: NDArray[Any]
    later: NDArray[Any]
    heads: NDArray[Any]
    flights: Flights
