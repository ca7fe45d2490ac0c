/** The codec in a thread of its own, so that the page stays responsive. */
import { Codec } from "../codec/codec.js";
import { CodecError } from "../codec/errors.js";
import { borrower } from "./lending.js";

const codec = new Codec(new URL("../models/", import.meta.url).href, borrower());

/**
 * A file, from speech or from disk, and what is heard in it.
 * @typedef {{audio: Float32Array, point: import("../codec/codec.js").OperatingPoint} | {data: Uint8Array}} Job
 */
addEventListener("message", async ({ data: { number, job } }) => {
  let part = "data" in job ? "Decoding" : "Encoding";
  const progress = (/** @type {number} */ share) => postMessage({ number, part, share });
  try {
    progress(0);
    const { data, hear } =
      "data" in job
        ? { data: job.data, hear: () => codec.decode(job.data, { progress }) }
        : await codec.encode(job.audio, job.point, progress);
    part = "Decoding";
    const { audio, header, bits, damage } = await hear(progress);
    postMessage({ number, result: { data, audio, header, bits, damage } });
  } catch (error) {
    const expected = error instanceof CodecError;
    postMessage({ number, error: expected ? error.message : `The codec failed: ${error}` });
    if (!expected) throw error;
  }
});
