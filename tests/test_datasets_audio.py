"""Sound files: every format that is read, and what is refused."""

import builtins
import io
import struct
import wave

import numpy as np
import pytest
from scipy import signal

from snnsim.datasets import read_audio
from snnsim.datasets.inner_ear.audio import resample
from snnsim.errors import DataError, MissingDependencyError, ParameterError

RATE = 16_000
SOUND = np.clip(0.4 * np.random.default_rng(0).standard_normal(500), -1, 1 - 2.0**-7)


def wav(raw, bits, form=1, channels=1, rate=RATE, claimed=None, before=b"", extensible=False):
    """Return the bytes of a WAV file of sound that is encoded already."""
    width = bits // 8 * channels
    head = struct.pack("<HHIIHH", 0xFFFE if extensible else form, channels, rate, rate * width, width, bits)
    if extensible:
        head += struct.pack("<HHIH", 22, bits, 0, form) + bytes.fromhex("000000001000800000aa00389b71")
    chunks = b"fmt " + struct.pack("<I", len(head)) + head + before
    chunks += b"data" + struct.pack("<I", len(raw) if claimed is None else claimed) + raw
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def encoded(sound, bits):
    if bits == 8:
        return np.round(sound * 128 + 128).astype(np.uint8).tobytes()
    whole = np.round(sound * 2.0 ** (bits - 1)).astype(np.int64)
    if bits == 24:
        return b"".join(int(value).to_bytes(3, "little", signed=True) for value in whole)
    return whole.astype(f"<i{bits // 8}").tobytes()


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_whole_numbers(bits, extensible, tmp_path):
    content = wav(encoded(SOUND, bits), bits, extensible=extensible)
    samples, rate = read_audio(content)
    assert (rate, samples.dtype, samples.shape) == (RATE, np.float64, SOUND.shape)
    assert np.abs(samples - SOUND).max() <= 0.5 / 2.0 ** (bits - 1) + 1e-15
    path = tmp_path / "sound.wav"
    path.write_bytes(content)
    assert np.array_equal(read_audio(path)[0], samples)
    assert np.array_equal(read_audio(str(path))[0], samples)


@pytest.mark.parametrize("bits", [32, 64])
def test_floats(bits):
    kind = np.dtype(f"<f{bits // 8}")
    samples, _ = read_audio(wav(SOUND.astype(kind).tobytes(), bits, form=3))
    assert np.array_equal(samples, SOUND.astype(kind))


def test_a_file_of_the_standard_library():
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 96_000, 0, "NONE", ""))
        file.writeframes(encoded(SOUND, 16))
    samples, rate = read_audio(buffer.getvalue())
    assert rate == 96_000
    assert np.abs(samples - SOUND).max() <= 2.0**-16


def test_other_chunks_are_passed_over():
    note = b"LIST" + struct.pack("<I", 5) + b"hello\0"  # of an odd size, so a byte follows that does not count
    assert np.array_equal(
        read_audio(wav(encoded(SOUND, 16), 16, before=note))[0], read_audio(wav(encoded(SOUND, 16), 16))[0]
    )


def test_several_channels_are_refused_or_mixed():
    both = np.stack([SOUND, -0.5 * SOUND], axis=1)
    content = wav(encoded(both, 32), 32, channels=2)
    with pytest.raises(DataError, match=r"2 channels.*mix=True"):
        read_audio(content)
    assert read_audio(content, mix=True)[0] == pytest.approx(0.25 * SOUND, abs=1e-9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (wav(encoded(SOUND, 16), 16)[:-100], r"cut short: 100 of 1,000 bytes"),
        (wav(encoded(SOUND, 16), 16)[:40], "ends before the sound"),
        (wav(encoded(SOUND, 16), 16)[:20], "cut short within its format"),
        (wav(b"", 16), "no samples"),
        (wav(encoded(SOUND, 16), 16, claimed=999), "no whole number of samples"),
        (wav(encoded(SOUND, 16), 12), "format 1 with 12 bits"),
        (wav(encoded(SOUND, 16), 16, form=2), "format 2 with 16 bits"),
        (wav(encoded(SOUND, 16), 16, channels=0), "0 channels"),
        (wav(np.array([0, np.inf], "<f4").tobytes(), 32, form=3), "sample 1 is not a finite"),
        (b"RIFF1234AVI LIST", "not of sound"),
        (b"RIFF1234WAVEdata\0\0\0\0", "before its format"),
    ],
)
def test_damaged_files(content, message, tmp_path):
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as raised:
        read_audio(path)
    assert str(path) in str(raised.value)


def test_no_such_file(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_audio(tmp_path / "none.wav")


def flac(sound, rate=RATE):
    soundfile = pytest.importorskip("soundfile", reason="FLAC needs soundfile: pip install 'snnsim[audio]'")
    buffer = io.BytesIO()
    soundfile.write(buffer, sound, rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def test_flac():
    samples, rate = read_audio(flac(SOUND, 48_000))
    assert rate == 48_000
    assert np.abs(samples - SOUND).max() <= 2.0**-15
    with pytest.raises(DataError, match="2 channels"):
        read_audio(flac(np.stack([SOUND, SOUND], axis=1)))


def test_damaged_flac():
    content = flac(0.3 * np.random.default_rng(1).standard_normal(50_000))
    with pytest.raises(DataError, match=r"cut short|damaged"):
        read_audio(content[: len(content) // 2])
    with pytest.raises(DataError, match="no sound file"):
        read_audio(b"neither this nor that")


def test_flac_without_soundfile(monkeypatch):
    original = builtins.__import__

    def without(name, *arguments, **options):
        if name == "soundfile":
            raise ImportError(name)
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"snnsim\[audio\]"):
        read_audio(b"fLaC....")
    assert read_audio(wav(encoded(SOUND, 16), 16))[0].size == SOUND.size  # WAV needs nothing


@pytest.mark.parametrize("samples", [400, 401, 1])
@pytest.mark.parametrize(("before", "after"), [(8000, 48_000), (48_000, 8000), (44_100, 48_000), (48_000, 47_999)])
def test_resampling_is_that_of_scipy(samples, before, after):
    sound = np.random.default_rng(2).standard_normal(samples)
    length = max(1, round(samples * after / before))
    assert resample(sound, before, after) == pytest.approx(signal.resample(sound, length), abs=1e-12)


def test_resampling_keeps_a_tone():
    time = np.arange(800) / 8000
    window = np.hanning(800)
    fine = np.arange(4800) / 48_000
    expected = np.sin(2 * np.pi * 1234 * fine) * np.interp(fine, time, window)
    assert np.abs(resample(np.sin(2 * np.pi * 1234 * time) * window, 8000, 48_000) - expected)[:-12].max() < 1e-3


@pytest.mark.parametrize("rate", [0, -8000, np.nan, np.inf, "8000", 44.1])
def test_sample_rates_that_are_refused(rate):
    with pytest.raises(ParameterError, match="sample_rate"):
        resample(SOUND, rate, 48_000)
