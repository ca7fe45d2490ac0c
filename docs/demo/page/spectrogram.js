/** Spectrograms. */
import { FFT } from "../codec/fft.js";

const TRANSFORM = new FFT(512); // 32 ms
const WINDOW = Float64Array.from(
  { length: TRANSFORM.size },
  (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / TRANSFORM.size),
);
const [QUIET, LOUD] = [-85, -25]; // dB below full scale: black, and the brightest colour
const COLOURS = [
  [11, 7, 19],
  [58, 28, 120],
  [143, 45, 140],
  [232, 90, 100],
  [253, 176, 90],
  [253, 247, 190],
]; // from quiet to loud

/**
 * Draws the spectrogram of samples, from 0 to half the sampling rate.
 * @param {HTMLCanvasElement} canvas
 * @param {Float32Array} samples
 */
export function draw(canvas, samples) {
  const scale = Math.min(devicePixelRatio, 2);
  const width = Math.max(Math.round(canvas.clientWidth * scale), 1);
  const height = TRANSFORM.bins - 1;
  canvas.width = width;
  canvas.height = height;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = context.createImageData(width, height);
  for (let x = 0; x < width; x++) {
    const middle = Math.round(((x + 0.5) / width) * samples.length) - TRANSFORM.size / 2;
    const [re, im] = TRANSFORM.spectrum(WINDOW.map((value, n) => value * (samples[middle + n] ?? 0)));
    for (let bin = 0; bin < height; bin++) {
      const power = (re[bin] ** 2 + im[bin] ** 2) / (TRANSFORM.size / 4) ** 2;
      const [red, green, blue] = colour((10 * Math.log10(power + 1e-12) - QUIET) / (LOUD - QUIET));
      image.data.set([red, green, blue, 255], 4 * ((height - 1 - bin) * width + x));
    }
  }
  context.putImageData(image, 0, 0);
}

/**
 * Draws how many bits each frame costs, in the colour of the canvas. Returns the most that one costs.
 * @param {HTMLCanvasElement} canvas
 * @param {number[]} bits
 * @param {number} width of a frame, where the canvas has 1
 */
export function drawBits(canvas, bits, width) {
  const most = bits.reduce((one, other) => Math.max(one, other), 1);
  canvas.width = Math.round(canvas.clientWidth * Math.min(devicePixelRatio, 2));
  canvas.height = Math.round(canvas.clientHeight * Math.min(devicePixelRatio, 2));
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.fillStyle = getComputedStyle(canvas).color;
  context.beginPath();
  context.moveTo(0, canvas.height);
  bits.forEach((count, frame) => {
    const height = canvas.height * (1 - (0.7 * count) / most); // the caption stands above
    for (const edge of [frame - 0.5, frame + 0.5]) context.lineTo(edge * width * canvas.width, height);
  });
  context.lineTo(canvas.width, canvas.height);
  context.fill();
  return Math.round(most);
}

/** The colour of a level from 0 to 1. */
function colour(/** @type {number} */ level) {
  const place = Math.min(Math.max(level, 0), 0.9999) * (COLOURS.length - 1);
  const below = Math.floor(place);
  return COLOURS[below].map((value, part) => value + (place - below) * (COLOURS[below + 1][part] - value));
}
