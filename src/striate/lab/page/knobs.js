// Settings that may be turned while training runs; one that the update rule does not read says so.

import { made } from "./parts.js";

const LABELS = { learning_rate: "Learning rate", momentum: "Momentum", batch: "Batch size", weight_decay: "Weight decay" };

export class Knobs {
  constructor(root, { turned, forked }) {
    this.root = root;
    this.turned = turned;
    this.forked = forked;
    this.rows = new Map();
  }

  show(knobs) {
    for (const { name, value, why } of knobs) {
      if (!this.rows.has(name)) this.rows.set(name, this.row(name));
      const row = this.rows.get(name), { input, fork, reason } = row;
      row.value = value;
      input.disabled = fork.disabled = Boolean(why);
      reason.textContent = why;
      if (document.activeElement !== input) input.value = value ?? "";
    }
  }

  row(name) {
    const root = made("div", "", "knob");
    const input = made("input");
    input.type = "number";
    input.step = name === "batch" ? "1" : "any";
    input.min = "0";
    input.id = `knob-${name}`;
    const label = made("label", LABELS[name]);
    label.htmlFor = input.id;
    const reason = made("span", "", "why");
    reason.id = `why-${name}`;
    input.setAttribute("aria-describedby", reason.id);
    const fork = made("button", "Fork");
    const row = { input, fork, reason, value: null };
    fork.setAttribute("aria-label", `Fork with this ${LABELS[name].toLowerCase()}`);
    fork.title = "Go on as now, and beside it with this value";
    input.addEventListener("change", () => {
      if (this.forking) return;
      this.turned(name, input.value).then((taken) => {
        if (!taken) input.value = row.value ?? "";
      });
    });
    // Leaving the field for its own button would turn the knob of the branch that is to stay as it is.
    fork.addEventListener("pointerdown", () => { this.forking = true; });
    fork.addEventListener("click", () => {
      this.forking = false;
      this.forked(name, input.value);
    });
    root.append(label, input, fork, reason);
    this.root.append(root);
    return row;
  }
}
