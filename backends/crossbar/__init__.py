"""Simulated chips of resistive memory: cells, arrays, wires, converters, and networks on them.

    chip = Chip(ChipConfig(realistic_rram(), adc=ADC(8)), seed=0)
    result = Simulation(network, "crossbar", chip=chip).run_samples(events)

Units: conductance in microsiemens, voltage in volt, current in microampere, time in seconds, resistance in ohm.
"""

from snnsim.backends.crossbar.array_read.converter import ADC as ADC
from snnsim.backends.crossbar.array_read.dac import DAC as DAC
from snnsim.backends.crossbar.array_read.noise_keys import moment as moment
from snnsim.backends.crossbar.cells import CellState as CellState
from snnsim.backends.crossbar.chip.chip import Chip as Chip
from snnsim.backends.crossbar.chip.config import STAGES as STAGES
from snnsim.backends.crossbar.chip.config import ChipConfig as ChipConfig
from snnsim.backends.crossbar.chip.protocol import LoopDevice as LoopDevice
from snnsim.backends.crossbar.chip.protocol import Status as Status
from snnsim.backends.crossbar.chip_in_the_loop import ChipFabric as ChipFabric
from snnsim.backends.crossbar.device.current_voltage import CurrentVoltage as CurrentVoltage
from snnsim.backends.crossbar.device.device import Device as Device
from snnsim.backends.crossbar.device.flicker_noise import Flicker as Flicker
from snnsim.backends.crossbar.device.presets import crosssim_pcm as crosssim_pcm
from snnsim.backends.crossbar.device.presets import crosssim_rram as crosssim_rram
from snnsim.backends.crossbar.device.presets import crosssim_rram_wan as crosssim_rram_wan
from snnsim.backends.crossbar.device.presets import crosssim_sonos as crosssim_sonos
from snnsim.backends.crossbar.device.presets import hermes as hermes
from snnsim.backends.crossbar.device.presets import ideal as ideal
from snnsim.backends.crossbar.device.presets import pcm as pcm
from snnsim.backends.crossbar.device.presets import realistic_rram as realistic_rram
from snnsim.backends.crossbar.device.presets import reram_cmo as reram_cmo
from snnsim.backends.crossbar.device.presets import reram_wan as reram_wan
from snnsim.backends.crossbar.device.presets import resistive_switching as resistive_switching
from snnsim.backends.crossbar.device.presets import state_independent as state_independent
from snnsim.backends.crossbar.device.programming import ProgrammingNoise as ProgrammingNoise
from snnsim.backends.crossbar.device.programming import WriteVerify as WriteVerify
from snnsim.backends.crossbar.device.read_noise import ReadNoise as ReadNoise
from snnsim.backends.crossbar.mapping.mapping import Mapping as Mapping
from snnsim.backends.crossbar.wires.resistances import Wires as Wires

__all__ = [
    "ADC",
    "DAC",
    "STAGES",
    "CellState",
    "Chip",
    "ChipConfig",
    "ChipFabric",
    "CurrentVoltage",
    "Device",
    "Flicker",
    "LoopDevice",
    "Mapping",
    "ProgrammingNoise",
    "ReadNoise",
    "Status",
    "Wires",
    "WriteVerify",
    "crosssim_pcm",
    "crosssim_rram",
    "crosssim_rram_wan",
    "crosssim_sonos",
    "hermes",
    "ideal",
    "moment",
    "pcm",
    "realistic_rram",
    "reram_cmo",
    "reram_wan",
    "resistive_switching",
    "state_independent",
]
