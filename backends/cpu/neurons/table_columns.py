"""The columns of the integer tables by which compiled kernels read a network's populations."""

from __future__ import annotations

# Columns of the population table. SOURCE is the place among the sources, or -1; STATES, RECEPTOR_STATES, RING and
# COUNTERS are places in a recording's row of state; COEFFICIENTS and BOUND are places among the coefficients.
(SOURCE, SIZE, STATES, RECEPTOR_STATES, RING, SLOTS, RECEPTORS, FIRST_RECEPTOR, COUNTERS) = range(9)
(COEFFICIENTS, UNIFORM, REFRACTORY, BOUND, SPIKING, RECORDED, DRIVES, FIRST_DRIVE) = range(9, 17)
POPULATION_COLUMNS = 17

# Columns of the receptor table. KIND is the place among the receptors that the model takes (see
# `NeuronModel.receptor_kinds`), STATE the number of the receptor's first state.
(KIND, STATE, RECEPTOR_COEFFICIENTS, RECEPTOR_UNIFORM) = range(4)
RECEPTOR_COLUMNS = 4

# Columns of the table of Poisson drives. KEY is the key of the drive's random numbers as 64 bits, WEIGHT a place among
# the coefficients, THRESHOLDS, EDGES, TOPS and REMAINDERS places among the thresholds, GROUPS how many groups of
# thresholds there are, REMAINDER_ROWS how many rows of remainders, STEP the number of thresholds in a row: one for all
# neurons, or one a neuron. No number below LOWEST_TOP is left over.
(DRIVE_RECEPTOR, KEY, WEIGHT, THRESHOLDS, EDGES, GROUPS, STEP, TOPS, LOWEST_TOP, REMAINDERS, REMAINDER_ROWS) = range(11)
DRIVE_COLUMNS = 11

# Columns of the projection table; nine entries from SHAPE on describe a convolution.
(PROJECTION_KIND, TARGET, RECEPTOR, DELAY, WEIGHTS, OFFSETS, TARGETS, DELAYS, SHAPE) = range(9)
PROJECTION_COLUMNS = SHAPE + 9
