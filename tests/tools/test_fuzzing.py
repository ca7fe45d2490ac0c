"""The fuzzers find what they look for. Short runs of them are among the tests of what they fuzz."""

import os
import signal

import pytest

from tools import fuzzing


def spin():
    while True:
        pass


FAULTS = {
    "exception": (lambda: 1 / 0, "ZeroDivisionError"),
    "crash": (lambda: os.kill(os.getpid(), signal.SIGKILL), "exit code -9"),
    "hang": (spin, "takes more than 0.5 s"),
    "memory": (lambda: bytearray(b"x" * 50_000_000), "takes"),
    "far too much memory": (lambda: bytearray(1 << 40), "MemoryError"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_kind_of_fault_is_found_and_the_other_inputs_are_read(tmp_path, capsys, fault):
    act, said = FAULTS[fault]

    def damaged(random):
        return bytes([random.integers(256)]) * 9, "bytes"

    wrong, _ = damaged(fuzzing._random(5, 2))

    def read(data, random):
        if data == wrong:
            act()
        return "read"

    assert fuzzing.fuzz(fuzzing.Fuzzed(damaged, read, 0.5, 30), 6, 5, tmp_path) == 1
    output = capsys.readouterr().out
    assert said in output and "6 inputs, 1 findings: 5 read, 1 " in output
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("5-2-bytes", wrong)]
