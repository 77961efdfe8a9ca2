"""Spikes of one tick to their targets: kernels over flat arrays, one for each form of a projection.

All of them add the weights of one source after another, in the order of `spikes`, so that each target's sum is the
same as in the reference backend, bit for bit.
"""

from __future__ import annotations

import numpy as np

from snnsim.numerics.specialise import jit

DENSE, SPARSE, DELAYED, ONCE, CONVOLUTION = range(5)


@jit
def row(weights, start, source, length):
    """Return the weights from one source."""
    first = start + source * length
    return weights[first : first + length]


@jit
def add_rows(target, weights, start, length, spikes, count):
    """Add row ``spikes[k]`` of a dense matrix to `target`, for each k in turn; return the number of additions.

    Eight rows are added in one pass, from left to right, so that the sums in `target` are loaded and stored once for
    eight rows without changing their order.
    """
    k = 0
    while k + 8 <= count:
        a = row(weights, start, spikes[k], length)
        b = row(weights, start, spikes[k + 1], length)
        c = row(weights, start, spikes[k + 2], length)
        d = row(weights, start, spikes[k + 3], length)
        e = row(weights, start, spikes[k + 4], length)
        f = row(weights, start, spikes[k + 5], length)
        g = row(weights, start, spikes[k + 6], length)
        h = row(weights, start, spikes[k + 7], length)
        for j in range(length):
            target[j] = (((((((target[j] + a[j]) + b[j]) + c[j]) + d[j]) + e[j]) + f[j]) + g[j]) + h[j]
        k += 8
    while k + 2 <= count:
        a = row(weights, start, spikes[k], length)
        b = row(weights, start, spikes[k + 1], length)
        for j in range(length):
            target[j] = (target[j] + a[j]) + b[j]
        k += 2
    if k < count:
        a = row(weights, start, spikes[k], length)
        for j in range(length):
            target[j] += a[j]
    return count * length


@jit
def add_sparse(target, weights, start, offsets, targets, spikes, count):
    """Add the synapses of each spiking source in turn; return the number of additions."""
    done = 0
    for k in range(count):
        source = spikes[k]
        low, high = offsets[source], offsets[source + 1]
        done += high - low
        for i in range(low, high):
            target[targets[i]] += weights[start + i]
    return done


@jit
def add_delayed(ring, slots, stride, tick, weights, start, offsets, targets, delays, spikes, count):
    """Add the synapses of each spiking source in turn to the slot of each synapse's delay.

    ``ring[slot * stride + neuron]`` is the input of the receptor in a slot.
    """
    done = 0
    for k in range(count):
        source = spikes[k]
        low, high = offsets[source], offsets[source + 1]
        done += high - low
        for i in range(low, high):
            slot = (tick + delays[i]) % slots
            ring[slot * stride + targets[i]] += weights[start + i]
    return done


@jit
def add_once(target, weights, start, offsets, targets, spikes, count, seen):
    """Add the first spike of this tick that reaches each target, and no other; `seen` is left empty."""
    done = 0
    for k in range(count):
        for i in range(offsets[spikes[k]], offsets[spikes[k] + 1]):
            if seen[targets[i]] == 0:
                seen[targets[i]] = 1
                target[targets[i]] += weights[start + i]
                done += 1
    for k in range(count):
        for i in range(offsets[spikes[k]], offsets[spikes[k] + 1]):
            seen[targets[i]] = 0
    return done


@jit
def add_convolution(target, weights, start, shape, spikes, count, scratch):
    """Add the kernel entries that each spiking pixel reaches; return the number of additions.

    `shape` holds out channels, kernel height and width, stride, padding, source height and width, target height and
    width; `weights` lie as (in channel, kernel row, kernel column, out channel). Where many entries are to be added,
    the sums are brought into the order (row, column, channel) of the weights first, and back after: then the channels
    of a pixel are added in one vector operation. The order of the additions to each sum stays.
    """
    out, plane = shape[0], shape[7] * shape[8]
    if count * shape[1] * shape[2] < 2 * plane * shape[3] * shape[3]:
        return add_taps(target, weights, start, shape, spikes, count, plane, 1)
    for o in range(out):
        for q in range(plane):
            scratch[q * out + o] = target[o * plane + q]
    done = add_taps(scratch, weights, start, shape, spikes, count, 1, out)
    for o in range(out):
        for q in range(plane):
            target[o * plane + q] = scratch[q * out + o]
    return done


@jit
def add_taps(sums, weights, start, shape, spikes, count, channel_step, pixel_step):
    """Add kernel entries to sums whose channels and pixels lie the given steps apart."""
    out, height, width, stride, padding = shape[0], shape[1], shape[2], shape[3], shape[4]
    source_rows, source_columns, rows, columns = shape[5], shape[6], shape[7], shape[8]
    done = 0
    for k in range(count):
        channel, pixel = divmod(spikes[k], source_rows * source_columns)
        y, x = divmod(pixel, source_columns)
        for i in range(height):
            ty = y + padding - i
            if ty < 0 or ty % stride != 0 or ty // stride >= rows:
                continue
            for j in range(width):
                tx = x + padding - j
                if tx < 0 or tx % stride != 0 or tx // stride >= columns:
                    continue
                # Unsigned, so that no index is tested for counting from the end and the loops stay vectors.
                place = np.uint64((ty // stride * columns + tx // stride) * pixel_step)
                kernel = np.uint64(start + ((channel * height + i) * width + j) * out)
                if channel_step == 1:
                    for o in range(np.uint64(out)):
                        sums[place + o] += weights[kernel + o]
                else:
                    step = np.uint64(channel_step)
                    for o in range(np.uint64(out)):
                        sums[place + o * step] += weights[kernel + o]
                done += out
    return done
