// Follows the run by server-sent events and passes each on to the parts of the page.
import { Charts } from "./charts.js";
import { Controls, readHash, describe } from "./controls.js";
import { Pictures } from "./pictures.js";
import { setUpTry } from "./tryit.js";

const byId = (id) => document.getElementById(id);
const words = { idle: "no run going on", starting: "starting…", running: "learning",
  paused: "paused" };

class Page {
  constructor(book, labels) {
    this.charts = new Charts(book);
    this.pictures = new Pictures(labels);
    this.server = null;
    this.runs = new Map();
    this.state = "idle";
  }

  run(number) {
    return this.runs.get(number);
  }

  // Another server counts its runs anew.
  meet(id) {
    const server = id.split("-")[0];
    if (this.server !== null && this.server !== server) this.reset();
    this.server = server;
  }

  reset() {
    this.runs.clear();
    this.pictures.clear();
    this.charts.draw(this.runs);
    byId("last-epoch").textContent = "";
    this.say("idle");
  }

  take(type, event) {
    const run = this.run(event.run);
    if (type === "start") {
      this.runs.set(event.run, { settings: event.settings, points: [], epochs: [], lrs: [] });
      this.say("starting");
    } else if (type === "reset") {
      this.reset();
    } else if (run === undefined) {
      if (type === "state") this.say(event.state);
      return;
    } else if (type === "batch") {
      if (this.state === "starting") this.say("running");
      run.points.push([event.x, event.loss, event.epoch]);
    } else if (type === "epoch") {
      if (this.state === "starting") this.say("running");
      run.epochs.push(event);
      this.pictures.showEpoch(event);
      this.tellEpoch(event);
    } else if (type === "lr") {
      run.lrs.push([event.x, event.lr]);
    } else if (type === "look") {
      this.pictures.showWeights(event.version);
    } else if (type === "end") {
      run.end = event;
    } else if (type === "state") {
      this.say(event.state);
    }
    this.charts.drawSoon(this.runs);
  }

  tellEpoch(event) {
    byId("last-epoch").textContent =
      `epoch ${event.epoch}, loss ${event.train_loss.toFixed(4)}, ` +
      `train acc ${event.train_accuracy.toFixed(3)}, ` +
      `test acc ${event.test_accuracy.toFixed(3)}, ${event.seconds.toFixed(2)} s`;
  }

  say(state) {
    this.state = state;
    const [number, run] = [...this.runs].at(-1) ?? [0, null];
    let text = words[state];
    if (run !== null) text = `run ${number}: ${text}`;
    if (state === "idle" && run?.end) {
      const { reason, message } = run.end;
      text = `run ${number}: ${reason}` + (message ? ` (${message})` : "");
    }
    byId("status").textContent = run === null ? text : `${text}; ${describe(run.settings)}`;
    this.onState?.(state);
  }
}

async function main() {
  const [book, labels] = await Promise.all(
    ["/api/book", "/api/labels"].map(async (address) => (await fetch(address)).json()),
  );
  const page = new Page(book.epochs, labels);
  const asked = readHash();
  if (asked.given) {
    byId("exercise").textContent = `the exercise: ${describe(asked.settings)}`;
    byId("exercise").hidden = false;
  }
  const controls = new Controls(asked);
  page.onState = (state) => controls.setState(state);
  await controls.setUp();
  setUpTry();
  byId("show-book").addEventListener("change", () => page.charts.draw(page.runs));
  byId("theme").addEventListener("click", () => {
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    page.charts.draw(page.runs);
  });
  page.charts.draw(page.runs);

  const source = new EventSource("/events");
  source.addEventListener("open", () => page.say(page.state));
  source.addEventListener("error", () => {
    byId("status").textContent = "the server cannot be reached, trying again…";
  });
  for (const type of ["start", "batch", "epoch", "lr", "look", "state", "end", "reset"]) {
    source.addEventListener(type, (message) => {
      page.meet(message.lastEventId);
      page.take(type, JSON.parse(message.data));
    });
  }
}

main();
