"""The worker of bench/crossbar_read.py for aihwkit: runs in an environment of its own, asked line by line.

It needs numpy, torch and aihwkit only. The first argument is a .npz file with the weights, the noise and the inputs.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import numpy as np
import torch


def configuration(noise: float, full_scale: float | None) -> Any:
    """Return noise a weight and 8 bits at the output, and nothing else: no input converter, no scaling by maxima."""
    from aihwkit.simulator.configs import InferenceRPUConfig
    from aihwkit.simulator.parameters.enums import BoundManagementType, NoiseManagementType, WeightNoiseType

    chosen = InferenceRPUConfig()
    forward = chosen.forward
    forward.noise_management, forward.bound_management = NoiseManagementType.NONE, BoundManagementType.NONE
    forward.inp_res, forward.inp_noise, forward.out_noise = -1.0, 0.0, 0.0
    # One over an even number of steps from -out_bound to out_bound: 8 bits.
    forward.out_res, forward.out_bound = (-1.0, 1e9) if full_scale is None else (1 / 254, full_scale)
    forward.w_noise_type = WeightNoiseType.ADDITIVE_CONSTANT if noise else WeightNoiseType.NONE
    forward.w_noise = noise
    return chosen


class Layer:
    """A layer of aihwkit, and the tile in it: called by itself, that passes by autograd and the module around it."""

    def __init__(self, weights: np.ndarray, noise: float, full_scale: float | None) -> None:
        from aihwkit.nn import AnalogLinear

        outputs, inputs = weights.shape
        self.layer = AnalogLinear(inputs, outputs, bias=False, rpu_config=configuration(noise, full_scale))
        self.layer.eval()
        self.layer.set_weights(torch.from_numpy(weights))
        self.tile = next(iter(self.layer.analog_tiles())).tile

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs of a batch."""
        return self.tile.forward(x, False, False, False, True)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # only answers may go to the reader
    with np.load(sys.argv[1]) as given:
        arrays = {name: given[name] for name in given.files}
    torch.set_num_threads(int(arrays["threads"]))
    inputs = {name: torch.from_numpy(x) for name, x in arrays.items() if name.startswith("x")}
    weights, noise, scale = arrays["weights"], float(arrays["noise"]), float(arrays["full_scale"])
    layers = {
        "plain": Layer(weights, 0.0, None),
        "converted": Layer(weights, 0.0, scale),
        "noisy": Layer(weights, noise, None),
        "both": Layer(weights, noise, scale),
    }
    import aihwkit

    print(json.dumps({"version": aihwkit.__version__, "torch": torch.__version__}), file=answers, flush=True)
    with torch.no_grad():
        for line in sys.stdin:
            job = json.loads(line)
            layer, x = layers[job["layer"]], inputs[job["x"]]
            if "save" in job:
                np.save(job["save"], np.stack([layer(x).numpy() for _ in range(job["repeat"])]))
                print("{}", file=answers, flush=True)
                continue
            work = layer if job["tile"] else layer.layer
            start = time.perf_counter()
            for _ in range(job["repeat"]):
                work(x)
            taken = (time.perf_counter() - start) / job["repeat"]
            print(json.dumps({"seconds": taken}), file=answers, flush=True)


if __name__ == "__main__":
    main()
