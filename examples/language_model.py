"""A tiny language model of speech: trains on a dataset of tokens for two minutes, then speaks.

telucodec tokenize recordings/ -o tokens/ --codebooks 4
python -m examples.language_model tokens/ -o spoken.wav

The model sees codes in the delay pattern: codebook k comes k steps late, so that every step predicts one code of each codebook,
and the codes of a frame depend on each other (Copet et al., "Simple and controllable music generation", NeurIPS 2023).
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import telucodec
from telucodec import dataset
from telucodec.audio.writing import write_wav

WIDTH, LAYERS = 256, 2
BATCH, CROP = 8, 150  # frames
LEARNING_RATE, WARMUP = 3e-3, 0.05  # of the time
HELD_OUT = 10  # every so many-th recording is not trained on
TEMPERATURE = 0.8
SEED = 0


def delayed(codes: Tensor, filler: int) -> Tensor:
    """Codes [codebooks, frames] in the delay pattern [codebooks, frames + codebooks - 1]; the corners hold the filler."""
    count, frames = codes.shape
    pattern = codes.new_full((count, frames + count - 1), filler)
    for codebook, row in enumerate(codes):
        pattern[codebook, codebook : codebook + frames] = row
    return pattern


def aligned(pattern: Tensor) -> Tensor:
    """The codes [codebooks, frames] in a delay pattern."""
    count, steps = pattern.shape
    frames = steps - count + 1
    return torch.stack([pattern[codebook, codebook : codebook + frames] for codebook in range(count)])


class LanguageModel(nn.Module):
    """Predicts the next step of a delay pattern from all steps before."""

    def __init__(self, codebooks: int, size: int):
        super().__init__()
        self.codebooks, self.size = codebooks, size
        self.embed = nn.ModuleList(
            nn.Embedding(size + 1, WIDTH) for _ in range(codebooks)
        )  # the last row is the filler
        self.body = nn.GRU(WIDTH, WIDTH, LAYERS, batch_first=True)
        self.heads = nn.Linear(WIDTH, codebooks * size)

    def forward(self, steps: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Steps [batch, codebooks, count] to logits [batch, count, codebooks, size], and the state for the next call."""
        embedded = torch.stack([table(row) for table, row in zip(self.embed, steps.unbind(1), strict=True)]).sum(0)
        hidden, state = self.body(embedded, state)
        return self.heads(hidden).unflatten(2, (self.codebooks, self.size)), state

    def bits(self, patterns: Tensor) -> Tensor:
        """Bits a frame that patterns [batch, codebooks, steps] cost: the sum over codebooks, the mean over steps."""
        first = torch.full_like(patterns[:, :, :1], self.size)
        logits, _ = self(torch.cat([first, patterns[:, :, :-1]], dim=2))
        wanted = patterns.transpose(1, 2)
        nepers = functional.cross_entropy(logits.flatten(0, 2), wanted.flatten(), ignore_index=self.size)
        return nepers * self.codebooks / np.log(2)

    @torch.no_grad()
    def speak(self, frames: int) -> Tensor:
        """Codes [codebooks, frames], drawn one step after the other."""
        step, state = torch.full((1, self.codebooks, 1), self.size), None
        steps = []
        for number in range(frames + self.codebooks - 1):
            logits, state = self(step, state)
            drawn = torch.multinomial((logits[0, 0] / TEMPERATURE).softmax(1), 1)[None]
            begun = torch.arange(self.codebooks)[None, :, None] <= number
            step = torch.where(begun, drawn, self.size)
            steps.append(step[0])
        return aligned(torch.cat(steps, dim=1))


def train(model: LanguageModel, patterns: list[Tensor], minutes: float) -> int:
    """Train on crops of patterns for so long; the learning rate rises, then falls to zero. Returns the number of steps."""
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.1)
    lengths = torch.tensor([float(pattern.shape[1]) for pattern in patterns])
    start, steps, done = time.monotonic(), 0, 0.0
    while done < 1:
        chosen = torch.multinomial(lengths, BATCH, replacement=True).tolist()
        rate = LEARNING_RATE * min(done / WARMUP, (1 - done) / (1 - WARMUP))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = model.bits(torch.stack([crop(patterns[number], model.size) for number in chosen]))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        steps += 1
        done = (time.monotonic() - start) / (60 * minutes)
        if steps % 50 == 0:
            print(f"{60 * minutes * done:4.0f} s, step {steps}: {loss.item():.1f} bits a frame", flush=True)
    return steps


def crop(pattern: Tensor, filler: int) -> Tensor:
    """CROP steps from anywhere, or all with filler after them."""
    start = int(torch.randint(max(pattern.shape[1] - CROP, 0) + 1, ()))
    return functional.pad(pattern[:, start : start + CROP], (0, max(CROP - pattern.shape[1], 0)), value=filler)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tokens", type=Path, help="a dataset that `telucodec tokenize` wrote")
    parser.add_argument("-o", "--output", type=Path, default=Path("spoken.wav"))
    parser.add_argument("--minutes", type=float, default=2.0, help="of training")
    parser.add_argument("--seconds", type=float, default=8.0, help="of speech")
    options = parser.parse_args()
    torch.manual_seed(SEED)
    telu = telucodec.load(kinds=["tokens"])
    patterns = [
        delayed(torch.from_numpy(tokens.astype(np.int64)), telu.codebook_size)
        for _, tokens in dataset.samples(options.tokens)
    ]
    held_out, trained = patterns[::HELD_OUT], [p for number, p in enumerate(patterns) if number % HELD_OUT]
    if not trained:
        parser.error(
            f"{options.tokens} holds {len(patterns)} recording, and one of {HELD_OUT} is held out: give it more"
        )
    model = LanguageModel(len(patterns[0]), telu.codebook_size)
    seconds = sum(p.shape[1] for p in trained) / telu.frame_rate
    weights = sum(weight.numel() for weight in model.parameters())
    print(f"{len(trained)} recordings, {seconds:.0f} s; {weights / 1e6:.1f} M parameters")
    steps = train(model, trained, options.minutes)
    model.eval()
    with torch.no_grad():
        costs = [(model.bits(pattern[None]).item(), pattern.shape[1]) for pattern in held_out]
    bits = np.average([cost for cost, _ in costs], weights=[length for _, length in costs])
    print(f"after {steps} steps: {bits:.1f} bits a frame on {len(held_out)} recordings that were held out")
    frames = round(options.seconds * telu.frame_rate) + 1
    audio = telu.detokenize(model.speak(frames).numpy())
    write_wav(options.output, [audio], telu.sample_rate)
    print(f"{options.output}: {len(audio) / telu.sample_rate:.1f} s of speech")


if __name__ == "__main__":
    main()
