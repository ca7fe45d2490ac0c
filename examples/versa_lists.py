"""Codes a folder of recordings and lists originals and results as VERSA's scorer takes them.

python -m examples.versa_lists DIR OUT tokens_8
versa-score --score_config CONFIG --gt OUT/gt.scp --pred OUT/pred.scp --io soundfile --output_file OUT/scores.jsonl
"""

import argparse
from pathlib import Path

import telucodec
from telucodec import CodecError, OperatingPoint
from telucodec.audio.reading import read
from telucodec.audio.samples import floats
from telucodec.audio.writing import write_wav
from telucodec.dataset import find


def write(folder: Path, out: Path, point: OperatingPoint) -> float:
    """Write OUT/gt, OUT/pred (WAV, 16 kHz) and a list of each; returns the mean kbit/s of the files.

    Raises:
        CodecError: there are no recordings, or one cannot be read or coded.
    """
    telu = telucodec.load()
    lists: dict[str, list[str]] = {"gt": [], "pred": []}
    bits = seconds = 0.0
    for name in lists:
        (out / name).mkdir(parents=True, exist_ok=True)
    for number, recording in enumerate(find(folder)):
        original = read(recording.source, telu.sample_rate, recording.name)
        data = telu.encode(original, **point.arguments)
        bits, seconds = bits + 8 * len(data), seconds + len(original) / telu.sample_rate
        for name, audio in (("gt", floats(original)), ("pred", telu.decode(data))):
            path = out / name / f"{number:06d}.wav"
            write_wav(path, [audio], telu.sample_rate)
            lists[name].append(f"{path.stem} {path.resolve()}\n")
    for name, lines in lists.items():
        (out / f"{name}.scp").write_text("".join(lines), encoding="utf-8")
    return bits / seconds / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="recordings, at any depth")
    parser.add_argument("out", type=Path)
    parser.add_argument("point", help="an operating point: tokens_8, snr_30, perception_1_kbps_6.5")
    options = parser.parse_args()
    try:
        kbps = write(options.folder, options.out, OperatingPoint.parse(options.point))
    except CodecError as error:
        parser.exit(1, f"error: {error}\n")
    print(f"{options.out}/gt.scp, {options.out}/pred.scp: {options.point}, {kbps:.2f} kbit/s")


if __name__ == "__main__":
    main()
