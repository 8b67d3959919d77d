// The network's text: every word's numbers beside it while somebody types, errors under the word.

import { made, whole } from "./parts.js";

const PATIENCE = 150; // milliseconds after the last key

export class Editor {
  /** @param {HTMLElement} root */
  constructor(root, { kept, applied }) {
    this.kept = kept;
    this.area = root.querySelector("textarea");
    this.margin = root.querySelector(".margin tbody");
    this.marks = root.querySelector(".marks");
    this.errors = root.querySelector(".errors");
    this.apply = root.querySelector("#apply");
    this.undo = root.querySelector("#undo");
    this.promise = root.querySelector("#kept");
    this.totals = root.querySelector(".totals");
    this.asked = 0;
    this.area.addEventListener("input", () => this.later());
    this.area.addEventListener("scroll", () => this.scrolled());
    this.area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !this.apply.disabled) this.apply.click();
    });
    this.apply.addEventListener("click", () => {
      this.given = this.text; // so that what comes back is no stranger
      applied(this.text);
    });
    this.undo.addEventListener("click", () => this.set(this.training));
  }

  get text() {
    return this.area.value;
  }

  get changed() {
    return this.text !== this.training;
  }

  set(text) {
    this.area.value = this.given = text;
    this.check();
  }

  /** The text that trains; it replaces what stands here unless somebody has begun to change it. */
  show(text) {
    if (text === this.training) return;
    const mine = this.training !== undefined && this.text !== this.given && this.canonical !== text;
    this.training = text;
    if (mine) this.buttons();
    else this.set(text);
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.check(), PATIENCE);
  }

  async check() {
    const number = ++this.asked;
    const response = await fetch("/check", { method: "POST", body: this.text });
    if (number !== this.asked || !response.ok) return; // a later text is being checked
    const found = await response.json();
    this.canonical = found.canonical;
    this.broken = Boolean(found.error);
    this.draw(found);
    this.buttons();
    this.promise.textContent = "";
    if (!this.broken && this.changed) {
      const kept = await this.kept(this.text);
      if (kept && number === this.asked) this.promise.textContent = `Apply: ${kept.said}.`;
    }
  }

  buttons() {
    this.apply.disabled = this.broken || !this.changed;
    this.undo.disabled = !this.changed;
  }

  draw({ words, totals, error }) {
    this.area.setAttribute("aria-invalid", String(Boolean(error)));
    this.errors.replaceChildren();
    this.marks.replaceChildren();
    if (error) {
      this.drawError(error);
      return;
    }
    this.totals.textContent = `${whole(totals.parameters)} parameters, ${whole(totals.macs)} MACs an image`;
    this.margin.replaceChildren(
      ...words.map((word) => {
        const row = made("tr");
        const times = word.times > 1 ? ` ×${word.times}` : "";
        const name = made("th", this.text.slice(word.start, word.end) + times);
        name.scope = "row";
        row.append(name, ...[word.volume, brief(word.parameters), brief(word.macs), word.field].map((text) => made("td", text)));
        row.addEventListener("pointerenter", () => this.underline(word, "here"));
        row.addEventListener("pointerleave", () => this.marks.replaceChildren());
        return row;
      }),
    );
  }

  underline({ start, end }, className) {
    const mark = made("mark", this.text.slice(start, end) || " ", className);
    this.marks.replaceChildren(document.createTextNode(this.text.slice(0, start)), mark, document.createTextNode(this.text.slice(end)));
    this.scrolled();
  }

  drawError(error) {
    this.underline(error, "wrong");
    const list = made("ul");
    list.append(...error.hints.map((hint) => made("li", hint)));
    const said = made("p", `Line ${error.line}, column ${error.column}: ${error.message}`);
    this.errors.replaceChildren(said, ...(error.note ? [made("p", error.note, "note")] : []), ...(error.hints.length ? [list] : []));
  }

  scrolled() {
    this.marks.scrollTop = this.area.scrollTop;
    this.marks.scrollLeft = this.area.scrollLeft;
  }
}

function brief(value) {
  if (value === null) return "unknown";
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) if (value >= size) return `${+(value / size).toPrecision(3)}${unit}`;
  return String(value);
}
