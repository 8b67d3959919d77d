// The page: what the trainer tells goes to its place, what a person does goes to the trainer.

import { Branches } from "./branches.js";
import { Chart } from "./curves.js";
import { Editor } from "./editor.js";
import { Knobs } from "./knobs.js";
import { Layers } from "./layers.js";
import { Recipe, fill } from "./recipe.js";
import { Scores } from "./scores.js";
import { Wire } from "./socket.js";
import { Past } from "./past.js";
import { COLOURS, find, made, short, whole } from "./parts.js";
import { Unit, address } from "./unit.js";
import { showVitals } from "./vitals.js";
import { ownImage } from "./own.js";

const wire = new Wire();
const say = (text) => { find("#status").textContent = text; };
const ask = async (verb, rest) => {
  try {
    return await wire.ask(verb, rest);
  } catch (reason) {
    say(reason.message);
    return null;
  }
};
const told = async (verb, rest) => {
  const said = await ask(verb, rest);
  if (said !== null) say(said.said ?? said ?? "");
  return said !== null;
};

const editor = new Editor(find("#network"), {
  kept: (text) => ask("kept", { text }),
  applied: (text) => told("apply", { text }),
});
const knobs = new Knobs(find("#knobs .rows"), {
  turned: (name, value) => told("knob", { name, value }),
  forked: (name, value) => told("fork", { name, value }),
});
const recipe = new Recipe(find("#knobs"), {
  applied: (text) => told("rewrite", { text }),
  begun: (text) => told("reset", { text }),
});
const loss = new Chart(find("#loss"));
const accuracy = new Chart(find("#accuracy"), { from: 0, times: 100 });
const layers = new Layers(find("#layers"), {
  scaled: (scale) => ask("rescale", { scale }),
  chosen: (layer, unit) => { location.hash = address(layer, unit); },
});
const unit = new Unit(find("#unit"), { asked: (layer, number) => ask("unit", { layer, unit: number }) });
const scores = new Scores(find("#predictions"), find("#confusion"));
const branches = new Branches(find("#branches"), {
  chosen: (branch) => ask("choose", { branch }),
  dropped: (branch) => ask("drop", { branch }),
});
const past = new Past(find("#past"), { wanted: (seen) => ask("moment", { seen }) });
const shown = () => say("Your image is in the layers, with what the network says of it.");
ownImage(find("#own"), (content) => wire.image(content).then(shown, (reason) => say(reason.message)), say);

let state = null, failure = "";

wire.on("connection", ({ open, anew }) => {
  document.body.classList.toggle("lost", !open);
  if (open) say("");
  else if (anew) say("The lab was started anew: open the address that it printed. Your text stays here until then.");
  else say("The lab does not answer; it is tried again every second.");
});
wire.on("opening", ({ said, failed }) => {
  find("#opening").hidden = !said && !failed;
  find("#opening").textContent = failed ?? said ?? "";
  find("#opening").classList.toggle("wrong", Boolean(failed));
});
wire.on("state", (found) => {
  if (!state) for (const each of document.querySelectorAll("header button")) each.disabled = false;
  state = found;
  unit.begin();
  const button = find("#run");
  button.textContent = state.running ? "Pause" : "Train";
  button.setAttribute("aria-pressed", String(state.running));
  find("#step").disabled = state.running;
  find("#overfit").setAttribute("aria-pressed", String(state.chosen === "by heart"));
  if (state.failure !== failure) say((failure = state.failure)); // once, or nothing else could be said
  const chosen = state.branches.find(({ name }) => name === state.chosen);
  const { forward, backward } = state.milliseconds;
  find("#what").textContent = [
    state.source,
    `${whole(chosen.seen)} images seen`,
    `epoch ${chosen.epoch}`,
    `forward ${short(forward)} ms, backward ${short(backward)} ms an image`,
    `watching takes ${(100 * state.cost).toFixed(1)}%`,
  ].join(" · ");
  editor.show(state.text);
  recipe.show(state.recipe);
  knobs.show(state.knobs);
  scores.name(state.classes);
  layers.name(state);
  branches.show(state);
  showRules();
});
wire.on("curves", ({ branches }, arrays) => {
  const curves = (what, name = (each) => each) =>
    branches.map((each, number) => ({
      name: name(each),
      colour: COLOURS[number % COLOURS.length],
      points: arrays[`${each}/${what}`].values,
    }));
  // What a branch had before it forked off stands with its parent, as long as that is there.
  const own = ({ parent }, { seen }) => !branches.includes(parent?.[0]) || seen >= parent[1];
  const marks = (state?.branches ?? []).flatMap((branch) =>
    branch.marks
      .filter((mark) => own(branch, mark))
      .map(({ seen, name, before, after }) => ({ at: seen, said: `${branch.name}: ${name} ${before} → ${after}` })),
  );
  const noisy = (each) => ({ ...each, noisy: true }); // single batches
  loss.show(curves("loss").map(noisy), marks);
  const training = curves("training", (each) => `${each}, training`).map((each) => ({ ...noisy(each), faint: true }));
  accuracy.show([...curves("validation", (each) => `${each}, validation`), ...training], marks);
  find("#marks").replaceChildren(...marks.map(({ at, said }) => made("li", `after ${whole(at)} images: ${said}`)));
});
wire.on("shelf", ({ networks, recipes, runs }) => {
  fill(find("#runs"), runs, (run) => told("begin", { run }));
  fill(find("#zoo"), networks, (text) => editor.set(text));
  fill(find("#recipes"), recipes, (text) => recipe.set(text));
});
wire.on("vitals", (found) => showVitals(find("#vitals table"), find("#sentences"), found));
wire.on("scores", (header, arrays) => scores.show(header, arrays));
wire.on("maps", (header, arrays) => layers.showMaps(header, arrays));
wire.on("weights", (header, arrays) => layers.showWeights(header, arrays));
wire.on("timeline", ({ moments }) => past.has(moments));
wire.on("unit", (header, arrays) => unit.show(header, arrays));
wire.on("moment", (header, arrays) => past.show(header, arrays));

function showRules() {
  const root = find("#rules");
  if (root.childElementCount) return;
  for (const rule of state.rules) {
    const label = made("label");
    const box = made("input");
    box.type = "checkbox";
    box.value = rule;
    box.checked = ["sgd", "momentum", "adam"].includes(rule);
    label.append(box, ` ${rule}`);
    root.append(label);
  }
}

find("#begin-comparison").addEventListener("click", () =>
  told("compare", { rules: [...document.querySelectorAll("#rules :checked")].map(({ value }) => value) }),
);
find("#run").addEventListener("click", () => ask(state?.running ? "pause" : "run"));
find("#step").addEventListener("click", () => ask("step"));
find("#reset").addEventListener("click", () => ask("reset"));
find("#gradients").addEventListener("click", () => told("check_gradients"));
find("#save").addEventListener("click", async () => {
  const where = await ask("save");
  if (!where) return;
  say(`Saved as ${where}, with a script that repeats it: session.py`);
  ask("shelf");
});
find("#overfit").addEventListener("click", () => told("overfit", { on: state?.chosen !== "by heart" }));
find("#next-image").addEventListener("click", () => ask("next_image"));
find("#logarithmic").addEventListener("change", (event) => {
  loss.options.logarithmic = event.target.checked;
  loss.draw();
});
