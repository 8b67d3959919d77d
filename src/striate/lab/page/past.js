// The timeline: filters and histograms as they were, by a slider over the moments that are kept.

import { Atlas } from "./maps.js";
import { made, short, whole } from "./parts.js";

export class Past {
  constructor(root, { wanted }) {
    this.slider = root.querySelector("#moment");
    this.told = root.querySelector("#moment-seen");
    this.pictures = root.querySelector("#moment-filters");
    this.moments = [];
    this.wanted = wanted;
    this.slider.addEventListener("input", () => {
      const seen = this.moments[this.slider.value];
      if (seen !== undefined) wanted((this.asked = seen));
    });
  }

  has(moments) {
    const atEnd = Number(this.slider.value) >= this.moments.length - 1;
    this.moments = moments;
    this.slider.max = Math.max(0, moments.length - 1);
    if (atEnd) this.slider.value = this.slider.max;
    if (atEnd && moments.length && moments.at(-1) !== this.asked) this.wanted((this.asked = moments.at(-1)));
  }

  show({ seen, layers }, arrays) {
    if (seen !== this.asked) return; // another window asked
    this.told.textContent = `after ${whole(seen)} images`;
    this.slider.setAttribute("aria-valuetext", this.told.textContent);
    this.pictures.replaceChildren(...layers.filter(({ weights }) => weights).map((layer) => this.picture(layer, arrays)));
  }

  /** A layer's filters, where they are more than single numbers, and how its weights are spread. */
  picture({ name, weights: [low, high] }, arrays) {
    const cell = made("div", "", "cell");
    cell.append(made("p", name));
    const filters = arrays[`${name}/weights`];
    if (filters) {
      const canvas = made("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `filters of ${name} ${this.told.textContent}`);
      cell.append(canvas);
      queueMicrotask(() => new Atlas(canvas).show(filters));
    }
    cell.append(bars(arrays[`${name}/histogram`].values, `weights of ${name}, ${short(low)} to ${short(high)}`));
    cell.append(made("p", `weights from ${short(low)} to ${short(high)}`));
    return cell;
  }
}

const BAR = 4, HEIGHT = 48; // pixels

/** A histogram, drawn in the text's colour. */
function bars(counts, label) {
  const canvas = made("canvas", "", "bars");
  canvas.width = BAR * counts.length;
  canvas.height = HEIGHT;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  queueMicrotask(() => {
    const pen = canvas.getContext("2d");
    pen.fillStyle = getComputedStyle(canvas).color;
    const most = Math.max(1, ...counts);
    counts.forEach((count, at) => pen.fillRect(BAR * at, HEIGHT * (1 - count / most), BAR - 1, HEIGHT * (count / most)));
  });
  return canvas;
}
