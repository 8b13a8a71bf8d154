// What the net sees: weights, nine test images, the gallery, the confusion matrix.
const byId = (id) => document.getElementById(id);

export class Pictures {
  constructor({ labels, test }) {
    this.labels = labels;
    this.test = test;
    this.version = 0;
    this.clear();
  }

  clear() {
    // A picture that is on its way is not wanted any more.
    this.version = 0;
    byId("weights").hidden = true;
    byId("gallery").replaceChildren();
    byId("confusion").replaceChildren();
    byId("images").replaceChildren(...this.test.map((label, i) =>
      picture(i, [`${this.labels[label]}`], false)));
  }

  // A little later for each viewer, so that a class does not ask all at once.
  showWeights(version) {
    this.version = version;
    setTimeout(() => {
      if (version !== this.version) return;
      byId("weights").src = `/weights.png?version=${version}`;
      byId("weights").hidden = false;
    }, Math.random() * 400);
  }

  showEpoch({ predicted, confusion, gallery }) {
    byId("images").replaceChildren(...this.test.map((label, i) => {
      const wrong = predicted[i] !== label;
      const mark = wrong ? "✗" : "✓";
      const lines = [this.labels[label], `${mark} ${this.labels[predicted[i]]}`];
      return picture(i, lines, wrong);
    }));
    byId("gallery").replaceChildren(...gallery.map((each) =>
      picture(each.index, [this.labels[each.true],
        `✗ ${this.labels[each.predicted]}, ${Math.round(100 * each.sure)} % sure`], true)));
    this.showConfusion(confusion);
  }

  showConfusion(counts) {
    const head = document.createElement("thead");
    const row = head.insertRow();
    row.append(cell("th", "true \\ the net's"), ...this.labels.map((l) => cell("th", l)));
    const body = document.createElement("tbody");
    counts.forEach((line, i) => {
      const tr = body.insertRow();
      const name = cell("th", this.labels[i]);
      name.scope = "row";
      tr.append(name, ...line.map((count, j) => {
        const td = cell("td", count);
        td.style.background = `rgba(var(--cell), ${Math.min(count / 1000, 1) * 0.45})`;
        if (i === j) td.className = "right";
        return td;
      }));
    });
    byId("confusion").replaceChildren(head, body);
  }
}

function cell(kind, text) {
  return Object.assign(document.createElement(kind), { textContent: text });
}

function picture(index, lines, wrong) {
  const item = document.createElement("li");
  const image = Object.assign(document.createElement("img"), {
    src: `/test-images/${index}.png`, alt: "", width: 84, height: 84 });
  item.append(image, ...lines.map((line) => cell("div", line)));
  item.classList.toggle("wrong", wrong);
  return item;
}
