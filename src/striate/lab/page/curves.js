// Curves on a canvas: one chart of several runs, their marks, a crosshair with the numbers.

import { short } from "./parts.js";

export const STYLES = [[], [6, 4], [2, 3], [8, 3, 2, 3]]; // so that colour is never the only sign
const GRID = 0.15, FAINT = 0.65; // how much of the text's colour
const RAW = 0.3; // how much of a curve's own
const MARGIN = { left: 46, right: 12, top: 10, bottom: 24 };

export class Chart {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {{logarithmic?: boolean, from?: number, times?: number}} options, times: of all y, as 100 for percent
   */
  constructor(canvas, options = {}) {
    this.canvas = canvas;
    this.options = options;
    this.curves = [];
    this.marks = [];
    this.pointed = null; // an x under the pointer
    new ResizeObserver(() => this.draw()).observe(canvas);
    canvas.addEventListener("pointermove", (event) => this.point(event));
    canvas.addEventListener("pointerleave", () => this.point(null));
  }

  /** @param {{name: string, colour: string, points: Float32Array, faint?: boolean, noisy?: boolean}[]} curves, points x, y, x, y, ... */
  show(curves, marks) {
    const { times = 1 } = this.options;
    this.curves = curves.map((each) => ({ ...each, points: each.points.map((value, at) => (at % 2 ? times * value : value)) }));
    this.marks = marks;
    this.draw();
  }

  point(event) {
    this.pointed = event && this.toX(event.offsetX);
    this.draw();
  }

  bounds() {
    let right = 1, low = Infinity, high = -Infinity;
    for (const { points } of this.curves) {
      for (let at = 0; at < points.length; at += 2) {
        const y = points[at + 1];
        if (!Number.isFinite(y) || (this.options.logarithmic && y <= 0)) continue;
        right = Math.max(right, points[at]);
        low = Math.min(low, y);
        high = Math.max(high, y);
      }
    }
    if (low > high) [low, high] = [this.options.logarithmic ? 0.1 : 0, 1];
    if (this.options.from !== undefined) low = Math.min(low, this.options.from);
    if (low === high) high = low + (Math.abs(low) || 1);
    return { right, low, high };
  }

  scale(y) {
    return this.options.logarithmic ? Math.log10(Math.max(y, 1e-12)) : y;
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    if (this.canvas.width !== Math.round(width * ratio)) this.canvas.width = Math.round(width * ratio);
    if (this.canvas.height !== Math.round(height * ratio)) this.canvas.height = Math.round(height * ratio);
    const pen = this.canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const style = getComputedStyle(this.canvas);
    pen.strokeStyle = pen.fillStyle = style.color;
    const { right, low, high } = this.bounds();
    const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
    const [bottom, top] = [this.scale(low), this.scale(high)];
    const x = (value) => MARGIN.left + (value / right) * inner.width;
    const y = (value) => MARGIN.top + (1 - (this.scale(value) - bottom) / (top - bottom)) * inner.height;
    this.toX = (pixel) => Math.min(right, Math.max(0, ((pixel - MARGIN.left) / inner.width) * right));
    pen.font = style.font || "12px system-ui";
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const tick of ticks(low, high, this.options.logarithmic)) {
      pen.globalAlpha = GRID;
      line(pen, MARGIN.left, y(tick), width - MARGIN.right, y(tick));
      pen.globalAlpha = FAINT;
      pen.fillText(short(tick), MARGIN.left - 6, y(tick));
    }
    pen.textBaseline = "top";
    for (const tick of ticks(0, right, false)) {
      pen.textAlign = tick > 0.95 * right ? "right" : "center";
      pen.fillText(short(tick), x(tick), height - MARGIN.bottom + 6);
    }
    for (const mark of this.marks) {
      pen.setLineDash([2, 2]);
      line(pen, x(mark.at), MARGIN.top, x(mark.at), height - MARGIN.bottom);
      pen.setLineDash([]);
    }
    pen.globalAlpha = 1;
    this.curves.forEach(({ colour, points, faint, noisy }, number) => {
      pen.strokeStyle = colour;
      pen.setLineDash(STYLES[number % STYLES.length]);
      pen.lineWidth = faint ? 1 : 1.75;
      if (noisy) { // the values themselves, and their mean over stretches on top
        pen.globalAlpha = RAW;
        trace(pen, points, x, y);
        pen.globalAlpha = 1;
      }
      trace(pen, noisy ? smoothed(points) : points, x, y);
    });
    pen.setLineDash([]);
    pen.lineWidth = 1;
    if (this.pointed !== null) this.drawPointed(pen, x, y, width, style);
  }

  drawPointed(pen, x, y, width, style) {
    const at = x(this.pointed);
    pen.strokeStyle = style.color;
    pen.globalAlpha = FAINT;
    line(pen, at, MARGIN.top, at, this.canvas.clientHeight - MARGIN.bottom);
    const said = this.curves
      .map(({ name, points }) => [name, nearest(points, this.pointed)])
      .filter(([, value]) => value !== null)
      .map(([name, value]) => `${name} ${short(value)}`);
    const mark = this.marks.find((each) => Math.abs(x(each.at) - at) < 6);
    if (mark) said.push(mark.said);
    pen.globalAlpha = 1;
    pen.textBaseline = "top";
    pen.textAlign = at > width / 2 ? "right" : "left";
    said.forEach((text, row) => pen.fillText(text, at + (at > width / 2 ? -6 : 6), MARGIN.top + 15 * row));
  }
}

/** A line through points, broken where a value is not finite. */
function trace(pen, points, x, y) {
  pen.beginPath();
  let down = false;
  for (let at = 0; at < points.length; at += 2) {
    const value = points[at + 1];
    if (!Number.isFinite(value)) {
      down = false;
      continue;
    }
    if (down) pen.lineTo(x(points[at]), y(value));
    else pen.moveTo(x(points[at]), y(value));
    down = true;
  }
  pen.stroke();
}

/** Means over the points around each, a fiftieth of all: sums as they go, so that it costs one pass. */
export function smoothed(points) {
  const count = points.length / 2, around = Math.floor(count / 100);
  const found = Float32Array.from(points);
  let sum = 0, first = 0, last = 0; // of the points from first up to last
  for (let at = 0; at < count; at++) {
    for (; last < Math.min(count, at + around + 1); last++) sum += points[2 * last + 1];
    for (; first < at - around; first++) sum -= points[2 * first + 1];
    found[2 * at + 1] = Number.isFinite(sum) ? sum / (last - first) : points[2 * at + 1];
  }
  return found;
}

function line(pen, x1, y1, x2, y2) {
  pen.beginPath();
  pen.moveTo(Math.round(x1) + 0.5, Math.round(y1) + 0.5);
  pen.lineTo(Math.round(x2) + 0.5, Math.round(y2) + 0.5);
  pen.stroke();
}

/** The y of the point nearest to an x, or null. */
export function nearest(points, wanted) {
  let low = 0, high = points.length / 2 - 1;
  if (high < 0) return null;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[2 * middle] < wanted) low = middle;
    else high = middle;
  }
  const near = wanted - points[2 * low] < points[2 * high] - wanted ? low : high;
  return points[2 * near + 1];
}

/** Round numbers between two values. */
export function ticks(low, high, logarithmic) {
  if (logarithmic && high / low > 10) {
    const found = [];
    for (let power = Math.ceil(Math.log10(low)); 10 ** power <= high; power++) found.push(10 ** power);
    return found;
  }
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((times) => times * power >= rough);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step / 1e6; at += step) found.push(at);
  return found;
}
