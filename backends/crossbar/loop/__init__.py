"""Hardware in the loop: what a chip must be able to do, traces of it, and a chip at the other end of a socket."""
