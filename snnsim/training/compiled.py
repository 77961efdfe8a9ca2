"""How the kernels of training are compiled: serial, cached, and without the interpreter's lock."""

from snnsim.compilation import kernel as kernel
from snnsim.compilation import kernel_with as kernel_with
from snnsim.compilation import leaf as leaf
