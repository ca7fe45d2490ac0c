"""The flows from a shell, with or without a server: `python -m pipeline.flows [train|experiments|ladder|watch|sweep|...]`."""

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

from pipeline.common import prefect_server
from pipeline.common.yaml12 import YamlError, parse

if TYPE_CHECKING:
    from prefect import State

os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")  # for a busy machine
for name in ("PREFECT_SERVER_ANALYTICS_ENABLED", "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY"):
    os.environ.setdefault(name, "false")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.flows", description="Run the pipeline as Prefect flows.")
    commands = parser.add_subparsers(dest="command")
    train = commands.add_parser("train", help="run the pipeline (the default)")
    train.add_argument("-S", dest="overrides", metavar="KEY=VALUE", type=_override, action="append", default=[])
    train.add_argument("--name")
    train.add_argument("--corpus", help="folder of recordings")
    train.add_argument("--fresh", action="store_true", help="train from scratch")
    train.add_argument("--if-busy", choices=["wait", "refuse"], default="wait")
    train.add_argument("--retries", type=int, default=2, help="how often a failed stage is tried again (default: 2)")
    train.add_argument(
        "--retry-seconds", type=float, default=10, help="delay before the first retry, doubled each time"
    )
    experiments = commands.add_parser("experiments", help="run a list of experiments")
    experiments.add_argument("file", nargs="?", default="experiments.yaml")
    ladder = commands.add_parser("ladder", help="run the fix ladder")
    ladder.add_argument("file", nargs="?", default="fixes.yaml")
    watch = commands.add_parser("watch", help="run the pipeline if there are new recordings")
    watch.add_argument("--every", type=float, metavar="SECONDS", help="repeat at this interval")
    sweep = commands.add_parser("sweep", help="mark runs whose process died as crashed")
    sweep.add_argument(
        "--pending", metavar="POOL", help="and those that no worker of this pool will begin; none may run"
    )
    for name, help in (("serve", "run a server, a worker and the deployments"), ("demo", "show a scheduled run")):
        commands.add_parser(name, help=help).add_argument("--port", type=int, default=4200)
    arguments = parser.parse_args(sys.argv[1:] or ["train"])
    try:
        run(arguments)
    except KeyboardInterrupt:
        sys.exit("interrupted; run the same command to continue")


def run(arguments: argparse.Namespace) -> None:
    if arguments.command in ("serve", "demo"):
        from pipeline.flows import serve

        serve.serve(arguments.port) if arguments.command == "serve" else serve.demo(arguments.port)
        return
    address = prefect_server.address()
    if address and (reason := prefect_server.fault(address)):
        sys.exit(f"error: no Prefect server at {address}: {reason}; {prefect_server.remedy()}")
    try:
        run_flow(arguments)
    except Exception:
        if address is None or not (reason := prefect_server.fault(address)):
            raise
        kept = "finished stages and experiments are kept; run the same command to continue"
        sys.exit(
            f"error: the Prefect server at {address} has gone: {reason}; {kept}, but first {prefect_server.remedy()}"
        )


def run_flow(arguments: argparse.Namespace) -> None:
    from pipeline.flows import flows, workspace

    if arguments.command == "sweep":
        swept = workspace.sweep() + (workspace.crash_pending(arguments.pending) if arguments.pending else [])
        print("\n".join(swept) or "no dead runs")
    elif arguments.command == "experiments":
        _end(flows.run_experiments(arguments.file, return_state=True))
    elif arguments.command == "ladder":
        from pipeline.flows.ladder import climb_ladder

        _end(climb_ladder(arguments.file, return_state=True))
    elif arguments.command == "watch":
        while arguments.every:
            print(flows.watch_data(return_state=True).message, flush=True)
            time.sleep(arguments.every)
        _end(flows.watch_data(return_state=True))
    else:
        _end(
            flows.train_codec(
                dict(arguments.overrides),
                arguments.name,
                arguments.corpus,
                arguments.fresh,
                arguments.if_busy,
                arguments.retries,
                arguments.retry_seconds,
                return_state=True,
            )
        )


def _override(text: str) -> tuple[str, object]:
    key, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE, such as loss.mse_weight=0.5")
    try:
        return key, parse(value, text)
    except YamlError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _end(state: "State") -> None:
    if state.is_completed():
        print(state.message)
    else:
        sys.exit(f"error: {state.message}")


if __name__ == "__main__":
    main()
