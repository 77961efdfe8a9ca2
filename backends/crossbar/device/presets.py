"""Devices with published statistics, and an ideal one.

Formulas and numbers are those of the tools named in each device's `source`; what is assumed here is said there too.
"""

from __future__ import annotations

import math

from snnsim.backends.crossbar.device.current_voltage import LogarithmicPolynomial
from snnsim.backends.crossbar.device.curves import ClippedLogarithm, ClippedPower, Polynomial, Saturation
from snnsim.backends.crossbar.device.device import Device
from snnsim.backends.crossbar.device.drift import LogarithmicDrift, PowerLawDrift
from snnsim.backends.crossbar.device.plausible_ranges import CONDUCTANCE
from snnsim.backends.crossbar.device.programming import FormedNoise, ProgrammingNoise
from snnsim.backends.crossbar.device.read_noise import ReadNoise, constant
from snnsim.errors import ParameterError, one_of, positive

_KIT = "aihwkit (github.com/IBM/aihwkit)"
_CROSSSIM = "CrossSim (github.com/sandialabs/cross-sim)"
_WAN = "Wan et al. 2022, doi:10.1038/s41586-022-04992-8"
DAY = 86400.0
#: Programming error of `reram_wan` by seconds since programming: coefficients from low to high order in g / 40 uS.
WAN_ERRORS = {
    1.0: (0.348, 16.030, -43.853, 45.393, -16.815),
    DAY: (0.701, 22.086, -50.773, 47.095, -16.458),
    2 * DAY: (0.782, 20.274, -43.507, 37.062, -11.934),
}
_WAN_RANGE = 40.0
#: Programming error of `reram_cmo` by acceptance range in percent: constant (uS) and slope.
CMO_ERRORS = {0.2: (0.00081107, 0.00106879), 2.0: (0.0112185391, 0.01129027418)}
#: Variability of `crosssim_sonos` by whole days: height and scale of a saturation in nA, of a current of at most 1600.
SONOS_VARIABILITY = {
    0: (19.88665, 176.3115),
    1: (25.59102, 186.85544),
    2: (28.72753, 193.56834),
    3: (31.04318, 198.90332),
    4: (33.76214, 204.77023),
    5: (34.57909, 207.34309),
}


def ideal(g_max: float = 64.0) -> Device:
    """Return cells that do what they are told; `g_max` (uS) is a power of two, so that scaling by it is exact."""
    positive("g_max", g_max)
    if math.frexp(g_max)[0] != 0.5:
        raise ParameterError(f"g_max={g_max!r}: must be a power of two, such as 64.0")
    # A power of two may be any: it stands for nothing that was measured.
    unusual = not CONDUCTANCE.low <= g_max <= CONDUCTANCE.high
    return Device("ideal", 0.0, g_max, source="none: no imperfection at all", unusual=unusual)


def pcm(g_max: float = 25.0) -> Device:
    """Return phase-change memory with programming noise, drift, and read noise that grows with age.

    Error and exponent depend on the target; the read noise on the conductance that programming left. Age counts from
    20 s after programming.
    """
    positive("g_max", g_max)
    return Device(
        "PCM",
        0.0,
        g_max,
        programming=ProgrammingNoise(Polynomial(_scaled((0.26348, 1.9650, -1.1731), g_max / 25.0), g_max)),
        drift=PowerLawDrift(
            ClippedLogarithm(-0.0155, 0.0244, 0.049, 0.1, g_max),
            ClippedLogarithm(-0.0125, -0.0059, 0.008, 0.045, g_max),
            reference_time=20.0,
        ),
        read_noise=ReadNoise(
            ClippedPower(0.0088, 0.65, 1e-3, 0.2, g_max), state="programmed", read_time=250e-9, reference_time=20.0
        ),
        source=f"PCMLikeNoiseModel of {_KIT}, after Nandakumar et al. 2019, doi:10.1109/ICECS46596.2019.8964852",
    )


def hermes(devices: int = 2) -> Device:
    """Return the phase-change memory of a 14 nm chip, with one or two devices to a cell."""
    one_of("devices", devices, (1, 2))
    if devices == 2:
        g_max, t0 = 20.7, 300.0
        error = (0.16603222, 4.71806468, -8.48101252, 4.68961419)
        deviation = ClippedLogarithm(-0.0117, -0.0057, 0.0091, 0.04, g_max, 0.3055, (0.0073, 0.0093, -0.0118))
        read = ClippedLogarithm(-0.0117, -0.0069, 0.015, 0.04, g_max, 0.16, (0.0123, 0.0211, -0.0280, 0.0069))
    else:
        g_max, t0 = 10.35, 200.0
        error = (0.15781817, 2.32443916, -2.16310839, 0.68841818)
        deviation = ClippedLogarithm(-0.0120, -0.0023, 0.0124, 0.04, g_max, 0.3039, (0.0104, 0.0116, -0.0165))
        read = ClippedLogarithm(-0.0078, 0.0038, 0.0179, 0.04, g_max, 0.1591, (0.0088, 0.0768, -0.1352, 0.0664))
    mean = ClippedLogarithm(-0.0387, -0.0182, 0.072, 0.13, g_max, 0.0945, (0.0736, -0.0126, -0.0436))
    return Device(
        f"Hermes PCM, {devices} a cell",
        0.0,
        g_max,
        programming=ProgrammingNoise(Polynomial(error, g_max)),
        drift=PowerLawDrift(mean, deviation, reference_time=t0),
        read_noise=ReadNoise(read, state="programmed", read_time=512e-9, reference_time=t0),
        source=(
            f"HermesNoiseModel of {_KIT}, fitted to devices of the chip of Le Gallo et al. 2023, "
            "doi:10.1038/s41928-023-01010-1"
        ),
    )


def reram_wan(seconds: float = 1.0) -> Device:
    """Return resistive memory as it is 1 s, 1 day or 2 days after programming; nothing is known of other times."""
    one_of("seconds", seconds, WAN_ERRORS)
    return Device(
        f"RRAM of Wan et al. after {seconds:g} s",
        0.0,
        _WAN_RANGE,
        programming=ProgrammingNoise(Polynomial(WAN_ERRORS[seconds], _WAN_RANGE)),
        source=f"ReRamWan2022NoiseModel of {_KIT}, estimated from figures of {_WAN}; no read noise in it",
    )


def realistic_rram() -> Device:
    """Return `reram_wan` after 1 s with read noise, a small spread, and some stuck cells."""
    return Device(
        "realistic RRAM",
        0.0,
        _WAN_RANGE,
        programming=ProgrammingNoise(Polynomial(WAN_ERRORS[1.0], _WAN_RANGE)),
        spread=0.02,
        stuck_on=0.001,
        stuck_off=0.001,
        # A weight is the difference of two cells.
        read_noise=ReadNoise(constant(0.01 * _WAN_RANGE / math.sqrt(2.0)), relative=False),
        source=(
            f"programming error after 1 s of ReRamWan2022NoiseModel of {_KIT}, estimated from figures of {_WAN}; read "
            "noise of 1 % of the largest weight, which that model advises to add, halved in variance between the two "
            "cells of a pair; "
            "our assumptions: spread 0.02, 0.1 % of cells stuck on and 0.1 % stuck off"
        ),
    )


def reram_cmo(acceptance: float = 2.0) -> Device:
    """Return filamentary CMO/HfOx memory, programmed to within 0.2 or 2 percent.

    Cells relax from 1 s on; reads have noise that grows with age.
    """
    one_of("acceptance", acceptance, CMO_ERRORS)
    decade = 0.0277316483 / math.log(10.0)
    return Device(
        f"CMO/HfOx RRAM, accepted within {acceptance:g} %",
        9.0,
        88.2,
        programming=ProgrammingNoise(Polynomial(CMO_ERRORS[acceptance])),
        drift=LogarithmicDrift(-0.08900206, 0.04201137, 0.41183342),
        read_noise=ReadNoise(ClippedLogarithm(decade, 0.0, 0.0, math.inf, 1.0), relative=False, read_time=1e-6),
        source=(
            f"ReRamCMONoiseModel of {_KIT}; here a cell keeps its place in the spread of the relaxation, which "
            "that model draws anew at each time, and cells are cut at 0, not at the ends of the range"
        ),
    )


def state_independent(g_max: float = 25.0) -> Device:
    """Return cells whose programming noise and drift do not depend on the conductance."""
    positive("g_max", g_max)
    return Device(
        "state-independent",
        0.0,
        g_max,
        programming=ProgrammingNoise(Polynomial((0.2,))),
        drift=PowerLawDrift(Polynomial((0.1,)), Polynomial((0.05,)), reference_time=20.0),
        read_noise=ReadNoise(Polynomial((1.0 / g_max,)), read_time=250e-9, reference_time=20.0),
        source=f"StateIndependentNoiseModel of {_KIT}",
    )


def crosssim_pcm() -> Device:
    """Return phase-change memory with programming error alone, 0.25 to 25 uS."""
    return Device(
        "PCM of Joshi et al.",
        0.25,
        25.0,
        programming=ProgrammingNoise(Polynomial((0.28638599, 0.07585724, -0.00178767))),
        source=f"PCMJoshi of {_CROSSSIM}, fitted to figure 3 b of Joshi et al. 2020, doi:10.1038/s41467-020-16108-9",
    )


def crosssim_rram() -> Device:
    """Return resistive memory of 50 to 225 uS with programming error and a current that bends with voltage.

    Currents were fitted to curves of cells of 62.5 to 110 uS. Above, the fit goes to a straight line assumed at 225 uS;
    below, it is extrapolated.
    """
    return Device(
        "RRAM of Milo et al.",
        50.0,
        225.0,
        read_voltage=0.1,
        programming=ProgrammingNoise(Polynomial((4.782321, -0.009107))),
        current_voltage=LogarithmicPolynomial(
            (0.007063, 0.005711, 0.001541, 0.0001388), (1.2968e-3, 6.7919e-4, 8.871e-5), 50.0, 225.0, 0.5
        ),
        source=(
            f"RRAMMilo of {_CROSSSIM}, fitted to figures 4 (error) and 1 (I-V, four cells of 62.5 to 110 uS; a line "
            "assumed at 225 uS) of Milo et al. 2021, doi:10.1109/IRPS46558.2021.9405119"
        ),
    )


def crosssim_rram_wan() -> Device:
    """Return resistive memory up to 39.26 uS with programming error alone: a fit to the paper of `reram_wan`."""
    return Device(
        "RRAM of Wan et al., cubic fit",
        0.0,
        39.26,
        programming=ProgrammingNoise(Polynomial((1.053, 0.2374, -1.167e-2, 1.536e-4))),
        source=f"RRAMWan of {_CROSSSIM}, fitted to extended data figure 3 (after 1 s) of {_WAN}",
    )


def crosssim_sonos(days: int = 0) -> Device:
    """Return charge-trapping memory, 0 to 16 uS, with its variability some whole days after programming (0 to 5)."""
    one_of("days", days, SONOS_VARIABILITY)
    # 1600 nA at 0.1 V are 16 uS.
    height, scale = (value / 100.0 for value in SONOS_VARIABILITY[days])
    return Device(
        f"SONOS after {days} days",
        0.0,
        16.0,
        read_voltage=0.1,
        programming=ProgrammingNoise(Saturation(height, scale)),
        read_noise=ReadNoise(Saturation(0.1258037, 2.1536557), relative=False),
        source=(
            f"SONOS of {_CROSSSIM}, fitted to figures 10 and 11 of Agrawal et al., Subthreshold operation of SONOS "
            "analog memory to enable accurate low-power neural network inference, IEDM 2022, 21.7.1: variability of "
            "that day, here of the target, and read noise; left out is the drift of the mean, which from the first day "
            "on takes up to 0.6 uS below 14 uS, and 1 to 2.5 uS at 16 uS"
        ),
    )


def resistive_switching() -> Device:
    """Return cells formed by dielectric breakdown, whose conductance chance decides.

    Which cells are formed is in the targets: zero leaves a cell as it is. `snnsim.reservoir.BreakdownPairs` draws it.
    """
    return Device(
        "cells by dielectric breakdown",
        0.0,
        18.8,
        programming=FormedNoise(12.35, 1.86),
        read_noise=ReadNoise(constant(0.02)),
        source=(
            "mean and sd of formed cells in the data of Wang et al. 2023 (echo state graph neural networks), "
            "doi:10.1038/s42256-023-00609-5, and 2 % read noise as in its simulation (github.com/wangsc1912/ESGNN)"
        ),
    )


def _scaled(coefficients: tuple[float, ...], factor: float) -> tuple[float, ...]:
    return tuple(coefficient * factor for coefficient in coefficients)
