/** A file or a recording that cannot be used; the message names the cause and the remedy. */
export class CodecError extends Error {}

/** The payload of a packet is not what an encoder writes. */
export class DamagedPacketError extends CodecError {}
