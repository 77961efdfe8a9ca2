"""What compiled kernels need and Numba does not offer: pointers, atomic words."""
