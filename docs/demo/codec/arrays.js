/** What NumPy has and JavaScript has not. */

/**
 * The place of the largest value; of equal ones the first.
 * @param {ArrayLike<number>} values
 */
export function argmax(values) {
  let best = 0;
  for (let place = 1; place < values.length; place++) if (values[place] > values[best]) best = place;
  return best;
}

/**
 * @param {number} x
 * @param {number} low
 * @param {number} high
 */
export function clip(x, low, high) {
  return Math.min(Math.max(x, low), high);
}

/**
 * Arrays one after the other.
 * @template {Uint8Array | Float32Array | Float64Array} T
 * @param {new (length: number) => T} Type
 * @param {ArrayLike<number>[]} parts
 */
export function concatenate(Type, parts) {
  const all = new Type(parts.reduce((sum, part) => sum + part.length, 0));
  let place = 0;
  for (const part of parts) {
    all.set(part, place);
    place += part.length;
  }
  return all;
}

/**
 * Values [rows, columns] as [columns, rows].
 * @param {ArrayLike<number>} matrix
 * @param {number} columns
 */
export function transposed(matrix, columns) {
  const rows = matrix.length / columns;
  const turned = new Float64Array(matrix.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) turned[column * rows + row] = matrix[row * columns + column];
  return turned;
}

/**
 * A function of known values, linear between them and constant outside.
 * @param {number} x
 * @param {ArrayLike<number>} places ascending
 * @param {ArrayLike<number>} values
 */
export function interpolate(x, places, values) {
  const last = places.length - 1;
  if (x <= places[0]) return values[0];
  if (x >= places[last]) return values[last];
  let below = 0;
  while (places[below + 1] <= x) below++;
  const slope = (values[below + 1] - values[below]) / (places[below + 1] - places[below]);
  return slope * (x - places[below]) + values[below];
}
