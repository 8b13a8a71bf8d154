// Loss and accuracies of the run, earlier runs in pale, the book dashed.
import { describe } from "./controls.js";

const COLOURS = { loss: "#CC79A7", train: "#D55E00", test: "#0072B2" };
const EARLIER = 4;

export class Charts {
  constructor(book) {
    this.book = book;
    this.waiting = null;
  }

  // At most some times a second, however many events come.
  drawSoon(runs) {
    if (this.waiting === null) {
      this.waiting = setTimeout(() => this.draw(runs), 150);
    }
  }

  draw(runs) {
    clearTimeout(this.waiting);
    this.waiting = null;
    const all = [...runs.entries()].slice(-EARLIER - 1);
    const loss = [];
    const accuracy = [];
    all.forEach(([number, run], i) => {
      const now = i === all.length - 1;
      const name = `run ${number}: ${describe(run.settings)}`;
      loss.push(...lossTraces(run, name, now));
      accuracy.push(...accuracyTraces(run, name, now));
    });
    if (document.getElementById("show-book").checked) {
      const x = this.book.map((_, i) => i + 1);
      const dashed = (column, colour, name) => ({ x, y: this.book.map((row) => row[column]),
        name, mode: "lines+markers", line: { dash: "dash", color: colour, width: 2 },
        marker: { symbol: "circle-open", size: 7 } });
      loss.push(dashed(0, COLOURS.loss, "the book"));
      accuracy.push(dashed(1, COLOURS.train, "the book, train"));
      accuracy.push(dashed(2, COLOURS.test, "the book, test"));
    }
    const lrs = all.length ? all.at(-1)[1].lrs : [];
    show("loss-chart", loss, "training loss", lrs);
    show("accuracy-chart", accuracy, "accuracy", lrs);
  }
}

function lossTraces(run, name, now) {
  const width = now ? 2 : 1.2;
  const points = { x: run.points.map((p) => p[0]), y: run.points.map((p) => p[1]),
    mode: "lines", name: now ? "loss of the last batches" : name,
    opacity: now ? 0.55 : 0.35, line: { color: now ? COLOURS.loss : "#888", width } };
  if (!now) return [points];
  return [points, { x: run.epochs.map((e) => e.x), y: run.epochs.map((e) => e.train_loss),
    mode: "lines+markers", name: "loss of the epoch",
    line: { color: COLOURS.loss, width: 3 }, marker: { size: 8 } }];
}

function accuracyTraces(run, name, now) {
  const trace = (key, colour, symbol, title) => ({ x: run.epochs.map((e) => e.x),
    y: run.epochs.map((e) => e[key]), mode: "lines+markers", name: title,
    opacity: now ? 1 : 0.45, line: { color: now ? colour : "#888", width: now ? 3 : 1.2 },
    marker: { size: now ? 8 : 4, symbol } });
  if (!now) return [trace("test_accuracy", "#888", "square", `${name}, test`)];
  return [trace("train_accuracy", COLOURS.train, "circle", "train"),
    trace("test_accuracy", COLOURS.test, "square", "test")];
}

function show(id, traces, title, lrs) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line") };
  const layout = {
    margin: { l: 60, r: 10, t: 10, b: 45 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("--fg"), size: 14 },
    xaxis: { ...axis, title: { text: "epoch" }, rangemode: "tozero" },
    yaxis: { ...axis, title: { text: title } },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", font: { size: 12 } },
    showlegend: true,
    uirevision: "kept",
    shapes: lrs.map(([x]) => ({ type: "line", x0: x, x1: x, y0: 0, y1: 1, yref: "paper",
      line: { dash: "dot", color: colour("--fg"), width: 2 } })),
    annotations: lrs.map(([x, lr]) => ({ x, y: 1, yref: "paper", text: `lr ${lr}`,
      showarrow: false, xanchor: "left", yanchor: "top" })),
  };
  Plotly.react(id, traces, layout, { displayModeBar: false, responsive: true });
}
