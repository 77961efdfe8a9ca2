"""Sound from files: WAV is read here, other formats through the optional package soundfile; and another sample rate."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.errors import DataError, ParameterError, missing_dependency, positive

#: Samples a second that a recording must have; less is a rate given in kHz, and a recording of hours.
LOWEST_RATE = 1000
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE


def read_audio(source: bytes | str | Path, *, mix: bool = False) -> tuple[NDArray[np.float64], int]:
    """Read a sound file with one channel.

    Parameters
    ----------
    source : bytes or path
        Contents of the file, or where it is. WAV with whole numbers of 8, 16, 24 or 32 bits or floats of 32 or 64 bits;
        FLAC and others that libsndfile reads need ``pip install 'snnsim[audio]'``.
    mix : bool
        Take the mean of several channels instead of refusing the file.

    Returns
    -------
    samples : ndarray of float64, shape (samples,)
        -1 to 1 where the file holds whole numbers.
    sample_rate : int
        Samples a second.

    Raises
    ------
    DataError
        No such file, a damaged or truncated file, a format not known here, several channels without `mix`, no samples,
        or samples that are not finite.
    MissingDependencyError
        The file is no WAV, and soundfile is not installed.
    """
    if isinstance(source, bytes):
        content, name = source, "sound"
    else:
        name = str(source)
        try:
            content = Path(source).read_bytes()
        except OSError as error:
            raise DataError(f"{name}: cannot be read ({error.strerror or error})") from error
    if not content:
        raise DataError(f"{name}: the file is empty")
    samples, sample_rate = _read_wav(content, name) if content[:4] == b"RIFF" else _read_other(content, name)
    if samples.shape[1] > 1:
        if not mix:
            raise DataError(
                f"{name}: {samples.shape[1]} channels, and one is needed; pass mix=True for their mean, or choose one"
            )
        samples = samples.mean(axis=1, keepdims=True)
    if not samples.shape[0]:
        raise DataError(f"{name}: the file has no samples")
    try:
        return check_audio(samples[:, 0]), sample_rate
    except DataError as error:
        raise DataError(f"{name}: {error}") from None


def check_audio(audio: ArrayLike) -> NDArray[np.float64]:
    """Return sound as an array of float64, or raise `DataError` unless it is flat, numbers, and finite."""
    if np.iscomplexobj(audio):
        raise DataError("audio: complex numbers; sound is real")
    try:
        samples = np.asarray(audio, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"audio: not an array of numbers ({error})") from error
    if samples.ndim != 1 or not samples.size:
        raise DataError(f"audio: shape {samples.shape}, and one flat array of samples is needed; mix channels first")
    if not np.all(np.isfinite(samples)):
        bad = int(np.argmin(np.isfinite(samples)))
        raise DataError(f"audio: sample {bad} is not a finite number ({samples[bad]})")
    return np.ascontiguousarray(samples)


def resample(samples: NDArray[np.float64], before: float, after: float) -> NDArray[np.float64]:
    """Return sound at another sample rate, with all frequencies that both rates can hold and none else.

    The spectrum is cut or continued with zeros, which takes the recording for one period: its two ends leak into each
    other for some samples. The length is rounded to whole samples.
    """
    positive("sample_rate", before)
    if before < LOWEST_RATE:
        raise ParameterError(f"sample_rate={before!r}: must be {LOWEST_RATE:,} Hz or above; is it in kHz?")
    if before == after:
        return samples.copy()
    length = max(1, round(samples.size * after / before))
    spectrum = np.fft.rfft(samples)
    kept = min(spectrum.size, length // 2 + 1)
    new = np.zeros(length // 2 + 1, np.complex128)
    new[:kept] = spectrum[:kept]
    shorter = min(samples.size, length)
    if shorter % 2 == 0 and samples.size != length:
        # The highest frequency of an even number of samples stands for its own mirror image too.
        new[shorter // 2] *= 0.5 if length > samples.size else 2.0
    return np.asarray(np.fft.irfft(new, length) * (length / samples.size))


def _read_wav(content: bytes, name: str) -> tuple[NDArray[np.float64], int]:
    if content[8:12] != b"WAVE":
        raise DataError(f"{name}: a RIFF file, but not of sound (WAVE is missing)")
    layout, place = None, 12
    while place + 8 <= len(content):
        kind, size = content[place : place + 4], struct.unpack_from("<I", content, place + 4)[0]
        place += 8
        if kind == b"fmt ":
            layout = _layout(content[place : place + size], name)
        elif kind == b"data":
            if layout is None:
                raise DataError(f"{name}: the file is damaged: sound comes before its format")
            missing = place + size - len(content)
            if missing > 0:
                raise DataError(
                    f"{name}: the file is cut short: {missing:,} of {size:,} bytes of sound are missing; get it afresh"
                )
            return _decode(content[place : place + size], layout, name)
        place += size + size % 2
    raise DataError(f"{name}: the file is cut short: it ends before the sound; get it afresh")


def _layout(chunk: bytes, name: str) -> tuple[int, int, int, int]:
    """Return format, channels, sample rate and bits a sample."""
    if len(chunk) < 16:
        raise DataError(f"{name}: the file is cut short within its format; get it afresh")
    form, channels, sample_rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if form == _EXTENSIBLE and len(chunk) >= 26:
        form = struct.unpack_from("<H", chunk, 24)[0]
    if (form, bits) not in ((_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32), (_FLOAT, 64)):
        raise DataError(
            f"{name}: WAV of format {form} with {bits} bits; known are whole numbers of 8, 16, 24 and 32 bits "
            "and floats of 32 and 64 bits: convert the file"
        )
    if channels < 1 or sample_rate < 1:
        raise DataError(f"{name}: the file is damaged: {channels} channels, {sample_rate} samples a second")
    return form, channels, sample_rate, bits


def _decode(raw: bytes, layout: tuple[int, int, int, int], name: str) -> tuple[NDArray[np.float64], int]:
    form, channels, sample_rate, bits = layout
    width = bits // 8 * channels
    if len(raw) % width:
        raise DataError(
            f"{name}: the file is damaged: {len(raw):,} bytes of sound are no whole number of samples of {width} bytes"
        )
    values: NDArray[Any]
    if form == _FLOAT:
        values = np.frombuffer(raw, f"<f{bits // 8}").astype(np.float64)
    elif bits == 8:
        values = (np.frombuffer(raw, np.uint8) - 128.0) / 128.0
    elif bits == 24:
        parts = np.zeros((len(raw) // 3, 4), np.uint8)
        parts[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        values = parts.view("<i4")[:, 0] / 2.0**31
    else:
        values = np.frombuffer(raw, f"<i{bits // 8}") / 2.0 ** (bits - 1)
    return values.astype(np.float64, copy=False).reshape(-1, channels), sample_rate


def _read_other(content: bytes, name: str) -> tuple[NDArray[np.float64], int]:
    try:
        import soundfile
    except ImportError as error:
        raise missing_dependency("soundfile", "audio", f"{name}: reading sound that is not WAV") from error
    except OSError as error:  # the package is there, its library is not
        raise DataError(f"{name}: soundfile finds no libsndfile ({error})") from error
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            samples = file.read(dtype="float64", always_2d=True)
            expected, sample_rate = int(file.frames), int(file.samplerate)
    except (RuntimeError, TypeError) as error:
        raise DataError(f"{name}: no sound file, or damaged ({error})") from error
    if samples.shape[0] != expected:
        raise DataError(
            f"{name}: the file is cut short: {samples.shape[0]:,} of {expected:,} samples are there; get it afresh"
        )
    return samples, sample_rate
