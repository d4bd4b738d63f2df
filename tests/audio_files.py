"""What the tests of audio files share: music to write, and MP3 frames and OGG pages taken apart."""

import numpy as np
import soundfile

from diffgar.dataloading.decoders.checksums import crc
from diffgar.dataloading.decoders.mpeg import mpeg_frame


def music(seconds=4.0, rate=44100, channels=1, seed=0, peak=0.3):
    """Two notes over noise (S, channels): no two moments of it are alike, so that a shift is seen."""
    time = np.arange(round(seconds * rate)) / rate
    wave = peak * np.sin(2 * np.pi * (220 + 20 * time) * time) + 0.1 * np.sin(2 * np.pi * 1234.5 * time)
    noise = 0.05 * np.random.default_rng(seed).standard_normal((len(time), channels))
    return (wave[:, None] + noise).astype(np.float32)


def write(path, wave, rate=44100, form=None, subtype=None, **options):
    """Write in parts of a second: libsndfile's Vorbis encoder does not bear minutes at once."""
    with soundfile.SoundFile(path, "w", rate, wave.shape[1], subtype, format=form, **options) as file:
        for start in range(0, len(wave), rate):
            file.write(wave[start : start + rate])
    return path


def write_mp3(path, wave, rate=44100, mode="VARIABLE", level=0.5):
    return write(path, wave, rate, "MP3", "MPEG_LAYER_III", bitrate_mode=mode, compression_level=level)


def mp3_frames(content):
    """The frames of an MP3 without tags, its information frame first."""
    frames, position = [], 0
    while position < len(content):
        length = mpeg_frame(content[position : position + 4]).length
        frames.append(content[position : position + length])
        position += length
    return frames


def id3v2(size):
    """An ID3v2 tag with `size` bytes of album art."""
    art = b"APIC" + size.to_bytes(4, "big") + bytes(2) + b"\xff\xfb\x90\x64" * (size // 4)
    return b"ID3\x03\0\0" + bytes(len(art) >> shift & 127 for shift in (21, 14, 7, 0)) + art


def ape(size):
    """An APE tag with header and footer."""
    numbers = (2000).to_bytes(4, "little") + (size + 32).to_bytes(4, "little") + (1).to_bytes(4, "little")
    header, footer = (bytes([0, 0, 0, flag]) + bytes(8) for flag in (0xA0, 0x80))
    return b"APETAGEX" + numbers + header + b"x" * size + b"APETAGEX" + numbers + footer


ID3V1 = b"TAG" + b"a title".ljust(125, b"\0")


def ogg_pages(content):
    """The pages of an OGG file."""
    pages, position = [], 0
    while position < len(content):
        segments = content[position + 26]
        length = 27 + segments + sum(content[position + 27 : position + 27 + segments])
        pages.append(bytearray(content[position : position + length]))
        position += length
    return pages


def sealed(page):
    """A page with its right checksum."""
    page[22:26] = bytes(4)
    page[22:26] = crc(bytes(page), 0x04C11DB7, 32).to_bytes(4, "little")
    return bytes(page)
