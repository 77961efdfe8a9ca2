"""Long runs into files, which go on after any kind of end."""
