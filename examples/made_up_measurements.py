"""Tables as a laboratory would write them, for example 11. The numbers are made up: they are of no device at all."""

from pathlib import Path

import numpy as np


def write(folder: Path) -> list[Path]:
    """Write 480 cells programmed to eight targets and read twice at each of four times, and sweeps of eight devices."""
    random, target = np.random.default_rng(1), np.repeat(np.linspace(2.0, 30.0, 8), 60)
    first = np.maximum(target + random.normal(-0.2, 0.4 + 0.06 * target), 0.1)
    exponent = random.normal(0.1, 0.03, target.size)
    cells = [
        (g, time, read, device, g0 * (time / 10.0) ** -nu + random.normal(0, 0.25))
        for time in (10.0, 1e3, 1e5, 1e6)
        for read in (1, 2)
        for device, (g, g0, nu) in enumerate(zip(target, first, exponent, strict=True))
    ]
    sweeps = [
        (device, voltage, g * (voltage + 0.9 * voltage**3))
        for device, g in enumerate(target[::60])
        for voltage in np.linspace(-0.4, 0.4, 17)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "made_up_cells.csv", folder / "made_up_sweeps.csv"]
    np.savetxt(paths[0], cells, "%.7g", ",", header="target_uS,time_s,read,device,measured_uS", comments="")
    np.savetxt(paths[1], sweeps, "%.7g", ",", header="device,voltage_V,current_uA", comments="")
    return paths
