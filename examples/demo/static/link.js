// The WebSocket to the server: opened again whenever it is lost, later and later, until it holds.

const FIRST_WAIT = 500; // milliseconds
const LONGEST_WAIT = 15_000;
const SILENCE = 5000; // The server says something each second: after this long, it is out of reach.

export class Link {
  /**
   * `greet(link)` is called on each connection, `onEvent(event)` for all that comes on it, and
   * `onState(state, again)` when the state changes: "connecting", "live" or "lost"; `again` is when
   * the next attempt is due, in milliseconds as Date.now() has them.
   */
  constructor(path, { greet, onEvent, onState }) {
    const url = new URL(path, location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    this.url = url.href;
    Object.assign(this, { greet, onEvent, onState });
    this.socket = null;
    this.wait = FIRST_WAIT;
    addEventListener("online", () => this.retry());
    // Timers of a page in the background are slow, and it may have been asleep.
    document.addEventListener("visibilitychange", () => document.hidden || this.retry());
    addEventListener("pageshow", (event) => event.persisted && this.retry());
    this.open();
  }

  get live() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  /** Send an object; false, and it is not sent, if there is no connection. */
  send(message) {
    if (!this.live) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  /** Try at once, if a next attempt is due at some time. */
  retry() {
    if (this.socket) return;
    this.wait = FIRST_WAIT;
    this.open();
  }

  /** Everything works: the next time the connection is lost, begin with a short wait again. */
  settled() {
    this.wait = FIRST_WAIT;
  }

  open() {
    clearTimeout(this.timer);
    this.onState("connecting");
    const socket = new WebSocket(this.url);
    this.socket = socket;
    this.listen();
    socket.onopen = () => {
      this.listen();
      this.onState("live");
      this.greet(this);
    };
    socket.onmessage = ({ data }) => {
      this.listen();
      for (const event of JSON.parse(data)) this.onEvent(event);
    };
    socket.onclose = () => this.lost(socket);
  }

  /** Give it up if nothing comes for a while: what goes nowhere gives no error. */
  listen() {
    clearTimeout(this.watchdog);
    const socket = this.socket;
    this.watchdog = setTimeout(() => {
      // A connection to nowhere would take its time to close, too.
      this.lost(socket);
      socket.close();
    }, SILENCE);
  }

  lost(socket) {
    if (socket !== this.socket) return;
    this.socket = null;
    clearTimeout(this.watchdog);
    // Not all pages at the same moment, when a server has gone that had many.
    const wait = this.wait * (0.5 + Math.random() / 2);
    this.wait = Math.min(2 * this.wait, LONGEST_WAIT);
    this.timer = setTimeout(() => this.open(), wait);
    this.onState("lost", Date.now() + wait);
  }
}
