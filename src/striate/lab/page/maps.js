// Maps and filters of a layer on one canvas: a tile for each channel, pixel by pixel, zero always the same grey.

const GAP = 1;

export class Atlas {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {(tile: number, row: number, column: number) => void} hovered
   * @param {(tile: number) => void} chosen
   */
  constructor(canvas, { hovered = () => {}, chosen = () => {} } = {}) {
    this.canvas = canvas;
    this.at = -1; // the tile that the keyboard is on
    canvas.tabIndex = 0;
    canvas.addEventListener("pointermove", (event) => {
      const found = this.tileAt(event);
      if (found) hovered(found.tile, found.row, found.column);
    });
    canvas.addEventListener("pointerleave", () => hovered(null));
    canvas.addEventListener("click", (event) => {
      const found = this.tileAt(event);
      if (found) chosen(found.tile);
    });
    canvas.addEventListener("keydown", (event) => {
      const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.across, ArrowUp: -this.across };
      if (event.key in moves && this.tiles) {
        this.at = Math.min(this.tiles - 1, Math.max(0, this.at + moves[event.key]));
        hovered(this.at, this.height >> 1, this.width >> 1);
        this.draw();
        event.preventDefault();
      } else if (event.key === "Enter" && this.at >= 0) {
        chosen(this.at);
      }
    });
    new ResizeObserver(() => this.draw()).observe(canvas.parentElement);
  }

  /** @param {{shape: number[], values: Uint8Array}} array (tiles, height, width) or (tiles, height, width, 3) */
  show({ shape, values }) {
    [this.tiles, this.height, this.width] = shape;
    this.depth = shape[3] ?? 1;
    this.values = values;
    this.draw();
  }

  layout() {
    const room = Math.max(this.width, this.canvas.parentElement.clientWidth);
    const natural = this.width < 4 ? 8 : this.width < 16 ? 4 : this.width < 40 ? 2 : 1;
    this.times = Math.max(1, Math.min(natural, Math.floor(room / this.width)));
    const step = this.width * this.times + GAP;
    this.across = Math.max(1, Math.min(this.tiles, Math.floor((room + GAP) / step)));
    this.down = Math.ceil(this.tiles / this.across);
  }

  draw() {
    if (!this.values) return;
    this.layout();
    const across = this.across * (this.width * this.times + GAP) - GAP;
    const down = this.down * (this.height * this.times + GAP) - GAP;
    if (this.canvas.width !== across || this.canvas.height !== down) {
      this.canvas.width = across;
      this.canvas.height = down;
    }
    const pen = this.canvas.getContext("2d");
    const image = pen.createImageData(across, down);
    const area = this.height * this.width;
    for (let tile = 0; tile < this.tiles; tile++) {
      const left = (tile % this.across) * (this.width * this.times + GAP);
      const top = Math.floor(tile / this.across) * (this.height * this.times + GAP);
      for (let row = 0; row < this.height * this.times; row++) {
        const from = tile * area + Math.floor(row / this.times) * this.width;
        let to = 4 * ((top + row) * across + left);
        for (let column = 0; column < this.width * this.times; column++, to += 4) {
          const at = (from + Math.floor(column / this.times)) * this.depth;
          image.data[to] = this.values[at];
          image.data[to + 1] = this.values[at + (this.depth > 1 ? 1 : 0)];
          image.data[to + 2] = this.values[at + (this.depth > 1 ? 2 : 0)];
          image.data[to + 3] = 255;
        }
      }
    }
    pen.putImageData(image, 0, 0);
    if (this.at >= 0 && document.activeElement === this.canvas) {
      pen.strokeStyle = getComputedStyle(this.canvas).color;
      pen.lineWidth = 2;
      const left = (this.at % this.across) * (this.width * this.times + GAP);
      const top = Math.floor(this.at / this.across) * (this.height * this.times + GAP);
      pen.strokeRect(left + 1, top + 1, this.width * this.times - 2, this.height * this.times - 2);
    }
  }

  tileAt(event) {
    if (!this.values) return null;
    const x = (event.offsetX * this.canvas.width) / this.canvas.clientWidth;
    const y = (event.offsetY * this.canvas.height) / this.canvas.clientHeight;
    const [wide, high] = [this.width * this.times + GAP, this.height * this.times + GAP];
    const tile = Math.floor(y / high) * this.across + Math.floor(x / wide);
    const row = Math.floor((y % high) / this.times), column = Math.floor((x % wide) / this.times);
    if (tile < 0 || tile >= this.tiles || row >= this.height || column >= this.width) return null;
    return { tile, row, column };
  }

  /** The bytes at a place: one, or of a filter in colour three. */
  bytesAt(tile, row, column) {
    const at = ((tile * this.height + row) * this.width + column) * this.depth;
    return [...this.values.subarray(at, at + this.depth)];
  }
}
