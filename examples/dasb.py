"""TeluCodec's tokens in the form of DASB's tokenizers: copy this file to benchmarks/DASB/model/telucodec.py there.

In the YAML file of a recipe: `codec: !new:model.telucodec.TeluCodecTokenizer {folder: export/hf}`.
"""

import torch
from torch import Tensor, nn
from transformers import AutoModel
from utils.tokenizer_interface import BaseTokenizer


class TeluCodecTokenizer(nn.Module, BaseTokenizer):
    """Speech at 16 kHz to tokens and back.

    Args:
        folder: for transformers, as the stage `export` writes it.
    """

    def __init__(self, folder: str):
        super().__init__()
        self.model = AutoModel.from_pretrained(folder, trust_remote_code=True)

    @torch.no_grad()
    def sig_to_tokens(
        self, signal: Tensor, lengths: Tensor | None = None, num_codebooks: int | list[int] | None = None, **kwargs
    ) -> Tensor:
        """Signals [batch, samples] to tokens [batch, frames, codebooks].

        Args:
            lengths: [batch], as shares of the samples. What comes after is coded as silence.
            num_codebooks: how many; or which of all codebooks.
        """
        if lengths is not None:
            ends = (lengths * signal.shape[1]).round()[:, None]
            signal = torch.where(torch.arange(signal.shape[1], device=signal.device) < ends, signal, 0)
        count = num_codebooks if isinstance(num_codebooks, int) else None
        codes = self.model.encode(signal, num_quantizers=count).audio_codes
        return (codes[:, num_codebooks] if isinstance(num_codebooks, list) else codes).transpose(1, 2)

    @torch.no_grad()
    def tokens_to_sig(self, tokens: Tensor, **kwargs) -> Tensor:
        """Tokens [batch, frames, codebooks] to signals [batch, samples]."""
        return self.model.decode(tokens.transpose(1, 2)).audio_values[:, 0]

    @torch.no_grad()
    def get_pretrained_embeddings(
        self, vocab_size: int | None = None, num_codebooks: int | None = None, **kwargs
    ) -> Tensor:
        """Codewords [codebooks * codebook_size, dim] of the first codebooks."""
        return self.model.codebooks[:num_codebooks].flatten(0, 1)
