/**
 * Noise that is the same on every machine: 1 or -1, the top bit of a hash of the sample's number modulo 2^32 (the finalizer of
 * MurmurHash3 by Appleby).
 * @param {number} number
 */
export function noise(number) {
  let x = (number % 2 ** 32) | 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) < 0 ? 1 : -1;
}
