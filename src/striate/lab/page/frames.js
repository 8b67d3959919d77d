// A frame of the server: a header in JSON and arrays in bytes; see frames.py.

const ARRAYS = { uint8: Uint8Array, int32: Int32Array, float32: Float32Array };

/** @param {ArrayBuffer} content @returns {{header: object, arrays: Object<string, {shape: number[], values: ArrayLike<number>}>}} */
export function unframed(content) {
  const length = new DataView(content).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(content, 4, length)));
  const arrays = {};
  for (const { name, kind, shape, at } of header.arrays) {
    const count = shape.reduce((product, side) => product * side, 1);
    arrays[name] = { shape, values: new ARRAYS[kind](content, 4 + length + at, count) };
  }
  return { header, arrays };
}
