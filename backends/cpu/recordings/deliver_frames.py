"""Real values of one tick to their targets: kernels over flat arrays, one for each form of a projection.

The products of a target are summed from zero, one after another in the order of the sources, and the sum is added to
its input, so that the sums of a frame that is the same at all ticks are made once; they are the same as in the
reference backend, bit for bit. Products to synapses with delays of their own are added to their slots one by one.
"""

from __future__ import annotations

import numpy as np

from snnsim.backends.cpu.recordings.deliver import row
from snnsim.numerics.specialise import jit


@jit
def filled(values, size, active):
    """List the sources whose value is not zero in `active`, and return how many there are."""
    count = 0
    for source in range(size):
        if values[source] != 0:
            active[count] = source
            count += 1
    return count


@jit
def multiply_rows(sums, weights, start, length, values, active, count):
    """Add row ``active[k]`` of a dense matrix times its value to `sums`, for each k in turn.

    Four rows go in one pass, from left to right, so that the sums are loaded and stored once for four.
    """
    k = 0
    while k + 4 <= count:
        a = row(weights, start, active[k], length)
        b = row(weights, start, active[k + 1], length)
        c = row(weights, start, active[k + 2], length)
        d = row(weights, start, active[k + 3], length)
        p, q, r, s = values[active[k]], values[active[k + 1]], values[active[k + 2]], values[active[k + 3]]
        for j in range(length):
            sums[j] = (((sums[j] + p * a[j]) + q * b[j]) + r * c[j]) + s * d[j]
        k += 4
    while k < count:
        a, p = row(weights, start, active[k], length), values[active[k]]
        for j in range(length):
            sums[j] += p * a[j]
        k += 1
    return count * length


@jit
def multiply_sparse(sums, weights, start, offsets, targets, values, active, count):
    """Add the products of each source in turn; return their number."""
    done = 0
    for k in range(count):
        low, high = offsets[active[k]], offsets[active[k] + 1]
        done += high - low
        for i in range(low, high):
            sums[targets[i]] += values[active[k]] * weights[start + i]
    return done


@jit
def multiply_delayed(ring, slots, stride, tick, weights, start, offsets, targets, delays, values, active, count):
    """Add the products of each source in turn to the slot of each synapse's delay; see `deliver.add_delayed`."""
    done = 0
    for k in range(count):
        low, high = offsets[active[k]], offsets[active[k] + 1]
        done += high - low
        for i in range(low, high):
            slot = (tick + delays[i]) % slots
            ring[slot * stride + targets[i]] += values[active[k]] * weights[start + i]
    return done


@jit
def multiply_largest(sums, weights, start, offsets, targets, values, size, seen):
    """Leave in `sums` the largest value among all sources of each target, zeros too, times the weight."""
    for j in range(sums.size):
        sums[j] = -np.inf
    for source in range(size):
        for i in range(offsets[source], offsets[source + 1]):
            sums[targets[i]] = max(sums[targets[i]], values[source])
    done = 0
    for i in range(offsets[0], offsets[size]):
        if seen[targets[i]] == 0:
            seen[targets[i]] = 1
            sums[targets[i]] *= weights[start + i]
            done += 1
    for i in range(offsets[0], offsets[size]):
        seen[targets[i]] = 0
    return done


@jit
def multiply_convolution(sums, weights, start, shape, values, active, count, scratch):
    """Add the kernel entries that each pixel reaches times its value; see `deliver.add_convolution`.

    The sums are made in the order (row, column, channel) of the weights, in `scratch`, and brought into that of `sums`.
    """
    out, height, width, stride, padding = shape[0], shape[1], shape[2], shape[3], shape[4]
    source_rows, source_columns, rows, columns = shape[5], shape[6], shape[7], shape[8]
    plane, done = rows * columns, 0
    for i in range(out * plane):
        scratch[i] = 0
    for k in range(count):
        channel, pixel = divmod(active[k], source_rows * source_columns)
        y, x = divmod(pixel, source_columns)
        value = values[active[k]]
        for i in range(height):
            ty = y + padding - i
            if ty < 0 or ty % stride != 0 or ty // stride >= rows:
                continue
            for j in range(width):
                tx = x + padding - j
                if tx < 0 or tx % stride != 0 or tx // stride >= columns:
                    continue
                # Unsigned, so that no index is tested for counting from the end and the loops stay vectors.
                place = np.uint64((ty // stride * columns + tx // stride) * out)
                kernel = np.uint64(start + ((channel * height + i) * width + j) * out)
                for o in range(np.uint64(out)):
                    scratch[place + o] += value * weights[kernel + o]
                done += out
    for o in range(out):
        for q in range(plane):
            sums[o * plane + q] = scratch[q * out + o]
    return done
