"""Recordings as a dataset of tokens, for training language models.

OUT/tokens-000000.tar, ...   shards; in parquet tokens-000000.parquet. `telucodec.dataset.shards` says what is in one
OUT/tokens-000000.json, ...  what each shard holds; it is written last, so a shard without one is made again
OUT/dataset.json             how the dataset was made, and statistics of all of it; there when the dataset is complete

After an interruption, the same call continues with the unfinished shard. Equal recordings give equal bytes, whatever
the number of processes.
"""

from telucodec.dataset.reading import samples
from telucodec.dataset.recordings import Recording, find
from telucodec.dataset.shards import Format
from telucodec.dataset.writing import write

__all__ = ["Format", "Recording", "find", "samples", "write"]
