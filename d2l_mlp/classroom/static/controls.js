// The teacher's form and buttons; the setting in the address.
const FIELDS = ["lr", "batch_size", "num_epochs", "seed", "seconds_per_epoch"];
const DEFAULT_UNITS = 256;
const byId = (id) => document.getElementById(id);

export function describe(settings) {
  const net = [784, ...settings.num_hiddens, 10].join("-");
  return `${net}, lr ${settings.lr}, batch ${settings.batch_size}, ` +
    `${settings.num_epochs} epochs, seed ${settings.seed}`;
}

// The address after #: hiddens=256,128&lr=0.1&…, and the teacher's token once.
export function readHash() {
  const found = new URLSearchParams(location.hash.slice(1));
  const settings = { num_hiddens: [DEFAULT_UNITS], lr: 0.5, batch_size: 256,
    num_epochs: 10, seed: 0, seconds_per_epoch: 3 };
  let given = false;
  for (const field of FIELDS) {
    const value = Number(found.get(field));
    if (found.has(field) && Number.isFinite(value)) {
      settings[field] = value;
      given = true;
    }
  }
  if (found.has("hiddens")) {
    const hiddens = found.get("hiddens").split(",").filter(Boolean).map(Number);
    if (hiddens.length <= 4 && hiddens.every(Number.isInteger)) {
      settings.num_hiddens = hiddens;
      given = true;
    }
  }
  if (found.has("token")) {
    sessionStorage.setItem("token", found.get("token"));
    found.delete("token");
    const rest = found.toString();
    history.replaceState(null, "", location.pathname + (rest ? `#${rest}` : ""));
  }
  return { settings, given };
}

export class Controls {
  constructor(asked) {
    this.asked = asked.settings;
    this.token = sessionStorage.getItem("token");
    this.state = "idle";
  }

  async setUp() {
    if (this.token === null) return;
    const answer = await this.send("/api/teacher", undefined, "GET");
    if (answer === null) return;
    this.fill(this.asked);
    byId("teacher").hidden = false;
    const { student_link } = await (await fetch("/api/state")).json();
    byId("student-link").textContent = student_link;
    byId("student-link").href = student_link;
    byId("layers").addEventListener("change", () => this.showUnits(this.hiddens()));
    const actions = { start: () => this.start(), pause: () => this.pause(),
      batch: () => this.step("batch"), epoch: () => this.step("epoch"),
      stop: () => this.control("stop"), reset: () => this.control("reset"),
      "apply-lr": () => this.control("lr", Number(byId("lr").value)),
      copy: () => this.copy() };
    for (const [id, action] of Object.entries(actions)) {
      byId(id).addEventListener("click", action);
    }
    byId("settings").addEventListener("submit", (event) => event.preventDefault());
    this.setState(this.state);
  }

  setState(state) {
    this.state = state;
    const idle = state === "idle";
    byId("start").disabled = !idle;
    byId("pause").disabled = idle;
    byId("pause").textContent = state === "paused" ? "Resume" : "Pause";
    byId("stop").disabled = idle;
    byId("apply-lr").disabled = idle;
  }

  fill(settings) {
    for (const field of FIELDS) byId(field).value = settings[field];
    byId("layers").value = settings.num_hiddens.length;
    this.showUnits(settings.num_hiddens);
  }

  // An input for each hidden layer, with what stood there before.
  showUnits(before) {
    const count = Number(byId("layers").value);
    byId("units").replaceChildren(...Array.from({ length: count }, (_, i) => {
      const label = document.createElement("label");
      const input = Object.assign(document.createElement("input"), {
        type: "number", min: 1, max: 512, required: true, name: "units",
        value: before[i] ?? DEFAULT_UNITS });
      label.append(`Units of layer ${i + 1} `, input);
      return label;
    }));
  }

  hiddens() {
    return [...byId("units").querySelectorAll("input")].map((input) => Number(input.value));
  }

  settings() {
    const found = { num_hiddens: this.hiddens() };
    for (const field of FIELDS) found[field] = Number(byId(field).value);
    return found;
  }

  async start(paused = false) {
    if (!byId("settings").reportValidity()) return null;
    return this.send("/api/run", { settings: this.settings(), paused });
  }

  pause() {
    return this.control(this.state === "paused" ? "resume" : "pause");
  }

  async step(action) {
    if (this.state === "idle" && (await this.start(true)) === null) return;
    await this.control(action);
  }

  control(action, lr = null) {
    return this.send("/api/control", { action, lr });
  }

  async copy() {
    const { num_hiddens, ...rest } = this.settings();
    const query = new URLSearchParams({ hiddens: num_hiddens.join(","), ...rest });
    const link = `${byId("student-link").href}#${query}`;
    try {
      await navigator.clipboard.writeText(link);
      this.say(`copied: ${link}`);
    } catch {
      // Not every browser lets a page write to the clipboard.
      this.say(link);
    }
  }

  say(text) {
    byId("message").textContent = text;
  }

  // Returns null and says why if the server refuses.
  async send(address, body, method = "POST") {
    this.say("");
    const headers = { Authorization: `Bearer ${this.token}`,
      "Content-Type": "application/json" };
    let answer;
    try {
      answer = await fetch(address, { method, headers, body: JSON.stringify(body) });
    } catch {
      this.say("the server cannot be reached");
      return null;
    }
    if (answer.ok) return answer;
    const { detail } = await answer.json().catch(() => ({ detail: answer.statusText }));
    const text = Array.isArray(detail)
      ? detail.map((each) => `${each.loc.slice(1).join(" ")}: ${each.msg}`).join("; ")
      : detail;
    this.say(text);
    if (answer.status === 401) {
      sessionStorage.removeItem("token");
      byId("teacher").hidden = true;
      byId("status").textContent = text;
    }
    return null;
  }
}
