"""The stored model: a small file out, an identical model back.

The file is an ordinary safetensors file of two byte tensors, ``index`` and ``data``. Its metadata entry ``effdl`` is
JSON: ``format`` ("model-2"); ``index``, the length of the decoded index; ``sha256``, of ``index`` and ``data`` as they
lie in the file, one after the other. Nothing in the file is ever executed. Equal models give equal files.

**Index.** ``index`` is JSON in a raw LZMA2 stream (dictionary of 8 MiB):

- ``model``: what rebuilds the architecture;
- ``streams``: ``[[name, coded length, steps], ...]``, the streams in ``data``, one after the other;
- ``tensors``: ``[[name, dtype, shape, kind, ...], ...]`` in the order of the state dict.

**Streams.** ``steps`` says how to decode a stream: ``[[step, length of its result in bytes], ...]``, the first one
applied to the coded bytes; without steps they are the stream. Steps are ``huffman`` and ``deflate`` (both a raw deflate
stream); ``lzma`` (raw LZMA2, 8 MiB); ``pack1`` ... ``pack7`` (a string of numbers of so many bits, the highest bit
first, becomes one number per byte; zero bits fill it up to a multiple of 8 numbers); ``gaps`` (a byte below 255 stands
for that many zero bits and a one bit, 255 for 255 zero bits; the very last one bit only marks the end).

**Tensors.** Each takes the next bytes of the streams it needs, so the index is read in its order:

- A ``sparse`` tensor takes from ``mask`` one bit per element, the highest of a byte first, filled up to whole bytes: 1
  where an element is stored, all others are zero. A ``dense`` one stores all elements. Elements are in row-major order.
- Plain values (nothing after ``kind``): of floats, byte i (little-endian) of all stored elements lies in ``DTYPE.i``,
  say ``float32.0`` ... ``float32.3``; of other types, the stored elements lie in ``bytes``.
- ``"palette", n``: n values of the tensor's dtype, stored like plain ones; then, per stored element, an index into
  them, one byte each, in ``symbols.B`` with B = max(1, ceil(log2 n)).
- ``"grid", bits, dtype, shape``: a scale of that dtype and shape, stored like plain values; then one symbol per stored
  element in ``symbols.BITS``. Its code is symbol - 2**(bits - 1); of one bit, 2 * symbol - 1; of an element not stored,
  0. The element is code * scale, the scale broadcast to the tensor's shape, computed in the scale's dtype
  and converted to the tensor's.

"Zero" means all bits zero, so that -0.0 comes back as -0.0. At the end every stream is used up.
"""

from effdl.models.storage.container import breakdown, quant_grids, read, write

__all__ = ["breakdown", "quant_grids", "read", "write"]
