"""A worker of inner_ear.py: converts a sound with lauscher, in the environment where lauscher is installed.

Reads (sound file, channels, processes, seed, output) from its arguments; prints the seconds it took and its version.
"""

import importlib.metadata
import json
import sys
import time

import numpy as np
from lauscher.audiowaves import FileMonoAudioWave, MonoAudioWave
from lauscher.helpers import CommandLineArguments
from lauscher.transformations.wave2spike import Wave2Spike


def main() -> None:
    path, channels, processes, seed, output = sys.argv[1], *(int(word) for word in sys.argv[2:5]), sys.argv[5]
    CommandLineArguments().num_concurrent_jobs = processes
    # What it compiles with Numba is compiled before the clock runs.
    MonoAudioWave(np.sin(np.arange(1000.0)), 48_000).transform(Wave2Spike(2))
    wave = FileMonoAudioWave(path)
    np.random.seed(seed)  # noqa: NPY002 -- this is the generator that lauscher draws from
    start = time.perf_counter()
    spikes = wave.transform(Wave2Spike(channels))
    seconds = time.perf_counter() - start
    np.savez(output, times=spikes.spike_times, units=spikes.spike_labels)
    print(json.dumps({"seconds": seconds, "version": importlib.metadata.version("lauscher")}))


if __name__ == "__main__":
    main()
