// A line chart on a canvas: one series over a span of time that ends now.

const SPAN = 60; // seconds
const PAD = { top: 8, right: 8, bottom: 18, left: 44 };

/** The least of 1, 2, 5, 10, 20, ... that is not below `value`. */
function niceCeiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

export class Chart {
  /**
   * `format` makes the text of a value; `least` is the smallest range the axis spans, so that a
   * change from one to two does not look like a mountain.
   */
  constructor(canvas, { format, least }) {
    this.canvas = canvas;
    this.format = format;
    this.least = least;
    this.points = [];
    this.pointer = null;
    new ResizeObserver(() => this.draw()).observe(canvas);
    canvas.addEventListener("pointermove", (event) => this.point(event.offsetX));
    canvas.addEventListener("pointerdown", (event) => this.point(event.offsetX));
    canvas.addEventListener("pointerleave", () => this.point(null));
  }

  /** Show `points`: [time in seconds, value or null], oldest first. */
  show(points) {
    this.points = points;
    this.draw();
  }

  point(x) {
    this.pointer = x;
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (!width || !height) return;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);

    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const plot = { left: PAD.left, right: width - PAD.right, top: PAD.top, bottom: height - PAD.bottom };
    const now = this.points.length ? this.points.at(-1)[0] : 0;
    const shown = this.points.filter(([time, value]) => value !== null && time >= now - SPAN);
    const top = niceCeiling(Math.max(this.least, ...shown.map(([, value]) => value)));
    const x = (time) => plot.right - ((now - time) / SPAN) * (plot.right - plot.left);
    const y = (value) => plot.bottom - (value / top) * (plot.bottom - plot.top);

    pen.font = `11px ${style.fontFamily}`;
    this.drawAxes(pen, plot, top, y, colour);
    if (!shown.length) return;
    this.drawLine(pen, plot, shown, x, y, colour);
    if (this.pointer !== null) this.drawPointer(pen, plot, shown, now, x, y, colour);
  }

  drawAxes(pen, plot, top, y, colour) {
    pen.strokeStyle = colour("grid");
    pen.fillStyle = colour("ink-soft");
    pen.lineWidth = 1;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const value of [0, top / 2, top]) {
      const level = Math.round(y(value)) + 0.5;
      pen.beginPath();
      pen.moveTo(plot.left, level);
      pen.lineTo(plot.right, level);
      pen.stroke();
      pen.fillText(this.format(value), plot.left - 8, level);
    }
    pen.textBaseline = "alphabetic";
    pen.textAlign = "left";
    pen.fillText("1 min ago", plot.left, plot.bottom + 14);
    pen.textAlign = "right";
    pen.fillText("now", plot.right, plot.bottom + 14);
  }

  drawLine(pen, plot, shown, x, y, colour) {
    pen.beginPath();
    shown.forEach(([time, value], index) => {
      if (index) pen.lineTo(x(time), y(value));
      else pen.moveTo(x(time), y(value));
    });
    pen.strokeStyle = colour("line");
    pen.lineWidth = 2;
    pen.lineJoin = "round";
    pen.stroke();
    const [last, value] = shown.at(-1);
    pen.lineTo(x(last), plot.bottom);
    pen.lineTo(x(shown[0][0]), plot.bottom);
    pen.fillStyle = colour("fill");
    pen.fill();
    pen.beginPath();
    pen.arc(x(last), y(value), 3, 0, 2 * Math.PI);
    pen.fillStyle = colour("line");
    pen.fill();
  }

  drawPointer(pen, plot, shown, now, x, y, colour) {
    const distance = ([time]) => Math.abs(x(time) - this.pointer);
    const [time, value] = shown.reduce((a, b) => (distance(b) < distance(a) ? b : a));
    pen.strokeStyle = colour("ink-soft");
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(x(time), plot.top);
    pen.lineTo(x(time), plot.bottom);
    pen.stroke();
    // A dot with a rim, to stand out from the line it is on.
    pen.beginPath();
    pen.arc(x(time), y(value), 4, 0, 2 * Math.PI);
    pen.fillStyle = colour("line");
    pen.strokeStyle = colour("card");
    pen.lineWidth = 2;
    pen.fill();
    pen.stroke();

    const ago = Math.round(now - time);
    const text = `${this.format(value)} · ${ago ? `${ago} s ago` : "now"}`;
    const room = pen.measureText(text).width + 12;
    // On the side of the line where there is room for it.
    const left = x(time) + 8 + room < plot.right ? x(time) + 8 : x(time) - 8 - room;
    pen.fillStyle = colour("ink");
    pen.beginPath();
    pen.roundRect(left, plot.top, room, 20, 4);
    pen.fill();
    pen.fillStyle = colour("card");
    pen.textAlign = "left";
    pen.textBaseline = "middle";
    pen.fillText(text, left + 6, plot.top + 10.5);
  }
}
