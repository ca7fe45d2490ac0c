"""A folder of recordings as a dataset of tokens: WebDataset shards, for training language models.

OUT/tokens-000000.tar, ...   for each recording NUMBER.tokens.npy, uint16 [levels, frames], and NUMBER.json: source, seconds
OUT/tokens-000000.json, ...  what each shard holds; it is written last, so a shard without one is made again
OUT/dataset.json             how the dataset was made, and statistics of all of it; there when the dataset is complete

Interrupted, the same call goes on with the shard it was at. The same recordings give the same bytes.
"""

import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from codec.audio_files import SUFFIXES, AudioError, read, whole_file

PLAN, SUMMARY = "plan.json", "dataset.json"


class DatasetError(ValueError):
    """A dataset cannot be made or read; the message says why and what to do."""


def write(telu, folder: Path, out: Path, levels: int = 0, shard_size: int = 1000) -> dict:
    """Tokenise the recordings in `folder`, at any depth, into `out`.

    Args:
        telu: a `codec.codec.Codec`.
        levels: number of codebooks; 0: all.
        shard_size: recordings in a shard.

    Returns:
        What dataset.json holds. A recording that cannot be read is left out, and named in `rejected` with the reason.

    Raises:
        DatasetError: there are no recordings, or `out` holds a dataset of other recordings or settings.
    """
    from tqdm import tqdm

    recordings = find(folder)
    encoder = telu.token_encoder(levels)  # says when there are not so many codebooks
    _check_plan(
        out, folder, recordings, {"model": telu.ids["tokens"].hex(), "levels": encoder.levels, "shard_size": shard_size}
    )
    shards = []
    with tqdm(total=len(recordings), unit="recording", file=sys.stderr, disable=None) as bar:
        for number, start in enumerate(range(0, len(recordings), shard_size)):
            chosen = range(start, min(start + shard_size, len(recordings)))
            path = out / f"tokens-{number:06d}.tar"
            if not path.with_suffix(".json").exists():
                _write_shard(
                    telu, encoder.levels, folder, [(index, recordings[index]) for index in chosen], path, bar.update
                )
            else:
                bar.update(len(chosen))
            shards.append(json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))
    summary = _summary(telu, encoder.levels, shards)
    _write_json(out / SUMMARY, summary)
    return summary


def find(folder: Path) -> list[str]:
    """Recordings below a folder, as sorted paths relative to it.

    Raises:
        DatasetError: there are none.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    found = sorted(path.relative_to(folder).as_posix() for path in paths)
    if not found:
        raise DatasetError(f"{folder}: no recordings in it (looked for {', '.join(sorted(SUFFIXES))})")
    return found


def samples(out: Path) -> Iterator[tuple[dict, np.ndarray]]:
    """What a dataset holds, in order: of each recording its description and its tokens, uint16 [levels, frames].

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
                values = np.load(io.BytesIO(tar.extractfile(tokens).read()))
                yield json.load(tar.extractfile(description)), values


def _check_plan(out: Path, folder: Path, recordings: list[str], settings: dict) -> None:
    """Begin a dataset, or make sure that it is the one begun."""
    sizes = ((name, (folder / name).stat().st_size) for name in recordings)
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


def _write_shard(telu, levels: int, folder: Path, recordings: list[tuple[int, str]], path: Path, done) -> None:
    counts = np.zeros((levels, telu.token_count), np.int64)
    description = {"recordings": 0, "seconds": 0.0, "frames": 0, "bits": 0.0, "rejected": []}
    with whole_file(path) as temporary, tarfile.open(temporary, "w") as tar:
        for index, name in recordings:
            try:
                audio = read(folder / name, telu.sample_rate)
                tokens = telu.tokenize(audio, levels).numpy()
            except AudioError as error:
                description["rejected"].append({"source": name, "reason": str(error)})
                done()
                continue
            seconds = len(audio) / telu.sample_rate
            values = io.BytesIO()
            np.save(values, tokens.astype(np.uint16))
            _add(tar, f"{index:09d}.tokens.npy", values.getvalue())
            _add(
                tar, f"{index:09d}.json", json.dumps({"source": name, "seconds": seconds}, ensure_ascii=False).encode()
            )
            counts += [np.bincount(level, minlength=telu.token_count) for level in tokens]
            description["recordings"] += 1
            description["seconds"] += seconds
            description["frames"] += tokens.shape[1]
            description["bits"] += float(telu.token_bits(tokens).sum())
            done()
    _write_json(path.with_suffix(".json"), {**description, "counts": counts.tolist()})


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # no time, no owner: the same recordings give the same bytes
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _summary(telu, levels: int, shards: list[dict]) -> dict:
    counts = sum(np.array(shard["counts"], np.float64) for shard in shards)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    entropy = -np.sum(share * np.log2(share, where=share > 0, out=np.zeros_like(share)), axis=1)
    frames = sum(shard["frames"] for shard in shards)
    bits = sum(shard["bits"] for shard in shards)
    return {
        "model": telu.ids["tokens"].hex(),
        "recordings": sum(shard["recordings"] for shard in shards),
        "rejected": [rejected for shard in shards for rejected in shard["rejected"]],
        "hours": sum(shard["seconds"] for shard in shards) / 3600,
        "frames": frames,
        "frame_rate": telu.token_rate,
        "levels": levels,
        "tokens_per_level": telu.token_count,
        "bits_per_frame": levels * (telu.token_count - 1).bit_length(),
        "bits_per_frame_in_a_file": round(bits / max(frames, 1), 2),
        "perplexity": [round(float(2**bits), 1) for bits in entropy],
        "entropy_bits": [round(float(bits), 3) for bits in entropy],
        "shards": len(shards),
    }


def _write_json(path: Path, value: dict) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
