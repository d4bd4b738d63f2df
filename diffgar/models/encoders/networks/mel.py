"""Mel filter banks and spectrograms in plain torch, in the conventions of the encoders' own front ends."""

import math

import torch
from torch import Tensor


def hz_to_mel(hz: Tensor, scale: str) -> Tensor:
    """Frequencies (N,) in Hz to mel.

    scale: "htk" is 2595 log10(1 + f/700); "slaney" is linear below 1 kHz (3 mel per 200 Hz) and logarithmic above it
    (27 mel per factor of 6.4).
    """
    if scale == "htk":
        return 2595 * torch.log10(1 + hz / 700)
    logarithmic = 15 + 27 * torch.log(hz.clamp(min=1000) / 1000) / math.log(6.4)
    return torch.where(hz < 1000, hz * 3 / 200, logarithmic)


def mel_to_hz(mel: Tensor, scale: str) -> Tensor:
    """Mel (N,) to frequencies in Hz: the inverse of `hz_to_mel`."""
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    return torch.where(mel < 15, mel * 200 / 3, 1000 * torch.exp((mel - 15) * math.log(6.4) / 27))


def mel_bank(
    num_mels: int, n_fft: int, sample_rate: int, f_min: float, f_max: float, scale: str, norm: str | None = None
) -> Tensor:
    """Triangular filters (n_fft/2 + 1, M) float32, their edges evenly spaced on the mel scale.

    f_min, f_max: in Hz. scale: "htk" or "slaney". norm: None for filters of unit height, "slaney" of unit area, "l2" of
    unit L2 norm. Bands above the Nyquist frequency are zero.
    """
    bins = evenly_spaced(0, sample_rate / 2, n_fft // 2 + 1)  # (F,)
    lowest, highest = hz_to_mel(evenly_spaced(f_min, f_max, 2), scale).tolist()
    edges = mel_to_hz(evenly_spaced(lowest, highest, num_mels + 2), scale)  # (M + 2,)
    rising = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])  # (F, M)
    falling = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    bank = torch.minimum(rising, falling).clamp(min=0)  # (F, M)
    if norm == "slaney":
        bank = bank * 2 / (edges[2:] - edges[:-2])
    elif norm == "l2":
        bank = bank / bank.norm(dim=0).clamp(min=torch.finfo(torch.float32).tiny)
    return bank.float()


def evenly_spaced(first: float, last: float, count: int) -> Tensor:
    """`count` numbers from first to last, in float64, and on the CPU even if the network is built on another device."""
    return torch.linspace(first, last, count, dtype=torch.float64, device="cpu")


def power_spectrogram(waveforms: Tensor, n_fft: int, hop: int, window: Tensor) -> Tensor:
    """|STFT|² of waveforms (N, S), frames centred on multiples of `hop`, reflected at the ends: (N, n_fft/2 + 1, F).

    A window shorter than n_fft sits in the middle of its frame.
    """
    spectrum = torch.stft(
        waveforms,
        n_fft,
        hop,
        win_length=len(window),
        window=window,
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )
    return spectrum.real.square() + spectrum.imag.square()


def decibels(power: Tensor) -> Tensor:
    """Power to decibels, 10 log10, with a floor of -100 dB."""
    return 10 * torch.log10(power.clamp(min=1e-10))
