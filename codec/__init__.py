"""TeluCodec: a speech codec for Telugu. `codec.load()` gives a `codec.codec.Codec`.

Importing this package loads no model and no PyTorch; that waits for `load`.
"""


def load(folder=None):
    """The shipped codec, or the one in a folder; see `codec.codec.load`."""
    from codec.codec import load as load_codec

    return load_codec(folder)
