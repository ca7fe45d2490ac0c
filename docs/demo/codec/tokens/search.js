/**
 * The beam search of the residual codebooks (`telucodec.tokens.engine.TokenEncoder`): of every frame the best partial sums
 * are kept from codebook to codebook.
 */
import { Linear } from "../layers.js";

const BEAM = 4;

/** Latents to codes. */
export class BeamSearch {
  constructor(/** @type {Float64Array[]} */ learned, /** @type {number} */ latents) {
    this._latents = latents;
    this._steps = learned.map((words) => {
      const size = words.length / latents;
      // The squared distance from a codeword is |r|^2 - 2 r c + |c|^2; the layer computes what depends on the codeword.
      const norms = Float64Array.from({ length: size }, (_, code) =>
        words.subarray(code * latents, (code + 1) * latents).reduce((sum, value) => sum + value * value, 0),
      );
      return {
        words,
        layer: new Linear(
          words.map((value) => -2 * value),
          norms,
          size,
        ),
      };
    });
  }

  /**
   * For the latents [frames, latents] of frames: with 1, 2, ... codebooks the codes of each frame, and the squared error.
   * @param {Float64Array} latents
   * @param {number} count of codebooks
   */
  run(latents, count) {
    const width = this._latents;
    const found = [];
    let frames = Array.from({ length: latents.length / width }, (_, frame) => [
      { codes: /** @type {number[]} */ ([]), residual: latents.slice(frame * width, (frame + 1) * width), error: 0 },
    ]);
    for (const { words, layer } of this._steps.slice(0, count)) {
      const beam = frames[0]?.length ?? 0;
      const rows = new Float64Array(frames.length * beam * width);
      frames.flat().forEach(({ residual }, row) => rows.set(residual, row * width));
      const products = layer.run(rows);
      frames = frames.map((paths, frame) => {
        const energies = paths.map(({ residual }) => residual.reduce((sum, value) => sum + value * value, 0));
        const own = products.subarray(frame * beam * layer.outputs, (frame + 1) * beam * layer.outputs);
        return least(own, energies, layer.outputs).map(({ parent, code, error }) => {
          const residual = paths[parent].residual.map((value, i) => value - words[code * width + i]);
          return { codes: [...paths[parent].codes, code], residual, error };
        });
      });
      found.push(frames.map(([best]) => ({ codes: best.codes, error: best.error })));
    }
    return found;
  }
}

/**
 * The BEAM least errors, in ascending order.
 * @param {Float64Array} products [paths, size]
 * @param {number[]} energies [paths], added to them
 * @param {number} size
 */
function least(products, energies, size) {
  /** @type {{parent: number, code: number, error: number}[]} */
  const best = [];
  let limit = Infinity;
  energies.forEach((energy, parent) => {
    for (let code = 0; code < size; code++) {
      const error = energy + products[parent * size + code];
      if (error >= limit) continue;
      let place = best.length;
      while (place > 0 && best[place - 1].error > error) place--;
      best.splice(place, 0, { parent, code, error });
      best.length = Math.min(best.length, BEAM);
      if (best.length === BEAM) limit = best[BEAM - 1].error;
    }
  });
  return best;
}
