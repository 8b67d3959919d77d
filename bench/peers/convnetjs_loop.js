// ConvNetJS training its own CIFAR-10 network, by turns as in turns.py: images shifted and mirrored
// as its demo does.
//   node convnetjs_loop.js CONVNETJS TASK-AS-JSON SECONDS
"use strict";
const fs = require("fs");
const path = require("path");
const [folder, given, seconds] = process.argv.slice(2);
const task = JSON.parse(given);
const convnetjs = require(path.join(folder, "build", "convnet.js"));

const relu = (filters) => ({ type: "conv", sx: 5, filters, stride: 1, pad: 2, activation: "relu" });
const pool = { type: "pool", sx: 2, stride: 2 };
const net = new convnetjs.Net();
net.makeLayers([
  { type: "input", out_sx: 32, out_sy: 32, out_depth: 3 },
  relu(16), { ...pool }, relu(20), { ...pool }, relu(20), { ...pool },
  { type: "softmax", num_classes: 10 },
]);
const parameters = net.getParamsAndGrads().reduce((sum, each) => sum + each.params.length, 0);
if (parameters !== task.parameters) throw new Error(`${parameters} parameters, not ${task.parameters}`);
const settings = { method: "sgd", learning_rate: task.rate, momentum: 0.9, batch_size: task.batch };
const trainer = new convnetjs.Trainer(net, { ...settings, l2_decay: 0 });

const images = Uint8Array.from({ length: 1000 * 3072 }, () => Math.random() * 256);
const labels = Uint8Array.from({ length: 1000 }, () => Math.random() * 10);

function trainOn(index) {
  const volume = new convnetjs.Vol(32, 32, 3, 0);
  for (let i = 0; i < 3072; i++) volume.w[i] = images[3072 * index + i] / 255 - 0.5;
  const [dx, dy] = [0, 0].map(() => Math.floor(Math.random() * 9) - 4);
  trainer.train(convnetjs.augment(volume, 32, dx, dy, Math.random() < 0.5), labels[index]);
}

function say(answer) { fs.writeSync(1, JSON.stringify(answer) + "\n"); }

const byte = Buffer.alloc(1);
function turn() { // waits for a line; false where there are no more
  do { if (fs.readSync(0, byte, 0, 1) === 0) return false; } while (byte[0] !== 10);
  return true;
}

const { version } = require(path.join(folder, "package.json"));
const versions = { convnetjs: version, node: process.versions.node };
say({ settings: "float64, 1 thread, a trainer's batch", versions, parameters });
while (turn()) {
  const began = process.hrtime.bigint();
  let trained = 0, spent = 0;
  while (spent < Number(seconds) || trained % task.batch) {
    trainOn(trained++ % 1000);
    spent = Number(process.hrtime.bigint() - began) / 1e9;
  }
  say({ images: trained, seconds: spent });
}
