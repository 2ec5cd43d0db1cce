// The cards with figures: each has the latest value, and a chart of the last minute.

import { Chart } from "./chart.js";

const KEPT = 61; // samples

const count = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const exact = new Intl.NumberFormat("en");
const mib = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

const FIGURES = {
  requests: { least: 10, format: (value) => count.format(value) },
  switches: { least: 100, format: (value) => count.format(value) },
  green_threads: { least: 10, format: (value) => count.format(value) },
  connections: { least: 10, format: (value) => count.format(value) },
  memory: { least: 20 * 2 ** 20, scale: 2 ** 20, format: (value) => mib.format(value) },
  participants: { least: 10, format: (value) => count.format(value) },
};

export class FigureCards {
  constructor() {
    this.samples = [];
    this.outcome = document.querySelector("#outcome");
    this.cards = Object.entries(FIGURES).map(([key, figure]) => {
      const card = document.querySelector(`[data-figure="${key}"]`);
      const scale = figure.scale ?? 1;
      const chart = new Chart(card.querySelector("canvas"), { ...figure, least: figure.least / scale });
      const format = scale > 1 ? figure.format : exact.format;
      return { key, scale, chart, format, value: card.querySelector(".value") };
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.show());
    this.connectButtons();
  }

  /** Samples came: the last minute's when a connection is new, or the latest one. */
  add(samples) {
    const last = this.samples.at(-1)?.time ?? 0;
    const added = samples.filter(({ time }) => time > last);
    this.samples = [...this.samples, ...added].slice(-KEPT);
    this.show();
  }

  show() {
    const latest = this.samples.at(-1);
    if (!latest) return;
    for (const { key, scale, chart, format, value } of this.cards) {
      const scaled = (number) => (number == null ? null : number / scale);
      const now = scaled(latest[key]);
      value.textContent = now === null ? "not known" : format(now);
      chart.show(this.samples.map((sample) => [sample.time, scaled(sample[key])]));
    }
    const going = [];
    if (latest.requests_left) going.push(`${exact.format(latest.requests_left)} requests to go`);
    if (latest.sleepers) going.push(`${exact.format(latest.sleepers)} green threads sleep`);
    this.tell(going.join(", ") || latest.last_run);
  }

  tell(text) {
    // Only when it changes: this is read aloud.
    if (this.outcome.textContent !== text) this.outcome.textContent = text;
  }

  connectButtons() {
    for (const button of document.querySelectorAll("[data-action]")) {
      button.addEventListener("click", async () => {
        button.disabled = true;
        try {
          const response = await fetch(`/load/${button.dataset.action}`, {
            method: "POST",
            headers: { "Content-Type": "application/json" },
            body: JSON.stringify({ count: Number(button.dataset.count) }),
          });
          if (!response.ok) throw new Error(response.statusText);
        } catch (error) {
          this.tell(`That did not work: ${error.message}`);
        } finally {
          button.disabled = false;
        }
      });
    }
  }
}
