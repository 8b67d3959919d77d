// Each layer's maps, their gradients, its filters and theirs: pictures with the least and largest value.

import { Atlas } from "./maps.js";
import { made, short } from "./parts.js";

const KINDS = {
  activations: "activations",
  gradients: "gradients of the loss",
  weights: "filters",
  slopes: "gradients of the filters, last step",
};

export class Layers {
  constructor(root, { scaled, chosen } = {}) {
    this.chosen = chosen;
    this.stack = root.querySelector("#stack");
    this.seen = root.querySelector("#seen");
    this.scale = root.querySelector("#scale");
    this.photo = new Atlas(root.querySelector("#subject"));
    this.box = root.querySelector("#box");
    this.rows = new Map();
    this.scale?.addEventListener("change", () => scaled(this.scale.value));
  }

  name({ scale, classes }) {
    this.classes = classes;
    if (document.activeElement !== this.scale) this.scale.value = scale;
  }

  showMaps(header, arrays) {
    const { image, mode, loss, known, probabilities, layers } = header;
    const of = known ? "its class" : "the class that scores highest";
    this.seen.textContent =
      `${image}, in ${mode} mode: ${this.best(probabilities)}. Loss ${short(loss)}, of ${of}. Grey is zero, black and white the largest value of each ${header.scale}.`;
    const { shape, values } = arrays.image;
    this.photo.show({ shape: [1, ...shape], values });
    [this.height, this.width] = shape;
    const names = new Set(layers.map(({ name }) => name));
    for (const [name, { root }] of this.rows) {
      if (names.has(name)) continue;
      root.remove();
      this.rows.delete(name);
    }
    for (const [number, each] of layers.entries()) {
      const row = this.row(each.name);
      row.about = each;
      const here = this.stack.children[number] ?? null; // in the network's order
      if (here !== row.root) this.stack.insertBefore(row.root, here); // one that is moved loses the keyboard
      for (const kind of ["activations", "gradients"]) {
        const name = `${each.name}/${kind}`;
        row.show(kind, each[kind], arrays[name], arrays[`${name}/largest`].values);
      }
    }
  }

  /** What the network says of the image: the three likeliest classes. */
  best(probabilities) {
    const named = probabilities.map((each, at) => [each, this.classes?.[at] ?? `class ${at}`]);
    const first = named.sort(([one], [other]) => other - one).slice(0, 3);
    return first.map(([each, name]) => `${name} ${Math.round(100 * each)}%`).join(", ");
  }

  showWeights({ layers }, arrays) {
    for (const each of layers) {
      const row = this.rows.get(each.name);
      if (!row) continue;
      row.parameters.textContent = `${each.parameters} parameters`;
      for (const kind of ["weights", "slopes"]) {
        const pixels = arrays[`${each.name}/${kind}`];
        const largest = each[kind] && new Float32Array(pixels?.shape[0] ?? 0).fill(Math.max(...each[kind].map(Math.abs)));
        if (each[kind]) row.show(kind, each[kind], pixels, largest, pixels ? pixels.shape[0] / Math.min(each.filters, each.shown) : 1);
        else row.drop(kind); // a gradient of the network before would be a stale picture
      }
    }
  }

  row(name) {
    if (!this.rows.has(name)) this.rows.set(name, new Row(name, (box) => this.frame(box), (unit) => this.chosen?.(name, unit)));
    return this.rows.get(name);
  }

  /** Draw a rectangle of the image, [top, bottom, left, right), around what a unit sees. */
  frame(box) {
    this.box.hidden = !box;
    if (!box) return;
    const [top, bottom, left, right] = box.map((each, at) => {
      const side = at < 2 ? this.height : this.width;
      return (100 * Math.min(side, Math.max(0, each))) / side;
    });
    Object.assign(this.box.style, { top: `${top}%`, height: `${bottom - top}%`, left: `${left}%`, width: `${right - left}%` });
  }
}

class Row {
  constructor(name, framed, chosen) {
    this.name = name;
    this.framed = framed;
    this.chosen = chosen;
    this.about = {}; // the layer's maps: their number, sides, receptive field
    this.root = made("div", "", "layer");
    this.parameters = made("span", "", "parameters");
    const title = made("h3", `${name} `);
    title.append(this.parameters);
    this.root.append(title);
    this.cells = new Map();
  }

  /** @param {ArrayLike<number>} largest for each tile the absolute value that is black or white */
  show(kind, [low, high], pixels, largest, apart = 1) {
    if (!this.cells.has(kind)) this.cells.set(kind, this.cell(kind));
    const cell = this.cells.get(kind);
    cell.largest = largest;
    cell.apart = apart;
    const { told, atlas, canvas } = cell;
    told.textContent = `${KINDS[kind]}: ${short(low)} to ${short(high)}`;
    canvas.hidden = !pixels;
    if (pixels) atlas.show(pixels);
  }

  drop(kind) {
    this.cells.get(kind)?.root.remove();
    this.cells.delete(kind);
  }

  cell(kind) {
    const root = made("div", "", "cell");
    const told = made("p");
    const under = made("p", "", "under");
    under.setAttribute("aria-live", "polite");
    const canvas = made("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${KINDS[kind]} of ${this.name}`);
    canvas.dataset.kind = kind;
    canvas.dataset.layer = this.name;
    root.append(told, canvas, under);
    this.root.append(root);
    const cell = { root, told, canvas };
    cell.atlas = new Atlas(canvas, {
      hovered: (tile, row, column) => {
        const found = tile === null ? null : this.pointed(kind, cell, tile, row, column);
        under.textContent = found?.said ?? "";
        this.framed(found?.box);
      },
      chosen: (tile) => this.chosen(Math.floor(tile / cell.apart)),
    });
    return cell;
  }

  /** What a pixel of a map or a filter is, and the part of the image that a map's pixel sees. */
  pointed(kind, { atlas, largest, apart }, tile, row, column) {
    const value = atlas.bytesAt(tile, row, column).map((byte) => short(((byte - 128) / 127) * largest[tile]));
    if (kind === "weights" || kind === "slopes") {
      const channel = apart > 1 ? `, channel ${tile % apart}` : "";
      return { said: `filter ${Math.floor(tile / apart)}${channel} at ${row},${column}: about ${value.join(" ")}`, box: null };
    }
    const { side, field } = this.about;
    const at = [Math.floor((row * side[0]) / atlas.height), Math.floor((column * side[1]) / atlas.width)];
    const said = `map ${tile} at ${at}: about ${value}`;
    if (!field) return { said, box: null };
    const [top, rows, down] = field.rows, [left, columns, across] = field.columns;
    const box = [top + down * at[0], top + down * at[0] + rows, left + across * at[1], left + across * at[1] + columns];
    return { said: `${said}; sees rows ${box[0]} to ${box[1] - 1}, columns ${box[2]} to ${box[3] - 1}`, box };
  }
}
