// The chat: rooms, who is in them, and what they say. All text gets into the page as text.

const KEPT = 300; // lines of a room
const NEAR = 80; // pixels from the end within which the log follows new lines
const HUES = 360;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

const part = (id) => document.getElementById(id);

/** An element with a class and a text. */
function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** The same hue for the same name each time. */
function hueOf(name) {
  let hash = 7;
  for (const letter of name) hash = (hash * 31 + letter.codePointAt(0)) % 9973;
  return (hash * 47) % HUES;
}

function remembered(key, fallback) {
  try {
    return sessionStorage.getItem(key) ?? fallback;
  } catch {
    return fallback; // A browser may refuse.
  }
}

function remember(key, value) {
  try {
    sessionStorage.setItem(key, value);
  } catch {
    // Then it is forgotten.
  }
}

export class ChatPanel {
  /** `send` takes an object to be sent, and returns whether it could be. */
  constructor(send) {
    this.send = send;
    this.name = remembered("name", `Guest ${Math.floor(100 + Math.random() * 900)}`);
    this.room = remembered("room", "lobby");
    this.you = 0;
    this.lines = new Map(); // Of each room that was seen, by their ids.
    this.shown = null; // The room whose lines are in the log.
    this.last = null; // The last of these.
    this.rooms = [];
    this.follows = true;
    part("name").value = this.name;
    this.connectForms();
    this.connectLog();
  }

  connectForms() {
    part("say-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.say();
    });
    part("text").addEventListener("input", () => this.hint(""));
    part("name-form").addEventListener("submit", (event) => {
      event.preventDefault();
      part("text").focus();
    });
    part("name").addEventListener("change", (event) => {
      const name = event.target.value.trim();
      if (!name) event.target.value = this.name;
      else if (name !== this.name) this.enter(this.room, name);
    });
    part("room-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const room = part("room").value.trim();
      if (!room) return;
      part("room").value = "";
      this.enter(room);
      part("text").focus();
    });
  }

  connectLog() {
    const log = part("log");
    log.addEventListener("scroll", () => {
      this.follows = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;
      if (this.follows) part("newest").hidden = true;
    });
    part("newest").addEventListener("click", () => {
      this.follows = true;
      this.scroll();
    });
    // A phone's keyboard takes its room from the log.
    new ResizeObserver(() => this.scroll()).observe(log);
  }

  /** There is a connection: say who we are, and where. */
  greet() {
    this.send({ type: "enter", name: this.name, room: this.room });
  }

  enter(room, name = this.name) {
    this.hint("");
    if (!this.send({ type: "enter", name, room })) this.hint("There is no connection yet.");
  }

  say() {
    const input = part("text");
    const text = input.value.trim();
    if (!text) return;
    if (this.send({ type: "say", text })) {
      input.value = "";
      this.follows = true;
      this.hint("");
    } else {
      // What was written stays where it is.
      this.hint("Not sent: there is no connection. Try again when there is.");
    }
  }

  hint(text) {
    part("hint").textContent = text;
  }

  /** Take one event of the server's. */
  take(event) {
    switch (event.type) {
      case "rooms":
        this.rooms = event.rooms;
        this.showRooms();
        break;
      case "welcome":
        this.welcome(event);
        break;
      case "here":
        if (event.room === this.room) this.showPeople(event);
        break;
      case "line":
        this.hear(event);
        break;
      case "refused":
        this.hint(event.reason);
        this.showName();
        break;
    }
  }

  welcome({ you, name, room, lines }) {
    this.you = you;
    this.name = name;
    this.room = room;
    remember("name", name);
    remember("room", room);
    this.showName();
    part("place").textContent = `in ${room}`;
    // After a reload we have another number than the lines that we said before it.
    for (const line of lines) line.mine = line.from === name && line.by > 0;
    const fresh = this.keep(room, lines);
    this.showRooms();
    if (this.shown === room) {
      this.append(fresh);
    } else {
      this.shown = room;
      this.follows = true;
      this.showLines();
    }
  }

  /** Have our name in its field, unless it is being changed. */
  showName() {
    const field = part("name");
    if (document.activeElement !== field) field.value = this.name;
  }

  /** Remember lines of a room; those that are new. */
  keep(room, lines) {
    if (!this.lines.has(room)) this.lines.set(room, new Map());
    const kept = this.lines.get(room);
    const fresh = lines.filter(({ id }) => !kept.has(id));
    for (const line of fresh) {
      line.mine ??= line.by === this.you && line.by > 0;
      kept.set(line.id, line);
    }
    for (const id of kept.keys()) {
      if (kept.size <= KEPT) break;
      kept.delete(id);
    }
    return fresh;
  }

  hear({ room, line }) {
    const fresh = this.keep(room, [line]);
    if (room === this.shown) this.append(fresh);
  }

  showRooms() {
    const list = part("rooms");
    const focused = list.contains(document.activeElement) && document.activeElement.dataset.room;
    const items = this.rooms.map(({ name, count }) => {
      const button = element("button", "room", name);
      button.type = "button";
      button.dataset.room = name;
      button.append(element("span", "count", String(count)), element("span", "unseen", " are there"));
      if (name === this.room) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => name === this.room || this.enter(name));
      const item = element("li");
      item.append(button);
      return item;
    });
    list.replaceChildren(...items);
    if (focused) list.querySelector(`[data-room="${CSS.escape(focused)}"]`)?.focus();
  }

  showPeople({ names, more, terminals }) {
    const items = names.map((name) => {
      const item = element("li", "", name);
      item.style.setProperty("--hue", hueOf(name));
      if (name === this.name) item.append(element("small", "", " you"));
      return item;
    });
    if (more) items.push(element("li", "others", `and ${more.toLocaleString("en")} more`));
    if (terminals) {
      const text = terminals === 1 ? "1 terminal" : `${terminals.toLocaleString("en")} terminals`;
      items.push(element("li", "others", text));
    }
    part("people").replaceChildren(...items);
  }

  showLines() {
    part("log").replaceChildren();
    this.last = null;
    this.append([...(this.lines.get(this.room)?.values() ?? [])]);
  }

  append(lines) {
    const log = part("log");
    const items = lines.map((line) => {
      const item = element("li", line.mine ? "line mine" : "line");
      if (!line.by) item.classList.add("from-terminal");
      const previous = this.last;
      this.last = line;
      if (previous?.from === line.from && previous.by === line.by) item.classList.add("more");
      const when = element("time", "", clock.format(line.time));
      when.dateTime = new Date(line.time).toISOString();
      const who = element("span", "who", line.from);
      who.style.setProperty("--hue", hueOf(line.from));
      item.append(who, when, element("span", "text", line.text));
      return item;
    });
    log.append(...items);
    while (log.childElementCount > KEPT) log.firstElementChild.remove();
    part("empty").hidden = log.childElementCount > 0;
    if (this.follows) this.scroll();
    else if (items.length) part("newest").hidden = false;
  }

  scroll() {
    if (!this.follows) return;
    const log = part("log");
    log.scrollTop = log.scrollHeight;
    part("newest").hidden = true;
  }
}
