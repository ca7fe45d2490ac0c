"""A folder of recordings as a dataset of tokens: WebDataset shards, for training language models.

OUT/tokens-000000.tar, ...   for each recording NUMBER.tokens.npy, uint16 [num_codebooks, frames], and NUMBER.json
OUT/tokens-000000.json, ...  what each shard holds; it is written last, so a shard without one is made again
OUT/dataset.json             how the dataset was made, and statistics of all of it; there when the dataset is complete

After an interruption, the same call continues with the unfinished shard. Equal recordings give equal bytes.
"""

import hashlib
import io
import json
import os
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from telucodec.audio import folders
from telucodec.audio.reading import read_with_notes
from telucodec.codec import Codec
from telucodec.errors import AudioError, DatasetError
from telucodec.files.whole import whole_file

PLAN, SUMMARY = "plan.json", "dataset.json"


def write(codec: Codec, folder: Path, out: Path, num_codebooks: int = 0, shard_size: int = 1000) -> dict:
    """Tokenise the recordings in `folder`, at any depth, into `out`.

    Args:
        codec: a codec with a token model.
        num_codebooks: 0: all.
        shard_size: recordings in a shard.

    Returns:
        What dataset.json holds. A recording that cannot be read is left out, and named in `rejected` with the reason.

    Raises:
        DatasetError: there are no recordings, or `out` holds a dataset of other recordings or settings.
    """
    from tqdm import tqdm

    recordings = find(folder)
    num_codebooks = codec.token_encoder(num_codebooks).num_codebooks
    settings = {"model": codec.model_id("tokens"), "num_codebooks": num_codebooks, "shard_size": shard_size}
    _check_plan(out, folder, recordings, settings)
    shards = []
    with tqdm(total=len(recordings), unit="recording", file=sys.stderr, disable=None) as bar:
        for number, start in enumerate(range(0, len(recordings), shard_size)):
            chosen = range(start, min(start + shard_size, len(recordings)))
            path = out / f"tokens-{number:06d}.tar"
            if not path.with_suffix(".json").exists():
                part = [(index, recordings[index]) for index in chosen]
                _write_shard(codec, num_codebooks, folder, part, path, bar.update)
            else:
                bar.update(len(chosen))
            shards.append(json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))
    summary = _summary(codec, num_codebooks, shards)
    _write_json(out / SUMMARY, summary)
    return summary


def find(folder: Path) -> list[str]:
    """Recordings below a folder, as sorted paths relative to it.

    Raises:
        DatasetError: there are none, or a folder cannot be listed.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    try:
        found = [path.relative_to(folder).as_posix() for path in folders.recordings(folder)]
    except OSError as error:
        raise DatasetError(f"{error.filename}: cannot be listed ({error.strerror})") from None
    if not found:
        raise DatasetError(f"{folder}: no recordings in it (looked for {', '.join(sorted(folders.SUFFIXES))})")
    return found


def samples(out: Path) -> Iterator[tuple[dict, np.ndarray]]:
    """The recordings of a dataset in order: the description and the tokens of each, uint16 [num_codebooks, frames].

    Raises:
        DatasetError: the dataset is not complete.
    """
    if not (out / SUMMARY).exists():
        raise DatasetError(
            f"{out}: no complete dataset ({SUMMARY} is missing); run the same command again to finish it"
        )
    for path in sorted(out.glob("tokens-*.tar")):
        with tarfile.open(path) as tar:
            members = iter(tar)
            for tokens, description in zip(members, members, strict=True):
                yield json.loads(_content(tar, description)), np.load(io.BytesIO(_content(tar, tokens)))


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    if file is None:
        raise DatasetError(f"{member.name} in a shard is not a file; make the dataset again")
    return file.read()


def _check_plan(out: Path, folder: Path, recordings: list[str], settings: dict) -> None:
    """Start a dataset, or check that it is the one that was started."""
    sizes = ((name, os.stat(folder / name).st_size if os.path.isfile(folder / name) else None) for name in recordings)
    plan = {**settings, "recordings": hashlib.sha256(json.dumps(list(sizes)).encode()).hexdigest()}
    path = out / PLAN
    if path.exists():
        begun = json.loads(path.read_text(encoding="utf-8"))
        other = [name for name, value in plan.items() if begun.get(name) != value]
        if other:
            raise DatasetError(
                f"{out} holds a dataset with other {', '.join(other)}; name another folder, or remove it"
            )
        for left in out.glob(".tokens-*"):  # by a run that was killed
            left.unlink()
        return
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise DatasetError(f"{out} is not empty and holds no dataset; name another folder")
    _write_json(path, plan)


def _write_shard(
    codec: Codec,
    num_codebooks: int,
    folder: Path,
    recordings: list[tuple[int, str]],
    path: Path,
    done: Callable[[], object],
) -> None:
    counts = np.zeros((num_codebooks, codec.codebook_size), np.int64)
    description: dict[str, Any] = {"recordings": 0, "seconds": 0.0, "frames": 0, "bits": 0.0, "rejected": []}
    with whole_file(path) as temporary, tarfile.open(temporary, "w") as tar:
        for index, name in recordings:
            try:
                audio = _read(folder / name, codec.sample_rate)
            except AudioError as error:
                shown = os.fsencode(name).decode("utf-8", "backslashreplace")
                description["rejected"].append({"source": shown, "reason": str(error)})
                done()
                continue
            tokens = codec.tokenize(audio, num_codebooks)
            seconds = len(audio) / codec.sample_rate
            values = io.BytesIO()
            np.save(values, tokens.astype(np.uint16))
            _add(tar, f"{index:09d}.tokens.npy", values.getvalue())
            _add(
                tar, f"{index:09d}.json", json.dumps({"source": name, "seconds": seconds}, ensure_ascii=False).encode()
            )
            counts += [np.bincount(row, minlength=codec.codebook_size) for row in tokens]
            description["recordings"] += 1
            description["seconds"] += seconds
            description["frames"] += tokens.shape[1]
            description["bits"] += float(codec.token_bits(tokens).sum())
            done()
    _write_json(path.with_suffix(".json"), {**description, "counts": counts.tolist()})


def _read(path: Path, rate: int) -> np.ndarray:
    """A recording, if it is whole and lists can hold its name."""
    if not folders.has_utf8_name(path):
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise AudioError(f"{shown}: its name is not UTF-8, which lists of files are; rename it", "name_not_utf8")
    sound = read_with_notes(path, rate)
    if sound.fault:
        raise AudioError(f"{path}: {sound.notes[-1]}", sound.fault)
    return sound.samples


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # no time, no owner: the same recordings give the same bytes
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _summary(codec: Codec, num_codebooks: int, shards: list[dict]) -> dict:
    counts = np.sum([np.array(shard["counts"], np.float64) for shard in shards], axis=0)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    entropy = -np.sum(share * np.log2(share, where=share > 0, out=np.zeros_like(share)), axis=1)
    frames = sum(shard["frames"] for shard in shards)
    bits = sum(shard["bits"] for shard in shards)
    return {
        "model": codec.model_id("tokens"),
        "recordings": sum(shard["recordings"] for shard in shards),
        "rejected": [rejected for shard in shards for rejected in shard["rejected"]],
        "hours": sum(shard["seconds"] for shard in shards) / 3600,
        "frames": frames,
        "frame_rate": codec.frame_rate,
        "num_codebooks": num_codebooks,
        "codebook_size": codec.codebook_size,
        "bits_per_frame": num_codebooks * (codec.codebook_size - 1).bit_length(),
        "bits_per_frame_in_a_file": round(bits / max(frames, 1), 2),
        "perplexity": [round(float(2**bits), 1) for bits in entropy],
        "entropy_bits": [round(float(bits), 3) for bits in entropy],
        "shards": len(shards),
    }


def _write_json(path: Path, value: dict) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
