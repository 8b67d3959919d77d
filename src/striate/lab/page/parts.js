// What every part of the page uses: elements, numbers as text, images on a canvas.

// Okabe and Ito 2008, told apart by the colour-blind; lines are dashed in turns too.
export const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#B8860B", "#7F7F7F", "#882255"];

export const find = (selector) => document.querySelector(selector);

export function made(kind, text = "", className = "") {
  const element = document.createElement(kind);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

/** A whole number with its thousands apart; unknown for null. */
export const whole = (value) => (value === null ? "unknown" : value.toLocaleString("en"));

/** A number in few characters. */
export function short(value) {
  if (value === null || !Number.isFinite(value)) return "—";
  const size = Math.abs(value);
  if (size >= 1e6) return `${+(value / 1e6).toPrecision(3)}M`;
  if (size >= 1e4) return `${+(value / 1e3).toPrecision(3)}k`;
  if (size && size < 1e-3) return value.toExponential(1);
  return `${+value.toPrecision(3)}`;
}

/** One of several images, (n, height, width, 3), on a canvas of its own size. */
export function picture({ shape, values }, number, label) {
  const [, height, width] = shape;
  const canvas = made("canvas");
  canvas.width = width;
  canvas.height = height;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(width, height);
  for (let at = 0; at < height * width; at++) {
    for (let channel = 0; channel < 3; channel++) image.data[4 * at + channel] = values[3 * (number * height * width + at) + channel];
    image.data[4 * at + 3] = 255;
  }
  pen.putImageData(image, 0, 0);
  return canvas;
}
