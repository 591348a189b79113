"""Image files that Pillow cannot write."""

import struct
import zlib

import pytest


@pytest.fixture
def tiff():
    """Write grey pixels (H, W) of any type; sample formats: 1 unsigned, 2 signed, 3 float."""

    def write(path, values, sample_format):
        height, width = values.shape
        data = values.tobytes()
        tags = [(256, width), (257, height), (258, 8 * values.itemsize), (259, 1), (262, 1), (273, 8), (277, 1)]
        tags += [(278, height), (279, len(data)), (339, sample_format)]
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
        directory = struct.pack("<H", len(tags)) + entries + bytes(4)
        path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory)

    return write


@pytest.fixture
def color_png():
    """Write 2x2 pixels of 16 bits per color, all of one value."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def write(path, value):
        header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
        rows = (b"\0" + struct.pack(">6H", *[value] * 6)) * 2
        chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)

    return write
