"""The recordings of a dataset, whatever its format."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from telucodec.dataset import shards
from telucodec.dataset.shards import SUFFIX
from telucodec.errors import DatasetError

SUMMARY = "dataset.json"


def samples(out: Path | str) -> Iterator[tuple[dict, np.ndarray]]:
    """The recordings of a dataset, a folder, in order: the description and the tokens of each, uint16 [num_codebooks, frames].

    Raises:
        DatasetError: the dataset is not complete, or pyarrow is missing for one of parquet.
    """
    out = Path(out)
    if not (out / SUMMARY).exists():
        raise DatasetError(
            f"{out}: no complete dataset ({SUMMARY} is missing); run the same command again to finish it"
        )
    for path in sorted(path for path in out.glob("tokens-*") if path.suffix in SUFFIX.values()):
        for entry in shards.entries(path):
            yield {"source": entry.source, "seconds": entry.seconds}, entry.tokens
