// Feeds the page: figures from a stream of events, or by asking each second where that fails.

import { Chart } from "./chart.js";

const KEPT = 61; // samples
const SILENCE = 4000; // milliseconds without a sample after which the stream is given up

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

const cards = Object.entries(FIGURES).map(([key, figure]) => {
  const card = document.querySelector(`[data-figure="${key}"]`);
  const scale = figure.scale ?? 1;
  const chart = new Chart(card.querySelector("canvas"), { ...figure, least: figure.least / scale });
  return { key, scale, chart, format: scale > 1 ? figure.format : exact.format, value: card.querySelector(".value") };
});
const status = document.querySelector("#status");
const outcome = document.querySelector("#outcome");

let samples = [];

function say(state, text) {
  status.dataset.state = state;
  // Only when it changes: this is read aloud.
  if (status.textContent !== text) status.textContent = text;
}

function show() {
  const latest = samples.at(-1);
  if (!latest) return;
  for (const { key, scale, chart, format, value } of cards) {
    const scaled = (number) => (number == null ? null : number / scale);
    const now = scaled(latest[key]);
    value.textContent = now === null ? "not known" : format(now);
    chart.show(samples.map((sample) => [sample.time, scaled(sample[key])]));
  }
  const going = [];
  if (latest.requests_left) going.push(`${exact.format(latest.requests_left)} requests to go`);
  if (latest.sleepers) going.push(`${exact.format(latest.sleepers)} green threads sleep`);
  outcome.textContent = going.join(", ") || latest.last_run;
}

async function fetchHistory() {
  const response = await fetch("/stats", { cache: "no-store" });
  if (!response.ok) throw new Error(response.statusText);
  samples = (await response.json()).history;
  show();
}

function follow() {
  let heard = Date.now();
  const source = new EventSource("/events");
  source.onmessage = (event) => {
    heard = Date.now();
    samples = [...samples, JSON.parse(event.data)].slice(-KEPT);
    say("live", "live");
    show();
  };
  // A stream may also be swallowed by something in between, without any error.
  const watchdog = setInterval(() => {
    if (Date.now() - heard < SILENCE) return;
    clearInterval(watchdog);
    source.close();
    poll();
  }, 1000);
}

function poll() {
  const timer = setInterval(async () => {
    try {
      await fetchHistory();
      if (status.dataset.state === "lost" && window.EventSource) {
        // The server is back: perhaps the stream is as well.
        clearInterval(timer);
        follow();
      }
      say("live", "live (polling)");
    } catch {
      say("lost", "no connection");
    }
  }, 1000);
}

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
      outcome.textContent = `That did not work: ${error.message}`;
    } finally {
      button.disabled = false;
    }
  });
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);

fetchHistory()
  .catch(() => say("lost", "no connection"))
  .finally(window.EventSource ? follow : poll);
