"""The sections of params.yaml as strict types: which values are allowed. params.yaml explains each one."""

import os
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from telucodec.operating_point import OperatingPoint
from telucodec.vocoder import analysis, frames

BUILT_IN_SPEECH = "data/sample"

CorpusName = Literal[
    "respin", "syspin", "kathbath", "openslr", "common_voice", "fleurs", "shrutilipi", "indicvoices", "indictts"
]

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


def _regex_with_group(pattern: str) -> str:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if not compiled.groups:
        raise ValueError("needs a group in parentheses that captures the speaker")
    return pattern


def _operating_point(name: str) -> str:
    point = OperatingPoint.parse(name).name
    if point != name:
        raise ValueError(f"the name of this operating point is {point}")
    return name


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


class Data(Section):
    root: str = Field(min_length=1)
    corpus: CorpusName | None
    manifest: str | None
    speaker_pattern: Annotated[str, AfterValidator(_regex_with_group)]
    min_seconds: NonNegative
    silence_dbfs: float = Field(le=0)
    max_clipped_fraction: Fraction
    max_rejected_fraction: Fraction

    @property
    def is_built_in(self) -> bool:
        return os.path.normpath(self.root) == BUILT_IN_SPEECH


class Sample(Section):
    minutes: Positive
    voices: int = Field(ge=4, le=16)


class Preprocess(Section):
    sample_rate: Literal[16000]
    normalize: Literal["clip", "peak", "none"]
    clip_seconds: float = Field(ge=1)
    validation_fraction: float = Field(gt=0, lt=1)
    test_fraction: float = Field(ge=0, lt=1)
    split_by: Literal["speaker", "recording"]
    split_seed: int

    @model_validator(mode="after")
    def _leaves_speakers_for_training(self) -> Self:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction + test_fraction must be below 1, to leave speakers for training")
        return self


class Model(Section):
    coding: Literal["vocoder", "transform"]
    hop: int = Field(ge=40, le=1280)
    latent_dim: Count
    channels: Count
    encoder_layers: int = Field(ge=0)
    decoder_layers: int = Field(ge=0)
    kernel: int = Field(ge=2)
    compand: float = Field(gt=0.2, le=1)


class Quantizer(Section):
    num_codebooks: int = Field(ge=1, le=32)
    codebook_size: int = Field(ge=2, le=65536)
    ema_decay: float = Field(ge=0, lt=1)
    dead_code_share: float = Field(ge=0, lt=1)
    dead_code_floor: float = Field(ge=0, lt=1)
    dropout: Fraction
    shared: Fraction
    beam: int = Field(ge=1, le=64)


class Loss(Section):
    l1_weight: NonNegative
    mse_weight: NonNegative
    perceptual_weight: NonNegative
    vq_weight: NonNegative
    snr_weight: NonNegative
    shaped_snr_weight: NonNegative
    shaping: Fraction
    mel_weight: NonNegative
    level_weight: NonNegative
    adversarial_weight: NonNegative


class Loop(Section):
    start_from: Annotated[str, Field(min_length=1)] | None
    epochs: int = Field(ge=0)
    steps_per_epoch: Count
    minutes: Positive | None
    batch: Count
    crop_seconds: float = Field(ge=0.2)
    learning_rate: Positive
    warmup_steps: int = Field(ge=0)
    weight_decay: NonNegative
    grad_clip: Positive
    gain_db: list[float] = Field(min_length=2, max_length=2)
    seed: int = Field(ge=0)
    threads: Count
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "float32", "bfloat16"]
    compile: bool
    processes: Count

    @model_validator(mode="after")
    def _processes_share_a_batch(self) -> Self:
        if self.batch % self.processes:
            raise ValueError(f"batch ({self.batch}) must be a multiple of processes ({self.processes}), which share it")
        return self

    @model_validator(mode="after")
    def _gain_is_a_range(self) -> Self:
        if self.gain_db[0] > self.gain_db[1]:
            raise ValueError(f"gain_db must be [low, high], got {self.gain_db}")
        return self


class Train(Loop):
    adversarial_after: Fraction
    prior_steps: int = Field(ge=0)
    min_perplexity: Fraction


class WaveformModel(Section):
    hop: int = Field(ge=40, le=1280, multiple_of=4)
    channels: Count
    expansion: Count
    taps: Count
    dilations: list[Count] = Field(min_length=1)
    features: Count
    hidden: Count


class WaveformLoss(Section):
    rate_power: Fraction
    shaped_share: Fraction


class Waveform(Section):
    model: WaveformModel
    loss: WaveformLoss
    train: Loop


class EnhancerModel(Section):
    channels: Count
    layers: Count
    kernel: int = Field(ge=2)


class EnhancerLoss(Section):
    snr_weight: NonNegative
    adversarial_weight: NonNegative
    adversarial_after: Fraction


class Enhancer(Section):
    model: EnhancerModel
    loss: EnhancerLoss
    train: Loop


class Evaluate(Section):
    root: str | None
    num_codebooks: list[Count] = Field(min_length=1)
    shared_kbps: list[Positive]
    snr: list[Positive] = Field(min_length=1)
    kbps: list[Positive]
    perception: Fraction
    judges: list[Literal["dnsmos", "distillmos", "visqol", "speaker"]]
    judged_points: list[Annotated[str, AfterValidator(_operating_point)]]
    judged_clips: Count
    threads: Count


class Gate(Section):
    snr: float
    loss: float
    range_ratio: NonNegative


class MiddleGate(Gate):
    epoch: Count


class Gates(Section):
    start: Gate
    middle: MiddleGate
    end: Gate


class Cluster(Section):
    dask: Count | Annotated[str, Field(pattern=r"^(tcp|tls)://.+:\d+$")] | None


class Tracking(Section):
    wandb: Literal["online", "offline", "disabled"]
    project: str = Field(min_length=1)


class ModelFaults(Section):
    init: Literal["pca", "random"]
    output_activation: Literal["none", "tanh"]


class QuantizerFaults(Section):
    init: Literal["kmeans", "normal"]
    init_scale: Positive
    ema_target: Literal["residual", "quantized"]
    commitment: Literal["encoder", "codebook"]
    detach_residual: bool
    loss_clamp: Positive | None


class LossFaults(Section):
    mse_clamp: Positive | None
    stft_dtype: Literal["float32", "autocast"]


class Faults(Section):
    """Known mistakes of the token codec's training, by the section of params.yaml that each one belongs to."""

    model: ModelFaults
    quantizer: QuantizerFaults
    loss: LossFaults


class Params(Section):
    data: Data
    sample: Sample
    preprocess: Preprocess
    model: Model
    quantizer: Quantizer
    loss: Loss
    train: Train
    waveform: Waveform
    enhancer: Enhancer
    evaluate: Evaluate
    gates: Gates
    cluster: Cluster
    tracking: Tracking
    faults: Faults
    presets: dict[str, dict[str, str | int | float | bool | None]]

    def loop(self, model: str) -> Loop:
        """The training settings of a model: `tokens`, `waveform` or `enhancer`."""
        return {"tokens": self.train, "waveform": self.waveform.train, "enhancer": self.enhancer.train}[model]

    @model_validator(mode="after")
    def _model_fits(self) -> Self:
        model = self.model
        if model.coding == "transform":
            if model.latent_dim > model.hop:
                raise ValueError(f"model.latent_dim ({model.latent_dim}) must not exceed model.hop ({model.hop})")
            return self
        fixed = {
            "preprocess.sample_rate": (self.preprocess.sample_rate, frames.SAMPLE_RATE),
            "model.hop": (model.hop, frames.HOP),
            "model.encoder_layers": (model.encoder_layers, 0),
        }
        for name, (value, right) in fixed.items():
            if value != right:
                raise ValueError(f"{name} ({value}) must be {right} with model.coding=vocoder")
        if model.latent_dim > analysis.FEATURES:
            raise ValueError(
                f"model.latent_dim ({model.latent_dim}) must not exceed {analysis.FEATURES} with model.coding=vocoder"
            )
        if self.quantizer.num_codebooks < 2 or self.quantizer.codebook_size < 8:
            raise ValueError(
                "model.coding=vocoder needs quantizer.num_codebooks of at least 2, the first one for the pitch, and "
                "quantizer.codebook_size of at least 8"
            )
        return self
