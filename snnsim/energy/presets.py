"""Tables of costs that are ready to use: digital logic, a digital neuromorphic chip, a resistive crossbar."""

from __future__ import annotations

import math

from snnsim.energy.costs import Cost, CostTable

_HOROWITZ = "Horowitz, ISSCC 2014, doi:10.1109/ISSCC.2014.6757323, 45 nm, 0.9 V"
_LOIHI = "Davies et al., IEEE Micro 2018, doi:10.1109/MM.2018.112130359, table 2, simulated before silicon"
_KULL = "Kull et al., ISSCC 2013, doi:10.1109/ISSCC.2013.6487818: SAR converter, 8 bit, 1.2 GS/s, 3.1 mW, 32 nm"


def digital_45nm() -> CostTable:
    """Return the costs of 32-bit floating-point logic with small memories beside it, 45 nm.

    Arithmetic and memory of Horowitz (2014): float addition 0.9 pJ, float multiplication 3.7 pJ, and 5 pJ for 32 bits
    of an 8 KB memory (half of the 10 pJ of a 64-bit access).
    """
    access = f"{_HOROWITZ}: 64-bit access to 8 KB of SRAM 10 pJ, so 5 pJ for 32 bits"
    return CostTable(
        "digital logic, 45 nm, 32-bit float",
        accumulate=Cost(0.9e-12, "J", f"{_HOROWITZ}: 32-bit float addition"),
        multiply_accumulate=Cost(
            4.6e-12, "J", f"{_HOROWITZ}: 32-bit float multiplication 3.7 pJ, float addition 0.9 pJ"
        ),
        weight_read=Cost(5e-12, "J", f"{access}; one access"),
        input_update=Cost(10e-12, "J", f"{access}; two accesses"),
        neuron_update=Cost(
            5.5e-12,
            "J",
            f"{_HOROWITZ}: float multiplication 3.7 pJ (leak), addition 0.9 pJ (input); comparison taken as an "
            "addition, 0.9 pJ (assumption)",
        ),
        state_update=Cost(10e-12, "J", f"{access}; two accesses"),
        spike_route=Cost(10e-12, "J", f"assumption: an address written to a queue and read once. {access}"),
        addition=Cost(0.9e-12, "J", f"{_HOROWITZ}: 32-bit float addition"),
        operation_time=Cost(1e-9, "s", "assumption: one a cycle at 1 GHz"),
        operation_lanes=Cost(1, "", "assumption: one unit of arithmetic"),
        update_time=Cost(1e-9, "s", "assumption: one a cycle at 1 GHz"),
        update_lanes=Cost(1, "", "assumption: one unit of arithmetic"),
        note="Left out: leakage, clock, control and instructions, and memory off the chip. A processor that fetches "
        "instructions takes much more; all weights are taken to lie in small memories.",
    )


def digital_45nm_integer() -> CostTable:
    """Return the costs of 32-bit integer logic with small memories beside it, 45 nm.

    As `digital_45nm` with integer addition 0.1 pJ and integer multiplication 3.1 pJ.
    """
    return digital_45nm().replaced(
        name="digital logic, 45 nm, 32-bit integer",
        accumulate=Cost(0.1e-12, "J", f"{_HOROWITZ}: 32-bit integer addition"),
        multiply_accumulate=Cost(
            3.2e-12, "J", f"{_HOROWITZ}: 32-bit integer multiplication 3.1 pJ, integer addition 0.1 pJ"
        ),
        neuron_update=Cost(
            3.3e-12,
            "J",
            f"{_HOROWITZ}: integer multiplication 3.1 pJ (leak), addition 0.1 pJ (input); comparison taken as an "
            "addition, 0.1 pJ (assumption)",
        ),
        addition=Cost(0.1e-12, "J", f"{_HOROWITZ}: 32-bit integer addition"),
    )


def loihi() -> CostTable:
    """Return the costs published for Intel's first Loihi, 14 nm."""
    return CostTable(
        "Loihi, 14 nm",
        accumulate=Cost(23.6e-12, "J", f"{_LOIHI}: synaptic spike operation, least"),
        neuron_update=Cost(81e-12, "J", f"{_LOIHI}: neuron update, active"),
        spike_route=Cost(1.7e-12, "J", f"{_LOIHI}: spike within a tile; hops between tiles come on top"),
        note="Figures of a simulation before silicon. That of a synaptic operation is the least value, a lower bound; "
        "that of a neuron is taken for every neuron, also where nothing happens (52 pJ there), an upper one. The "
        "source has no figure of its own for memory. Left out: spikes between tiles (3 to 4 pJ a hop there), leakage, "
        "barriers between ticks, the host; and all times, so there is no latency.",
    )


def rram_crossbar() -> CostTable:
    """Return costs of a resistive-memory crossbar with converters at its columns and digital neurons beside it.

    The converter is a published one, 8 bit at 1.2 GS/s with 3.1 mW (2.6 pJ a conversion, 10.1 fJ a step); other numbers
    of bits follow Walden's figure of merit. The digital neurons are those of `digital_45nm_integer`.
    """
    digital = digital_45nm_integer()
    return CostTable(
        "resistive crossbar, digital neurons",
        accumulate=digital.accumulate,
        multiply_accumulate=digital.multiply_accumulate,
        weight_read=digital.weight_read,
        input_update=digital.input_update,
        neuron_update=digital.neuron_update,
        state_update=digital.state_update,
        spike_route=digital.spike_route,
        addition=digital.addition,
        read_pulse=Cost(100e-9, "s", "assumption: long enough for the wires to settle and the converter to sample"),
        cell_conductance=Cost(10e-6, "S", "assumption: used only where the chip does not tell its currents"),
        adc_step=Cost(
            3.1e-3 / 1.2e9 / 2**8,
            "J",
            f"{_KULL}: 2.58 pJ a conversion, divided by 2^8. The same energy for each step at other numbers of bits is "
            "Walden's figure of merit, doi:10.1109/49.761034",
        ),
        dac_step=Cost(
            3.1e-3 / 1.2e9 / 2**8,
            "J",
            "assumption: as much as a step of the converters at the columns, no more is known",
        ),
        row_capacitance=Cost(
            0.2e-15,
            "F",
            "assumption: 0.5 µm of wire a cell at 0.2 fF/µm (the figure in SubArray.cpp of DNN+NeuroSim, "
            "github.com/neurosim/DNN_NeuroSim_V1.4), and as much for the gate of its transistor",
        ),
        row_voltage=Cost(1.1, "V", "assumption: supply of 40 nm logic"),
        programming_pulse=Cost(10e-12, "J", "assumption: 2 V, 50 µA, 100 ns; the read back of write-verify left out"),
        conversion_time=Cost(1 / 1.2e9, "s", f"{_KULL}; taken to hold for other numbers of bits"),
        pairs_per_adc=Cost(16, "", "assumption"),
        parallel_tiles=Cost(math.inf, "", "assumption: every tile has converters of its own"),
        operation_time=digital.operation_time,
        operation_lanes=digital.operation_lanes,
        update_time=digital.update_time,
        update_lanes=Cost(16, "", "assumption: sixteen digital neurons at the same time"),
        note="Left out: leakage, biases and references of the converters, sample-and-hold, column wires, clock, "
        "control, communication between tiles other than spikes, and reads during programming.",
    )
