"""The command line: commands, options and help. A command's module is imported when the command runs."""

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from telucodec.errors import CodecError
from telucodec.operating_point import OperatingPoint
from telucodec.processors import usable

EXAMPLES = {
    "encode": """examples:
  telucodec encode talk.wav --snr 30                 talk.tlc, 30 dB signal-to-noise ratio
  telucodec encode talk.wav --kbps 6 --perception 1  6 kbit/s, noise where speech hides it
  telucodec encode *.flac -o coded/ --tokens 8       tokens of 8 codebooks a frame
  telucodec encode talk.wav --tokens --kbps 3        tokens, more of them where the speech needs more
  cat talk.wav | telucodec encode - -o - --snr 25 > talk.tlc

The input may have any sample rate and any number of channels; channels are averaged and resampled to 16 kHz.""",
    "decode": """examples:
  telucodec decode talk.tlc                          talk.wav
  telucodec decode coded/*.tlc -o decoded/
  telucodec decode talk.tlc --float                  keeps samples beyond full scale, which 16 bits clip
  telucodec decode damaged.tlc --lenient             goes on where packets are damaged or missing""",
    "info": """example:
  telucodec info talk.tlc --json""",
    "evaluate": """example:
  telucodec evaluate *.flac --snr 30 --json          each file and the mean: kbit/s of the file, SNR, SI-SDR, PESQ-WB, STOI""",
    "tokenize": """example:
  telucodec tokenize recordings/ -o tokens/          WebDataset shards and statistics; after an interruption, run it again
  telucodec tokenize recordings/ -o tokens/ --format parquet

Recordings may lie inside parquet files of the Hugging Face hub and WebDataset tars, too.""",
    "doctor": """example:
  telucodec doctor                                   the exit code is 1 if something is broken""",
    "bench": """example:
  telucodec bench --seconds 600                      speed against real time on one core""",
}


def parser() -> argparse.ArgumentParser:
    """The parser; `run` of the parsed options carries out the command."""
    main = argparse.ArgumentParser(
        prog="telucodec", description="A speech codec for Telugu: speech to .tlc files and back."
    )
    commands = main.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, what: str, model: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=what,
            description=what,
            epilog=EXAMPLES[name],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(run=_runner(name), parser=sub)
        if model:
            sub.add_argument(
                "--model",
                type=Path,
                metavar="DIR",
                help="folder with waveform/ and tokens/ (default: the shipped models)",
            )
        return sub

    encode = command("encode", "Encode recordings as .tlc files.")
    _add_files(encode, "recordings; - is standard input")
    _add_target(encode)
    _add_many(encode)
    decode = command("decode", "Decode .tlc files to WAV files of 16 bits.")
    _add_files(decode, ".tlc files; - is standard input")
    _add_many(decode)
    decode.add_argument(
        "--plain", action="store_true", help="without the network that improves files with --perception"
    )
    decode.add_argument("--float", action="store_true", help="32-bit floating-point WAV, which clips nothing")
    decode.add_argument("--lenient", action="store_true", help="conceal damaged packets instead of an error")
    info = command("info", "Print what a .tlc file holds.", model=False)
    info.add_argument("input", metavar="FILE", help="a .tlc file; - is standard input")
    info.add_argument("--json", action="store_true", help="print JSON")
    evaluate = command("evaluate", "Encode, decode and measure recordings.")
    evaluate.add_argument("inputs", nargs="+", metavar="INPUT", help="recordings")
    evaluate.add_argument("--json", action="store_true", help="print JSON")
    _add_target(evaluate)
    _add_many(evaluate)
    tokenize = command("tokenize", "Turn a folder of recordings into a dataset of tokens.")
    tokenize.add_argument(
        "folder", type=Path, metavar="FOLDER", help="recordings, at any depth and inside parquet files and tars"
    )
    tokenize.add_argument(
        "-o", "--output", type=Path, metavar="DIR", required=True, help="a new folder, or one to continue"
    )
    tokenize.add_argument("--codebooks", type=int, default=0, metavar="N", help="codebooks (default: all)")
    tokenize.add_argument(
        "--shard-size", type=int, default=1000, metavar="N", help="recordings in a shard (default: 1000)"
    )
    tokenize.add_argument(
        "--format", choices=("webdataset", "parquet"), default="webdataset", help="of the shards (default: webdataset)"
    )
    tokenize.add_argument(
        "--jobs", type=int, default=usable(), metavar="N", help="processes (default: one for each processor)"
    )
    bench = command("bench", "Measure the speed against real time on one core.")
    bench.add_argument("--seconds", type=float, default=120.0, help="how much audio (default: 120)")
    command("doctor", "Say what is installed, what is missing, and what to do about it.")
    return main


def operating_point(options: argparse.Namespace) -> OperatingPoint:
    """The operating point of the options; ends the process with a usage message if they do not name exactly one."""
    targets = {name: getattr(options, name) for name in ("snr", "kbps", "step", "tokens")}
    given = {name for name, value in targets.items() if value is not None}
    if len(given) != 1 and given != {"kbps", "tokens"}:
        _usage_error(options, "give one of --snr, --kbps, --step and --tokens, or --tokens with --kbps")
    try:
        return OperatingPoint(**targets, perception=options.perception)
    except CodecError as error:
        _usage_error(options, str(error))


def _usage_error(options: argparse.Namespace, message: str) -> NoReturn:
    options.parser.error(message)
    raise AssertionError("argparse ends the process")


def _runner(name: str) -> Callable[[argparse.Namespace], None]:
    return lambda options: importlib.import_module(f"telucodec.cli.{name}").run(options)


def _add_files(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=what)
    parser.add_argument(
        "-o", "--output", metavar="FILE|DIR", help="a file, a folder for several inputs, or - for standard output"
    )
    parser.add_argument("--force", action="store_true", help="overwrite outputs that exist")


def _add_many(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fail-fast", action="store_true", help="stop at the first bad input instead of doing the others"
    )


def _add_target(parser: argparse.ArgumentParser) -> None:
    target = parser.add_argument_group("target: one of these, or --tokens with --kbps")
    target.add_argument(
        "--snr", type=float, metavar="DB", help="signal-to-noise ratio of the whole file, met within 0.1 dB"
    )
    target.add_argument("--kbps", type=float, metavar="K", help="rate of the whole file, met within 2 %%")
    target.add_argument("--step", type=int, metavar="N", help="quantiser step 0..1023, finer by 6 dB every 64")
    target.add_argument(
        "--tokens",
        type=_codebooks,
        nargs="?",
        const=0,
        metavar="N",
        help="N codebooks in each frame (default: all), or with --kbps as many as fit",
    )
    parser.add_argument(
        "--perception", type=float, default=0.0, metavar="0..1", help="0: least error, 1: noise hidden by speech"
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="fail where a target is out of reach, instead of coming as close as possible",
    )


def _codebooks(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of codebooks; put the names of files before --tokens"
        ) from None
