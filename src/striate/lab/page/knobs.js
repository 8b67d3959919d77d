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
      if (![input, fork].includes(document.activeElement)) input.value = value ?? "";
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
    const turn = () => {
      if (input.value === String(row.value ?? "")) return;
      this.turned(name, input.value).then((taken) => {
        if (!taken) input.value = row.value ?? "";
      });
    };
    input.addEventListener("keydown", ({ key }) => key === "Enter" && turn());
    // Whoever leaves the field for its own button means a fork, not the branch that is to stay as it is.
    input.addEventListener("blur", ({ relatedTarget }) => relatedTarget !== fork && turn());
    fork.addEventListener("mousedown", (event) => event.preventDefault()); // the field stays what is at work
    fork.addEventListener("click", () => {
      this.forked(name, input.value);
      input.value = row.value ?? "";
    });
    root.append(label, input, fork, reason);
    this.root.append(root);
    return row;
  }
}
