// The one connection to the trainer: the newest frame of each topic, and commands with their answers.

import { unframed } from "./frames.js";

const AGAIN = 1000; // milliseconds until the next try

export class Wire {
  constructor() {
    this.listeners = new Map();
    this.answers = new Map();
    this.number = 0;
    this.connect();
  }

  /** Call `listener(header, arrays)` with each frame of a topic. */
  on(topic, listener) {
    this.listeners.set(topic, [...(this.listeners.get(topic) ?? []), listener]);
  }

  /** Ask the trainer for something; resolves with its answer, rejects with its reason. */
  ask(verb, rest = {}) {
    const id = `${this.name}-${++this.number}`;
    return new Promise((resolve, reject) => {
      if (this.socket.readyState !== WebSocket.OPEN) {
        reject(new Error("The lab does not answer. It may have been stopped."));
        return;
      }
      this.answers.set(id, { resolve, reject });
      this.socket.send(JSON.stringify({ do: verb, id, ...rest }));
    });
  }

  /** Show the trainer an image file; resolves or rejects as `ask` does. */
  image(content) {
    const id = `${this.name}-${++this.number}`;
    return new Promise((resolve, reject) => {
      this.answers.set(id, { resolve, reject });
      fetch(`/image?id=${id}`, { method: "POST", body: content }).then((response) => {
        if (response.ok) return;
        this.answers.delete(id);
        reject(new Error(response.status === 413 ? "The image has too many bytes." : "The lab did not take the image."));
      }, reject);
    });
  }

  connect() {
    this.name = Math.random().toString(36).slice(2, 10); // of this connection's answers
    this.socket = new WebSocket(`ws://${location.host}/socket`);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.tell("connection", { open: true });
    this.socket.onmessage = (event) => this.receive(event.data);
    this.socket.onclose = () => {
      this.lost();
      for (const { reject } of this.answers.values()) reject(new Error("The connection was lost."));
      this.answers.clear();
      setTimeout(() => this.connect(), AGAIN);
    };
  }

  /** Tell whether nobody answers, or a lab that does not know this page. */
  async lost() {
    this.tell("connection", { open: false });
    const anew = await fetch("/").then(({ status }) => status === 403, () => false);
    if (anew) this.tell("connection", { open: false, anew });
  }

  receive(content) {
    const { header, arrays } = unframed(content);
    const [kind, id] = header.topic.split("/");
    if (kind !== "answer") {
      this.tell(kind, header, arrays);
      return;
    }
    const waiting = this.answers.get(id);
    if (!waiting) return; // another window's
    this.answers.delete(id);
    if (header.error) waiting.reject(new Error(header.error));
    else waiting.resolve(header.answer);
  }

  tell(topic, ...rest) {
    for (const listener of this.listeners.get(topic) ?? []) listener(...rest);
  }
}
