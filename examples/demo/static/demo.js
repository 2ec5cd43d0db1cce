// The page: one connection, which the chat and the figures share, and what is told of it.

import { ChatPanel } from "./chat.js";
import { FigureCards } from "./figures.js";
import { Link } from "./link.js";

const STATES = {
  connecting: "connecting",
  live: "live",
  lost: "no connection, trying again",
};

const status = document.querySelector("#status");
const countdown = document.querySelector("#countdown");
const retry = document.querySelector("#retry");

let ticking;

function tell(state, again) {
  clearInterval(ticking);
  document.body.classList.toggle("offline", state !== "live");
  // Between two attempts, the state stays what it is told to be: it is read aloud.
  if (!(state === "connecting" && status.dataset.state === "lost")) {
    status.dataset.state = state;
    status.textContent = STATES[state];
  }
  retry.hidden = state !== "lost";
  countdown.textContent = "";
  if (state !== "lost") return;
  const tick = () => {
    const seconds = Math.ceil((again - Date.now()) / 1000);
    countdown.textContent = seconds > 0 ? `in ${seconds} s` : "";
  };
  tick();
  ticking = setInterval(tick, 250);
}

const figures = new FigureCards();
const chat = new ChatPanel((message) => link?.send(message) ?? false);
let link = null;
link = new Link("/socket", {
  greet: () => chat.greet(),
  onEvent(event) {
    if (event.type === "figures") figures.add(event.samples);
    else chat.take(event);
    if (event.type === "welcome") link.settled();
  },
  onState: tell,
});
retry.addEventListener("click", () => link.retry());
