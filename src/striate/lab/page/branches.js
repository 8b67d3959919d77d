// The branches: one is looked at, each can be dropped but the last.

import { STYLES } from "./curves.js";
import { COLOURS, made, whole } from "./parts.js";

const SWATCHES = ["━━", "╍╍", "┅┅", "━╍"]; // drawn as the curves are

export class Branches {
  constructor(root, { chosen, dropped }) {
    this.root = root;
    this.chosen = chosen;
    this.dropped = dropped;
    this.counts = [];
  }

  show({ branches, chosen }) {
    const names = branches.map(({ name }) => name).join("\n");
    if (names !== this.names) this.build(branches); // else a button would be gone between press and release
    this.names = names;
    branches.forEach(({ name, parent, seen, ended }, number) => {
      const from = parent ? `, forked off ${parent[0]} after ${whole(parent[1])}` : "";
      const { look, count } = this.counts[number];
      look.setAttribute("aria-pressed", String(name === chosen));
      count.textContent = ` ${whole(seen)} images${from}${ended ? ", at its end" : ""} `;
    });
  }

  build(branches) {
    this.counts = branches.map(({ name }, number) => {
      const item = made("li");
      const swatch = made("span", `${SWATCHES[number % STYLES.length]} `);
      swatch.style.color = COLOURS[number % COLOURS.length];
      const look = made("button", name);
      look.addEventListener("click", () => this.chosen(name));
      const count = made("span");
      item.append(swatch, look, count);
      if (branches.length > 1) {
        const drop = made("button", "Drop");
        drop.setAttribute("aria-label", `Drop ${name}`);
        drop.addEventListener("click", () => this.dropped(name));
        item.append(drop);
      }
      return { item, look, count };
    });
    this.root.replaceChildren(...this.counts.map(({ item }) => item));
  }
}
