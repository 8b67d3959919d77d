// A run in a notebook's cell: its curves, and what its layers make of an image.

import { unframed } from "./frames.js";
import { COLOURS, made, whole } from "./parts.js";
import { Chart } from "./curves.js";
import { Layers } from "./layers.js";

const INSIDE = `
  <p class="what"></p>
  <div class="charts">
    <figure><figcaption>Loss, nats</figcaption><canvas class="loss" role="img" aria-label="Loss over images seen"></canvas></figure>
    <figure><figcaption>Accuracy, %: validation bold, training thin</figcaption>
      <canvas class="accuracy" role="img" aria-label="Accuracies over images seen"></canvas></figure>
  </div>
  <div class="subject"><canvas id="subject" role="img" aria-label="The image that is looked at"></canvas><div id="box" hidden></div></div>
  <p id="seen"></p>
  <div id="stack"></div>`;

function render({ model, el }) {
  el.classList.add("striate");
  el.innerHTML = INSIDE;
  const part = (selector) => el.querySelector(selector);
  const loss = new Chart(part(".loss")), accuracy = new Chart(part(".accuracy"), { from: 0, times: 100 });
  const layers = new Layers(el);
  const topics = {
    state({ branches: [branch] }) {
      part(".what").textContent = `${branch.name} · ${whole(branch.seen)} images seen · epoch ${branch.epoch}`;
    },
    curves({ branches: [branch] }, arrays) {
      const curve = (name, what) => ({ name, colour: COLOURS[0], noisy: what !== "validation", points: arrays[`${branch}/${what}`].values });
      loss.show([curve("loss", "loss")], []);
      accuracy.show([curve("validation", "validation"), { ...curve("training", "training"), faint: true }], []);
    },
    maps: (header, arrays) => layers.showMaps(header, arrays),
    weights: (header, arrays) => layers.showWeights(header, arrays),
  };
  const heard = (message, [{ buffer, byteOffset, byteLength }]) => {
    const { header, arrays } = unframed(buffer.slice(byteOffset, byteOffset + byteLength));
    topics[header.topic]?.(header, arrays);
  };
  model.on("msg:custom", heard);
  model.send({ asks: "everything" });
  return () => model.off("msg:custom", heard);
}

export default { render };
