import numpy as np

from snnsim.backends.crossbar import presets
from snnsim.backends.crossbar.cells import program


def test_an_ideal_cell_is_what_it_was_told():
    targets = np.linspace(0.0, 64.0, 600).reshape(20, 30)
    assert np.array_equal(program(presets.ideal(), targets, seed=0, tile=0).conductance, targets)
