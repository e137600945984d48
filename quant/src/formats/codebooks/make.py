"""Writes the codebooks of the IQ1, IQ2 and IQ3 formats, as PyPI's `gguf` (MIT) has them.

    pip install -r requirements.txt
    python make.py

NAME.bin  an entry is a little-endian u16: the numbers of its levels, the first in the lowest bits;
          eight of two bits, or four of four. What the levels are is in `mod.rs`.
"""

import pathlib

import gguf.quants
import numpy as np

HERE = pathlib.Path(__file__).parent
BOOKS = ["IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S"]


def main() -> None:
    for name in BOOKS:
        book = getattr(gguf.quants, name)
        book.init_grid()
        n_entries, entry_len = book.grid_shape
        levels = np.array(book.grid_map, np.float32)
        numbers = np.searchsorted(levels, book.grid.reshape(n_entries, entry_len))
        assert (levels[numbers] == book.grid.reshape(n_entries, entry_len)).all()
        shifts = np.arange(entry_len) * (16 // entry_len)
        entries = (numbers << shifts).sum(axis=1).astype("<u2")
        entries.tofile(HERE / f"{name.lower()}.bin")


if __name__ == "__main__":
    main()
