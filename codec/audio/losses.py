"""What is missing from a compressed recording, by its own time stamps and by the size of its last frame."""

JUMP = 0.1  # seconds; where times are rounded, or guessed from the size of the file, they jump by less
SHARE, SECONDS = 0.01, 0.1  # of a recording that may be missing without a word
# Where a frame says how long it is. Decoders of these formats take a frame that ends early for a whole one.
LENGTHS = {"mp1": slice(1, 3), "mp2": slice(1, 3), "mp3": slice(1, 3), "ac3": slice(4, 5), "eac3": slice(2, 4)}


class Losses:
    """Looks at packets and frames as they are read.

    Attributes:
        skipped: seconds that the time stamps leave out between frames.
    """

    def __init__(self, codec: str) -> None:
        self.skipped = 0.0
        self._length = LENGTHS.get(codec)
        self._sizes: dict[bytes, int] = {}
        self._is_short = False
        self._end: float | None = None

    def add_packet(self, content: memoryview) -> None:
        """Look at a packet that is not empty."""
        if self._length is not None:
            size = self._sizes.setdefault(bytes(content[self._length]), len(content))
            self._is_short = len(content) < size

    def add_frame(self, time: float | None, seconds: float) -> None:
        """Count a frame that begins at `time`, in seconds; None: right after the last one."""
        if time is not None and self._end is not None and time > self._end + JUMP:
            self.skipped += time - self._end
        begin = self._end if time is None else time
        self._end = None if begin is None else begin + seconds

    def fault(self, seconds: float, is_whole: bool) -> tuple[str, str] | None:
        """A short name and a sentence, if more is missing than may be.

        Args:
            seconds: that were read.
            is_whole: the header states a length, which is compared with them elsewhere.
        """
        if self.skipped > SHARE * seconds + SECONDS:
            said = f"its time stamps leave out {self.skipped:.1f} s: a part is lost, or pauses were not recorded"
            return "damaged", f"{said}; copy it again, or convert it to WAV"
        if self._is_short and not is_whole:
            return "truncated", "its last frame is incomplete; copy it again"
        return None
