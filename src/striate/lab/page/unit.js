// A unit's page, at an address of its own (#unit/conv1/3): what excites it most and the image that it prefers.

import { made, picture, short, whole } from "./parts.js";

/** The address of a unit's page. */
export const address = (layer, unit) => `#unit/${encodeURIComponent(layer)}/${unit}`;

const decoded = (text) => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // an address typed by hand
  }
};

export class Unit {
  /** @param {HTMLElement} root @param {(layer: string, unit: number) => Promise} asked */
  constructor(root, { asked }) {
    this.root = root;
    this.asked = asked;
    this.title = root.querySelector("h2");
    this.told = root.querySelector("#unit-told");
    this.tiles = root.querySelector(".tiles");
    this.ready = false; // nobody answers before the lab has begun
    root.querySelector("#unit-again").addEventListener("click", () => this.ask());
    window.addEventListener("hashchange", () => this.turn(true));
    this.turn(false);
  }

  begin() {
    if (this.ready) return;
    this.ready = true;
    this.ask();
  }

  turn(byHand) {
    const [, layer, unit] = location.hash.match(/^#unit\/([^/]+)\/(\d+)$/) ?? [];
    this.layer = layer && decoded(layer);
    this.unit = Number(unit);
    this.root.hidden = !this.layer;
    if (!this.layer) return;
    this.title.textContent = `Unit ${this.unit} of ${this.layer}`;
    this.tiles.replaceChildren();
    if (byHand) {
      this.title.focus();
      this.root.scrollIntoView({ block: "start" });
    }
    this.ask();
  }

  ask() {
    if (!this.layer || !this.ready) return;
    this.told.textContent = "It is being looked at, beside the training.";
    this.asked(this.layer, this.unit);
  }

  show({ layer, unit, seen, failed, patches, images, made: value }, arrays) {
    if (layer !== this.layer || unit !== this.unit) return; // another window's
    if (failed) {
      this.told.textContent = failed;
      return;
    }
    this.told.textContent =
      `After ${whole(seen)} images: the image that it prefers, made from grey by climbing its gradient, and the parts ` +
      `of ${whole(images)} test images that excite it most, one of each. Beyond an image's border is grey.`;
    const tile = (shown, at, label, ...lines) => {
      const root = made("figure", "", "part");
      const said = made("figcaption");
      for (const line of lines) said.append(made("div", line));
      root.append(picture(shown, at, label), said);
      return root;
    };
    this.tiles.replaceChildren(
      tile(arrays.made, 0, "the image that it prefers", "made", short(value)),
      ...patches.map(({ image, label, value: reached, at }, number) =>
        tile(arrays.patches, number, `part of test image ${image}: ${label}`, `${label}, test ${image}`, `${short(reached)} at ${at}`),
      ),
    );
  }
}
