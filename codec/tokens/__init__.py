"""The token codec: fixed rate, residual vector quantiser."""
