// The recipe as text: it is applied as a whole, and what has changed becomes a mark.

import { made } from "./parts.js";

export class Recipe {
  constructor(root, { applied, begun }) {
    this.area = root.querySelector("#recipe");
    this.apply = root.querySelector("#rewrite");
    this.undo = root.querySelector("#unwrite");
    root.querySelector("#begin-with").addEventListener("click", () => begun(this.area.value));
    this.area.addEventListener("input", () => this.buttons());
    this.apply.addEventListener("click", () => applied(this.area.value));
    this.undo.addEventListener("click", () => this.set(this.training));
  }

  /** The recipe that trains; it replaces what stands here unless somebody has begun to change it. */
  show(text) {
    if (text === this.training) return;
    const mine = this.training !== undefined && this.area.value !== this.training;
    this.training = text;
    if (!mine) this.area.value = text;
    this.buttons();
  }

  set(text) {
    this.area.value = text;
    this.buttons();
  }

  buttons() {
    this.apply.disabled = this.undo.disabled = this.area.value === this.training;
  }
}

/** Names to choose from; choosing one gives its text. */
export function fill(select, entries, chosen) {
  select.parentElement.hidden = entries.length === 0;
  select.replaceChildren(
    ...[["", ""], ...entries].map(([name]) => {
      const option = made("option", name || "choose");
      option.value = name;
      return option;
    }),
  );
  select.onchange = () => {
    const entry = entries.find(([name]) => name === select.value);
    if (entry) chosen(entry[1]);
  };
}
