"""The kind of a file, by its first bytes: a suffix proves nothing."""

from typing import BinaryIO

from diffgar.dataloading.decoders import mpeg

SNIFFED = 2**16
# What PyAV reads, where it is installed
AV = {
    "MP4": "MP4 or M4A",
    "WEBM": "WebM or Matroska",
    "ADTS": "AAC (ADTS)",
    "ASF": "WMA (ASF)",
    "FLV": "Flash video",
    "AMR": "AMR",
    "APE": "Monkey's Audio",
    "WAVPACK": "WavPack",
    "TTA": "TTA",
    "MUSEPACK": "Musepack",
    "DSD": "DSD",
    "OGG": "OGG with another codec than Vorbis, Opus and FLAC",
}
# What is no audio but is often found where audio should be
OTHER = {
    "HTML": ("is a web page (HTML), not audio", "fetch the file again: the server answered with a page"),
    "LFS": ("is a pointer of Git LFS, not audio", "fetch the audio with git lfs pull"),
    "ZIP": ("is a ZIP archive, not audio", "unpack it"),
    "GZIP": ("is a gzip archive, not audio", "unpack it"),
    "MIDI": ("is MIDI: notes, not audio", "render it to WAV"),
    "PNG": ("is a picture (PNG), not audio", "correct its path in the table"),
    "JPEG": ("is a picture (JPEG), not audio", "correct its path in the table"),
    "PDF": ("is a PDF document, not audio", "correct its path in the table"),
    "NIST": ("is NIST SPHERE, which is not read", "convert it to WAV or FLAC"),
    "VOC": ("is Creative Voice, which is not read", "convert it to WAV or FLAC"),
}
MAGIC = [  # (offset, bytes, kind)
    (0, b"fLaC", "FLAC"),
    (0, b"OggS", "OGG"),
    (0, b"caff", "CAF"),
    (0, b".snd", "AU"),
    (0, b"dns.", "AU"),
    (0, b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00", "W64"),
    (4, b"ftyp", "MP4"),
    (4, b"moov", "MP4"),
    (4, b"mdat", "MP4"),
    (0, b"\x1a\x45\xdf\xa3", "WEBM"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "ASF"),
    (0, b"FLV\x01", "FLV"),
    (0, b"#!AMR", "AMR"),
    (0, b"MAC ", "APE"),
    (0, b"wvpk", "WAVPACK"),
    (0, b"TTA1", "TTA"),
    (0, b"MPCK", "MUSEPACK"),
    (0, b"MP+", "MUSEPACK"),
    (0, b"DSD ", "DSD"),
    (0, b"FRM8", "DSD"),
    (0, b"version https://git-lfs", "LFS"),
    (0, b"PK\x03\x04", "ZIP"),
    (0, b"\x1f\x8b", "GZIP"),
    (0, b"MThd", "MIDI"),
    (0, b"\x89PNG", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"%PDF", "PDF"),
    (0, b"NIST_1A", "NIST"),
    (0, b"Creative Voice File", "VOC"),
]


def sniff(file: BinaryIO) -> tuple[str | None, int]:
    """(kind, where it begins) of an open file; tags (ID3) before it are skipped.

    Kinds: WAV (RIFF, RIFX, RF64, BW64), W64, AIFF, AU, CAF, FLAC, OGG, MP3 (MPEG layers I to III), those of `AV` and
    `OTHER`, or None.
    """
    start = mpeg.after_tags(file, 0)
    file.seek(start)
    head = file.read(SNIFFED)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return "WAV", start
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "AIFF", start
    for offset, magic, kind in MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return kind, start
    if head[:512].lstrip(b"\xef\xbb\xbf \r\n\t").lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "HTML", start
    for kind, headers in (("MP3", mpeg.mpeg_frame), ("ADTS", mpeg.adts_frame)):
        found = mpeg.find_frames(file, headers, start, start + len(head))
        if found is not None:
            return kind, found
    return None, start
