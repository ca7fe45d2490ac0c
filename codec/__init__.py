"""TeluCodec: a neural speech codec for 16 kHz mono speech."""
