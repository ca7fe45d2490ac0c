"""The step of each packet of a stream that may not exceed a rate."""

import math
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from telucodec.errors import CodecError
from telucodec.files import container
from telucodec.files.header import MAX_SAMPLES
from telucodec.waveform.engine import Walk
from telucodec.waveform.grids import LAST_STEP
from telucodec.waveform.own_steps import UNIT
from telucodec.waveform.restoration import Decoded

SHARE = 5  # a packet takes at most this part of the bits that are left: never all, so that the next ones have some too
NATS_A_STEP = 0.0075  # by how much the logarithm of the rate grows with the step, about
FINER, COARSER = 0.5, 1.0  # steps by which a packet moves those of the next ones, at most
START, START_KBPS = 256, 6  # a usual step for speech, and its rate
EMPTY = 8 * len(container.write_packet(0, b""))  # bits of a packet that holds nothing
HEADER, END = 8 * 20, 8 * len(container.write_end(MAX_SAMPLES - 1))  # bits, at most


class Trial(NamedTuple):
    packet: bytes  # as it is sent
    walk: Walk  # after it
    frames: Decoded  # as a decoder reads them


class RateControl:
    """Chooses steps so that the bits of every second stay below a limit. A leaky bucket with the window of a second.

    The exact bits of a packet are known before it is sent: one that is too large is coded again, more coarsely. It gets
    no more than a fifth of what is left of the second that ends with it, so bits never run out. Otherwise steps that differ from
    packet to packet cost more than they bring: the step moves slowly towards the one at which speech takes what there is,
    and hardly in pauses, which take little.
    """

    def __init__(self, kbps: float, packet_seconds: float):
        """`kbps` is the limit, and `packet_seconds` a packet's duration.

        Raises:
            CodecError: the limit leaves no bits for speech.
        """
        packets = math.ceil(round(1 / packet_seconds, 6))  # of any second, at most
        self._sent = deque([EMPTY] * (packets - 2) + [EMPTY + HEADER])  # bits of the packets before
        self._left = 1000 * kbps - END - sum(self._sent)
        if self._left < SHARE * EMPTY:
            lowest = math.ceil(10 * kbps + (SHARE * EMPTY - self._left) / 100) / 10
            raise CodecError(f"kbps of a stream must be at least {lowest:g}, got {kbps:g}")
        self._mean = 1000 * kbps / packets
        self.start = _on_grid(START + math.log(kbps / START_KBPS) / NATS_A_STEP)
        self._step = self._step_before = float(self.start)

    def pick(self, encode: Callable[[int], Trial]) -> Trial | None:
        """The trial at the step that the next packet gets; None if not even the coarsest fits: then it must hold nothing."""
        allowed, step = self._left / SHARE, _on_grid(self._step)
        self._step_before = self._step
        trial, stride = encode(step), UNIT / 2
        self._follow(8 * len(trial.packet), allowed)
        while (bits := 8 * len(trial.packet)) > allowed:
            if step == 0:
                self._spend(EMPTY)
                return None
            stride = max(math.log(bits / allowed) / NATS_A_STEP, 2 * stride)
            step = _on_grid(step - stride)
            trial = encode(step)
        self._spend(bits)
        return trial

    def left_out(self) -> None:
        """The packet that was picked last is not sent after all: it takes no bits, and moves no step."""
        self._left += self._sent[-1]
        self._sent[-1] = 0
        self._step = self._step_before

    def _follow(self, bits: int, allowed: float) -> None:
        """Move the step towards that at which a packet takes what it may, now that one takes so many bits."""
        wanted = math.log(allowed / bits) / NATS_A_STEP
        finer = FINER * min(bits / self._mean, 1)
        self._step = min(max(self._step + min(max(wanted, -COARSER), finer), 0), LAST_STEP)

    def _spend(self, bits: int) -> None:
        self._sent.append(bits)
        self._left += self._sent.popleft() - bits


def _on_grid(step: float) -> int:
    return min(max(round(step / UNIT), 0) * UNIT, LAST_STEP // UNIT * UNIT)
