/**
 * Models: tensors and shape from `model.safetensors` and `runtime.json`, as `telucodec.models` reads them.
 *
 * @typedef {{data: ArrayLike<number>, shape: number[]}} Tensor values in their stored units; float16 as float64
 */
import { CodecError } from "./errors.js";

/**
 * A model's file at an address.
 * @param {string} address
 * @returns {Promise<Blob>}
 * @throws {CodecError} it is not there
 */
export async function fetched(address) {
  let reason = "no connection";
  try {
    const response = await fetch(address);
    if (response.ok) return await response.blob();
    reason = String(response.status);
  } catch {
    // said below
  }
  const name = address.split("/").pop();
  throw new CodecError(`The model is not there (${name}: ${reason}). The command "make demo" puts it beside the page.`);
}

/** One model. */
export class Model {
  /**
   * @param {ArrayBuffer} weights a safetensors file
   * @param {{shape: Record<string, any>, sha256: Record<string, string>}} runtime
   */
  constructor(weights, runtime) {
    this.shape = runtime.shape;
    this.id = Uint8Array.from(runtime.sha256["model.safetensors"].slice(0, 8).match(/../g) ?? [], (digits) =>
      parseInt(digits, 16),
    );
    const length = Number(new DataView(weights).getBigUint64(0, true));
    this._index = JSON.parse(new TextDecoder().decode(new Uint8Array(weights, 8, length)));
    this._data = weights.slice(8 + length); // each tensor of a file is aligned to its size from here
  }

  /**
   * The model of a folder at an address.
   * @param {string} folder with a slash at its end
   * @param {(address: string) => Promise<Blob>} get a file
   */
  static async load(folder, get) {
    const [weights, runtime] = await Promise.all(["model.safetensors", "runtime.json"].map((name) => get(folder + name)));
    return new Model(await weights.arrayBuffer(), JSON.parse(await runtime.text()));
  }

  has(/** @type {string} */ name) {
    return name in this._index;
  }

  /** @returns {Tensor} */
  tensor(/** @type {string} */ name) {
    const entry = this._index[name];
    if (!entry) throw new CodecError(`The model has no tensor ${name}.`);
    const {
      dtype,
      shape,
      data_offsets: [start, end],
    } = entry;
    const view = (/** @type {any} */ Type) => new Type(this._data, start, (end - start) / Type.BYTES_PER_ELEMENT);
    /** @type {Record<string, any>} */
    const types = { I8: Int8Array, U8: Uint8Array, I32: Int32Array, F32: Float32Array };
    return { data: dtype === "F16" ? halves(view(Uint16Array)) : view(types[dtype]), shape };
  }
}

/** The values of all float16 by their bits. */
const HALVES = Float64Array.from({ length: 2 ** 16 }, (_, bits) => {
  const [exponent, fraction] = [(bits >> 10) & 0x1f, bits & 0x3ff];
  const magnitude = exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction;
  return bits & 0x8000 ? -magnitude : magnitude;
});

function halves(/** @type {Uint16Array} */ bits) {
  const values = new Float64Array(bits.length);
  for (let place = 0; place < bits.length; place++) values[place] = HALVES[bits[place]];
  return values;
}
