"""Files of spike trains in the form of the Spiking Heidelberg Digits."""
