// What is said of images that are not learned from: tiles, accuracy by class, confusion, the worst mistakes.

import { made, picture, whole } from "./parts.js";

export class Scores {
  constructor(tiles, confusion) {
    this.right = tiles.querySelector("#right");
    this.tiles = tiles.querySelector(".tiles");
    this.table = confusion.querySelector(".wide");
    this.worst = confusion.querySelector("#worst");
    this.classes = [];
  }

  name(classes) {
    this.classes = classes;
  }

  show({ split, views, accuracy, asked, tiles, worst }, arrays) {
    this.right.textContent =
      accuracy === null ? "" : `${(100 * accuracy).toFixed(1)}% of the last ${whole(asked)} ${split} images are right${views === "6" ? ", averaged over six views of each" : ""}.`;
    this.tiles.replaceChildren(...tiles.map((each, number) => this.tile(each, number, arrays.pixels)));
    this.worst.replaceChildren(...worst.map((each, number) => this.tile(each, number, arrays.worst)));
    this.showConfusion(arrays.confusion);
  }

  tile({ number, label, top }, at, pixels) {
    const tile = made("div", "", "tile");
    const bars = made("div");
    for (const [name, probability] of top) {
      const bar = made("div", "", name === label ? "bar true" : "bar");
      bar.style.setProperty("--part", `${100 * probability}%`);
      bar.append(made("span", `${name} ${Math.round(100 * probability)}%${name === label ? " ✓" : ""}`));
      bars.append(bar);
    }
    if (!top.some(([name]) => name === label)) bars.append(made("div", `it is ${label}`, "bar"));
    tile.append(picture(pixels, at, `image ${number}: ${label}`), bars);
    return tile;
  }

  showConfusion({ shape, values }) {
    const [count] = shape;
    if (count > 20 || this.classes.length !== count) {
      this.table.replaceChildren();
      return;
    }
    const table = made("table");
    const head = made("tr");
    head.append(made("th", "is ↓ said →"), ...this.classes.map((name) => header(name, "col")), header("right", "col"));
    table.append(head);
    const most = Math.max(1, ...values.filter((_, at) => Math.floor(at / count) !== at % count));
    this.classes.forEach((name, row) => {
      const line = made("tr");
      line.append(header(name, "row"));
      const counts = values.subarray(row * count, (row + 1) * count);
      const sum = counts.reduce((total, each) => total + each, 0);
      counts.forEach((each, column) => {
        const cell = made("td", each ? String(each) : "");
        if (row === column) cell.className = "right";
        else if (each) cell.style.setProperty("--part", each / most);
        line.append(cell);
      });
      line.append(made("td", sum ? `${Math.round((100 * counts[row]) / sum)}%` : ""));
      table.append(line);
    });
    this.table.replaceChildren(table);
  }
}

function header(text, scope) {
  const cell = made("th", text);
  cell.scope = scope;
  return cell;
}
