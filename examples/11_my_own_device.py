"""My I-V table to accuracy: tables of measurements, a network on chips of such cells, and a report that opens offline.

`python 11_my_own_device.py cells.csv sweeps.csv --out report` takes your tables (docs/crossbar.md); else numbers are
made up, of no device at all.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from made_up_measurements import write

import snnsim as sn
from snnsim import plot
from snnsim.architectures import fully_connected
from snnsim.backends.crossbar import ADC, Chip, ChipConfig, Device, Mapping, Wires
from snnsim.backends.crossbar.wires.currents import cell_voltages
from snnsim.datasets import load_digits_events
from snnsim.energy import compare, digital_45nm_integer, energy_report, rram_crossbar
from snnsim.monte_carlo import monte_carlo
from snnsim.report import run_report
from snnsim.training import SLTT, TrainableNetwork, train

parser = argparse.ArgumentParser()
parser.add_argument("tables", nargs="*", help="CSV files: programmed cells, sweeps, or one of each")
parser.add_argument("--out", type=Path, help="folder for the report; default a new one")
given = parser.parse_args()
out = given.out or Path(tempfile.mkdtemp(prefix="my_own_device_"))
device = Device.from_measurements(given.tables or write(out), name="my device", stuck_off=0.005)

data, test = load_digits_events("train", dt=10e-3).binarised(), load_digits_events("test", dt=10e-3)[:180].binarised()
model = TrainableNetwork(fully_connected(data.sensor_shape, 10, hidden=(64,), dt=10e-3))
train(model, data, rule=SLTT(), epochs=4, progress=False)
software = sn.Simulation(net := model.network()).run_samples(test.events)
soft = software.accuracy(test.labels)
config = ChipConfig(device, wires=Wires(row=1.0, column=1.0), adc=ADC(7), rows=256, columns=128)


def on_chip(chip: Chip, compensate: str | None = None) -> sn.Result:
    """Run the test recordings on a chip, which is programmed unless it holds these weights already."""
    mapping = Mapping(compensate=compensate, calibration=data.events[:20])  # recordings set the converters' ranges
    return sn.Simulation(net, "crossbar", chip=chip, mapping=mapping).run_samples(test.events)


chip = Chip(config, seed=1)
result = on_chip(chip)
print(device.describe(), f"software {soft:.1%}, on one chip {result.accuracy(test.labels):.1%}", sep="\n\n")
pictures = {"cells after programming": plot.programming(chip.targets(0), chip.conductances(0))}
pictures["weights of the first array"] = plot.conductance_map(chip.conductances(0), pairs=True)
voltages = cell_voltages(chip.effective(0), np.arange(5, 256, 20), device.read_voltage, config.wires)
pictures["what wires take, 5 % of rows on"] = plot.ir_drop(voltages, device.read_voltage)

on, bits, reads = np.random.default_rng(0).random((200, 256)) < 0.05, np.arange(3, 11), {}
for name, off in (("rounding alone", ("adc", "read_noise")), ("with read noise", ("adc",))):
    analog = Chip(config.without(*off), seed=1)
    analog.program(0, chip.targets(0))
    reads[name] = analog.read(0, np.append(0, np.cumsum(on.sum(1))), np.nonzero(on)[1])
right = reads["rounding alone"]
kinds = [ADC(int(b)).converters(np.abs(right).max(), right.shape[1]) for b in bits]
errors = {name: [100 * np.std(kind.convert(i) - right) / np.std(right) for kind in kinds] for name, i in reads.items()}
pictures["error against bits"] = plot.adc_error(bits, errors)
chips = monte_carlo(lambda seed: {"accuracy": on_chip(Chip(config, seed)).accuracy(test.labels)}, 8, progress=False)
pictures["accuracy over chips"] = plot.accuracy_over_chips(chips, software=soft)
ages, aged = [60.0, 3600.0, 86400.0, 2.63e6, 3.156e7], {"as read": [], "compensated": []}
for seconds in np.diff(ages, prepend=0.0):
    chip.age(seconds)
    for name, compensate in (("as read", None), ("compensated", "tile")):
        run = on_chip(chip, compensate)
        aged[name].append(run.accuracy(test.labels))
        print(f"{seconds:.1e} s on, {name}: {aged[name][-1]:.1%}, {run.counters.spikes[:, 1].mean():.0f} hidden spikes")
pictures["accuracy over age"] = plot.accuracy_over_age(ages, aged, software=soft, chance=0.1)
energy = energy_report(software, digital_45nm_integer()), energy_report(result, rram_crossbar())
pictures["energy"] = plot.energy(energy)
print("", chips, compare(*energy), sep="\n\n")
more = {"labels": test.labels, "chip": device.describe(), "chips": chips, "energy": energy, "pictures": pictures}
page = run_report("Digits on chips of my device", net, result, **more).save(out / "report.html")
for number, axes in enumerate(pictures.values(), 1):
    plot.save(axes, out / f"figure_{number}.png")
print("\nreport:", page)
