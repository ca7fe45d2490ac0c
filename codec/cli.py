"""The command `telucodec`."""

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from codec.audio_files import AudioError, is_special, read, whole_file, write_wav

EXAMPLES = {
    "encode": """examples:
  telucodec encode talk.wav --snr 30                 talk.tlc, 30 dB signal-to-noise ratio
  telucodec encode talk.wav --kbps 6 --perception 1  6 kbit/s, noise where speech hides it
  telucodec encode *.flac -o coded/ --tokens 8       tokens, 8 codebooks a frame
  telucodec encode talk.wav --tokens --kbps 3        tokens, more of them where there is more to say
  cat talk.wav | telucodec encode - -o - --snr 25 > talk.tlc

Any sample rate and number of channels go in; channels are averaged and resampled to what the model wants (16 kHz).""",
    "decode": """examples:
  telucodec decode talk.tlc                          talk.wav
  telucodec decode coded/*.tlc -o decoded/
  telucodec decode damaged.tlc --lenient             silence where packets are damaged or missing""",
    "info": """example:
  telucodec info talk.tlc --json""",
    "evaluate": """example:
  telucodec evaluate *.flac --snr 30 --json          every file and the mean: kbit/s of the file, SNR, SI-SDR, PESQ-WB, STOI""",
    "tokenize": """example:
  telucodec tokenize recordings/ -o tokens/          WebDataset shards and statistics; interrupted, run it again to go on""",
    "bench": """example:
  telucodec bench --seconds 600                      speed against real time on one core""",
}

TARGETS = "snr", "kbps", "step", "tokens"


class UsageError(ValueError):
    """A request that cannot be carried out; the message says why and what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code is 0, 1 for bad input, 2 for a bad command line."""
    options = _parser().parse_args(arguments)
    from codec.container import ContainerError
    from codec.models import ModelError
    from codec.waveform.entropy import DamagedPacket

    try:
        options.run(options)
    except (AudioError, UsageError, ModelError, ContainerError, DamagedPacket, ValueError) as error:
        print(f"telucodec: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"telucodec: {error.filename or 'output'}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("telucodec: interrupted; finished files are whole, no other was written", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="telucodec", description="A speech codec for Telugu: speech to .tlc files and back."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable, what: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=what,
            description=what,
            epilog=EXAMPLES[name],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(run=run, parser=sub)
        sub.add_argument(
            "--model", type=Path, metavar="DIR", help="folder with waveform/ and tokens/ (default: those shipped)"
        )
        return sub

    encode = command("encode", _encode, "recordings to .tlc files")
    _files(encode, "recordings; - is standard input")
    _targets(encode)
    decode = command("decode", _decode, ".tlc files to 16-bit WAV files")
    _files(decode, ".tlc files; - is standard input")
    decode.add_argument("--lenient", action="store_true", help="silence for damaged packets instead of an error")
    info = command("info", _info, "what a .tlc file holds")
    info.add_argument("input", metavar="FILE")
    info.add_argument("--json", action="store_true", help="as JSON")
    evaluate = command("evaluate", _evaluate, "encode, decode and measure")
    evaluate.add_argument("inputs", nargs="+", metavar="INPUT", help="recordings")
    evaluate.add_argument("--json", action="store_true", help="as JSON")
    _targets(evaluate)
    tokenize = command("tokenize", _tokenize, "a folder of recordings to a dataset of tokens")
    tokenize.add_argument("folder", type=Path, metavar="FOLDER", help="recordings, at any depth")
    tokenize.add_argument(
        "-o", "--output", type=Path, metavar="DIR", required=True, help="new folder, or one to go on with"
    )
    tokenize.add_argument("--levels", type=int, default=0, metavar="N", help="codebooks (default: all)")
    tokenize.add_argument(
        "--shard-size", type=int, default=1000, metavar="N", help="recordings in a shard (default: 1000)"
    )
    bench = command("bench", _bench, "speed against real time, on one core")
    bench.add_argument("--seconds", type=float, default=120.0, help="how much audio (default: 120)")
    return parser


def _files(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=what)
    parser.add_argument(
        "-o", "--output", metavar="FILE|DIR", help="file, folder for several inputs, or - for standard output"
    )
    parser.add_argument("--force", action="store_true", help="overwrite outputs that exist")


def _targets(parser: argparse.ArgumentParser) -> None:
    target = parser.add_argument_group("target, one of these, or --tokens with --kbps")
    target.add_argument(
        "--snr", type=float, metavar="DB", help="signal-to-noise ratio of the whole file, met within 0.1 dB"
    )
    target.add_argument("--kbps", type=float, metavar="K", help="rate of the whole file, met within 2 %%")
    target.add_argument("--step", type=int, metavar="N", help="quantiser step 0..1023, finer by 6 dB every 64")
    target.add_argument(
        "--tokens",
        type=int,
        nargs="?",
        const=0,
        metavar="N",
        help="N codebooks for every frame (default: all), or on average what --kbps allows",
    )
    parser.add_argument(
        "--perception", type=float, default=0.0, metavar="0..1", help="0: least error, 1: noise hidden by speech"
    )


def _target(options: argparse.Namespace) -> dict:
    given = {name: getattr(options, name) for name in TARGETS if getattr(options, name) is not None}
    if len(given) != 1 and set(given) != {"kbps", "tokens"}:
        options.parser.error("give one of --snr, --kbps, --step and --tokens, or --tokens with --kbps")
    return {**given, "perception": options.perception}


def _load(options: argparse.Namespace):
    from codec.codec import load

    return load(options.model)


def _encode(options: argparse.Namespace) -> None:
    wanted, jobs = _target(options), list(_jobs(options, ".tlc"))
    codec = _load(options)
    for source, target in _shown(jobs):
        audio = read(source, codec.sample_rate)
        with _named(source):
            data = codec.encode(audio, **wanted)
        _write(target, data)


def _decode(options: argparse.Namespace) -> None:
    jobs = list(_jobs(options, ".wav"))
    codec = _load(options)
    for source, target in _shown(jobs):
        data = _bytes(source)
        with _named(source):
            write_wav(target, codec.decode_blocks(data, options.lenient), codec.sample_rate)


@contextlib.contextmanager
def _named(source: str) -> Iterator[None]:
    """Errors within name the input."""
    try:
        yield
    except AudioError:
        raise
    except ValueError as error:
        raise UsageError(f"{source}: {error}") from error


def _jobs(options: argparse.Namespace, suffix: str) -> Iterator[tuple[str, str]]:
    """Inputs and where their outputs go; nothing is written before all of them are possible."""
    inputs, output = options.inputs, options.output
    folder = output is not None and output != "-" and (Path(output).is_dir() or output.endswith("/"))
    if len(inputs) > 1 and output is not None and not folder:
        raise UsageError(f"{len(inputs)} inputs need a folder as output, {output!r} is none; end its name with /")
    targets = []
    for source in inputs:
        if output is not None and not folder:
            target = output
        elif source == "-":
            if output is None:
                raise UsageError("standard input needs an output: -o FILE, or -o - for standard output")
            target = str(Path(output) / f"stdin{suffix}")
        else:
            target = str((Path(output) if folder else Path(source).parent) / f"{Path(source).stem}{suffix}")
        if target in targets:
            raise UsageError(f"two inputs would both be written to {target}")
        if target != "-" and Path(target).exists() and not is_special(target) and not options.force:
            raise UsageError(f"{target} exists; --force overwrites it")
        targets.append(target)
    if folder:
        Path(output).mkdir(parents=True, exist_ok=True)
    yield from zip(inputs, targets, strict=True)


def _shown(jobs: list) -> Iterator:
    """The jobs, with a progress bar when there are several."""
    from tqdm import tqdm

    yield from tqdm(jobs, unit="file", file=sys.stderr, disable=None if len(jobs) > 1 else True)


def _bytes(source: str) -> bytes:
    return sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()


def _write(target: str, data: bytes) -> None:
    if target == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    elif is_special(target):
        Path(target).write_bytes(data)
    else:
        with whole_file(Path(target)) as temporary:
            temporary.write_bytes(data)


def _info(options: argparse.Namespace) -> None:
    from codec.container import Mode, read_header

    data = _bytes(options.input)
    header, start = read_header(data)
    names = ("step", "knee") if header.mode is Mode.WAVEFORM else ("codebooks", "mean_codebooks")
    seconds = None if header.samples is None else header.samples / header.sample_rate
    facts = {
        "mode": header.mode.name.lower(),
        "model": header.model.hex(),
        "sample_rate": header.sample_rate,
        "samples": header.samples,
        "seconds": seconds,
        "bytes": len(data),
        "kbps": 8 * len(data) / seconds / 1000 if seconds else None,
        "header_bytes": start,
        "packet_frames": header.packet_frames,
        "key_packets": header.key_packets,
        **dict(zip(names, header.settings, strict=True)),
    }
    if options.json:
        print(json.dumps(facts, indent=2))
    else:
        for name, value in facts.items():
            print(f"{name:14} {'unknown' if value is None else f'{value:.3f}' if isinstance(value, float) else value}")


def _evaluate(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    from codec.metrics import measure

    wanted, codec, rows = _target(options), _load(options), []
    for source in tqdm(options.inputs, unit="file", file=sys.stderr, disable=None if len(options.inputs) > 1 else True):
        audio = read(source, codec.sample_rate)
        with _named(source):
            data = codec.encode(audio, **wanted)
        reference = (audio / 32768).astype("float32")
        kbps = 8 * len(data) / max(len(audio), 1) * codec.sample_rate / 1000
        rows.append({"file": source, "bytes": len(data), "kbps": kbps, **measure(reference, codec.decode(data))})
    names = [name for name in rows[0] if name not in ("file", "bytes")]
    defined = {name: [row[name] for row in rows if row[name] == row[name]] for name in names}
    mean = {name: sum(values) / len(values) for name, values in defined.items() if values}
    if options.json:
        rows = [{name: None if value != value else value for name, value in row.items()} for row in rows]
        print(json.dumps({"files": rows, "mean": mean}, indent=2))
        return
    shown = [name for name in ("kbps", "snr", "si_sdr", "pesq_wb", "stoi") if name in names]
    print(f"{'':40}" + "".join(f"{name:>9}" for name in shown))
    for row in [*rows, {"file": "mean", **mean}]:
        print(f"{row['file'][-40:]:40}" + "".join(f"{row.get(name, float('nan')):9.3f}" for name in shown))


def _tokenize(options: argparse.Namespace) -> None:
    from codec import dataset

    if options.shard_size < 1:
        raise UsageError(f"--shard-size must be at least 1, got {options.shard_size}")
    summary = dataset.write(_load(options), options.folder, options.output, options.levels, options.shard_size)
    rejected = summary.pop("rejected")
    for name, value in summary.items():
        print(f"{name:16} {value}")
    if rejected:
        shown = "; ".join(one["reason"] for one in rejected[:3])
        raise UsageError(
            f"{len(rejected)} recordings are not in the dataset, {options.output}/dataset.json names all: {shown}"
        )


def _bench(options: argparse.Namespace) -> None:
    import torch

    from codec import bench

    if options.seconds < 1:
        raise UsageError(f"--seconds must be at least 1, got {options.seconds}")
    torch.set_num_threads(1)
    for line in bench.speed(_load(options), options.seconds):
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
