"""The stored model: a small file out, an identical model back.

The format is described in README.md beside this file, with a reader that needs no effdl.
"""

from effdl.models.storage.container import breakdown, quant_grids, read, write
from effdl.models.storage.contents import opened

__all__ = ["breakdown", "opened", "quant_grids", "read", "write"]
