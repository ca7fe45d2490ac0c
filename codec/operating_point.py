"""Operating points: the quality, the rate or the number of codebooks that an encoder should reach."""

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, SupportsFloat, SupportsIndex

from telucodec.errors import CodecError


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """One target of `Codec.encode`: exactly one of `snr`, `kbps`, `step` and `tokens`, or `tokens` with `kbps`.

    Attributes:
        snr: signal-to-noise ratio in dB over the whole recording.
        kbps: kbit/s of the whole file; with `tokens` an upper limit.
        step: quantiser step, 0 to 1023, finer by 6 dB every 64.
        tokens: number of codebooks of every frame; 0: all codebooks of the model. With `kbps` the largest number.
        perception: 0: least squared error; 1: noise hidden below the speech. Not for tokens.

    Raises:
        CodecError: the values do not name one target, or one of them is out of range.
    """

    snr: float | None = None
    kbps: float | None = None
    step: int | None = None
    tokens: int | None = None
    perception: float = 0.0

    def __post_init__(self) -> None:
        given = {name for name in ("snr", "kbps", "step", "tokens") if getattr(self, name) is not None}
        if len(given) != 1 and given != {"kbps", "tokens"}:
            raise CodecError(
                f"give exactly one of snr, kbps, step and tokens, or tokens with kbps; got {len(given)} of them"
            )
        for name in ("snr", "kbps", "perception"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _number(name, getattr(self, name)))
        for name in ("step", "tokens"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, integer(name, getattr(self, name)))
        if self.kbps is not None and self.kbps <= 0:
            raise CodecError(f"kbps must be above 0, got {self.kbps:g}")
        if self.tokens is not None and self.tokens < 0:
            raise CodecError(f"tokens must be a number of codebooks, or 0 for all; got {self.tokens}")
        if not 0 <= self.perception <= 1:
            raise CodecError(f"perception must lie between 0 and 1, got {self.perception:g}")
        if self.tokens is not None and self.perception:
            raise CodecError("perception is for the waveform codec; leave it out with tokens")

    @property
    def model(self) -> str:
        """The model that encodes it: `tokens` or `waveform`."""
        return "waveform" if self.tokens is None else "tokens"

    @property
    def family(self) -> str:
        """The name without its value: points of one family form a curve of quality over rate."""
        if self.tokens is not None:
            return "tokens" if self.kbps is None else "tokens_kbps"
        [name] = [name for name in ("snr", "kbps", "step") if getattr(self, name) is not None]
        return f"perception_{self.perception:g}_{name}" if self.perception else name

    @property
    def value(self) -> float:
        """The value that distinguishes points of one family."""
        values = (self.kbps, self.snr, self.step, self.tokens)
        return next(float(value) for value in values if value is not None)

    @property
    def name(self) -> str:
        """The name in metrics files, such as `snr_30`, `perception_1_kbps_6.5`, `tokens_8`, `tokens_kbps_2`."""
        return f"{self.family}_{self.value:g}"

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of `Codec.encode`."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if not self.perception:
            del values["perception"]
        return {name: value for name, value in values.items() if value is not None}

    @property
    def option(self) -> str:
        """The options of `telucodec encode`."""
        if self.tokens is not None:
            count = f" {self.tokens}" if self.tokens else ""
            return f"--tokens{count}" + ("" if self.kbps is None else f" --kbps {self.kbps:g}")
        return " ".join(f"--{name} {value:g}" for name, value in self.arguments.items())

    @property
    def label(self) -> str:
        """A label for people."""
        if self.tokens is not None:
            count = "all codebooks" if not self.tokens else f"{self.tokens} codebook{'s' if self.tokens > 1 else ''}"
            return f"tokens, {count}" if self.kbps is None else f"tokens, at most {self.kbps:g} kbit/s"
        words = {"snr": f"{self.value:g} dB SNR", "kbps": f"{self.value:g} kbit/s", "step": f"step {self.value:g}"}
        target = words[self.family.rsplit("_", 1)[-1]]
        return f"waveform, {target}" + (f", perception {self.perception:g}" if self.perception else "")

    @classmethod
    def parse(cls, name: str) -> "OperatingPoint":
        """The point that has this `name`.

        Raises:
            CodecError: no point has this name.
        """
        family, _, value = name.rpartition("_")
        targets: Mapping[str, Mapping[str, float]] = {
            "snr": {"snr": _parsed(name, value)},
            "kbps": {"kbps": _parsed(name, value)},
            "step": {"step": _parsed(name, value)},
            "tokens": {"tokens": _parsed(name, value)},
            "tokens_kbps": {"tokens": 0, "kbps": _parsed(name, value)},
        }
        perception = 0.0
        if family.startswith("perception_"):
            shown, _, family = family.removeprefix("perception_").partition("_")
            perception = _parsed(name, shown)
        if family not in targets:
            raise CodecError(f"{name!r} is not an operating point; examples: snr_30, kbps_6.5, tokens_8, tokens_kbps_2")
        values = {
            key: int(number) if key in ("step", "tokens") and float(number).is_integer() else number
            for key, number in targets[family].items()
        }
        return cls(**values, perception=perception)  # type: ignore[arg-type]  # names of fields, checked there


def integer(name: str, value: SupportsIndex) -> int:
    """`value` as an int.

    Raises:
        CodecError: it is not an integer.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise CodecError(f"{name} must be an integer, got {value!r}") from None


def _number(name: str, value: SupportsFloat) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise CodecError(f"{name} must be a number, got {value!r}")
    return number


def _parsed(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise CodecError(
            f"{name!r} is not an operating point; examples: snr_30, kbps_6.5, tokens_8, tokens_kbps_2"
        ) from None
