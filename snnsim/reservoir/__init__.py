"""Liquid-state machines: random recurrent networks that a linear readout looks at."""

from snnsim.reservoir.features import filtered_membranes as filtered_membranes
from snnsim.reservoir.features import filtered_spikes as filtered_spikes
from snnsim.reservoir.features import membranes as membranes
from snnsim.reservoir.features import spike_counts as spike_counts
from snnsim.reservoir.liquid_network import DistanceDependent as DistanceDependent
from snnsim.reservoir.liquid_network import liquid_state_machine as liquid_state_machine
from snnsim.reservoir.measures import class_separation as class_separation
from snnsim.reservoir.measures import echo_state as echo_state
from snnsim.reservoir.measures import jittered as jittered
from snnsim.reservoir.measures import memory_capacity as memory_capacity
from snnsim.reservoir.measures import pairwise_separation as pairwise_separation
from snnsim.reservoir.measures import perturbation as perturbation
from snnsim.reservoir.measures import random_input as random_input
from snnsim.reservoir.measures import state_rank as state_rank
from snnsim.reservoir.readouts import LinearProbe as LinearProbe
from snnsim.reservoir.readouts import Ridge as Ridge
from snnsim.reservoir.readouts import RidgeClassifier as RidgeClassifier
from snnsim.reservoir.readouts import compare as compare
from snnsim.reservoir.resistive_switching import BreakdownPairs as BreakdownPairs
from snnsim.reservoir.resistive_switching import NormalPairs as NormalPairs

__all__ = [
    "BreakdownPairs",
    "DistanceDependent",
    "LinearProbe",
    "NormalPairs",
    "Ridge",
    "RidgeClassifier",
    "class_separation",
    "compare",
    "echo_state",
    "filtered_membranes",
    "filtered_spikes",
    "jittered",
    "liquid_state_machine",
    "membranes",
    "memory_capacity",
    "pairwise_separation",
    "perturbation",
    "random_input",
    "spike_counts",
    "state_rank",
]
