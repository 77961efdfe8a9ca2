"""The oracle: plain NumPy, one recording and one tick at a time."""
