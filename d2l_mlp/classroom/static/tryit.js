// A drawing or a photo, and what the net makes of it.
const byId = (id) => document.getElementById(id);

export function setUpTry() {
  const canvas = byId("canvas");
  const pen = canvas.getContext("2d");
  const clear = () => {
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, canvas.width, canvas.height);
  };
  clear();
  let drawing = false;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * canvas.width) / box.width,
      ((event.clientY - box.top) * canvas.height) / box.height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    drawing = true;
    canvas.setPointerCapture(event.pointerId);
    Object.assign(pen, { lineWidth: 22, lineCap: "round", lineJoin: "round",
      strokeStyle: "#222" });
    pen.beginPath();
    pen.moveTo(...at(event));
    pen.lineTo(...at(event));
    pen.stroke();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drawing) return;
    pen.lineTo(...at(event));
    pen.stroke();
  });
  for (const type of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(type, () => { drawing = false; });
  }
  byId("clear").addEventListener("click", clear);
  byId("ask").addEventListener("click", () => canvas.toBlob(ask, "image/png"));
  byId("file").addEventListener("change", ({ target }) => {
    if (target.files.length) ask(target.files[0]);
  });
  canvas.addEventListener("dragover", (event) => {
    event.preventDefault();
    canvas.classList.add("over");
  });
  canvas.addEventListener("dragleave", () => canvas.classList.remove("over"));
  canvas.addEventListener("drop", (event) => {
    event.preventDefault();
    canvas.classList.remove("over");
    if (event.dataTransfer.files.length) ask(event.dataTransfer.files[0]);
  });
}

async function ask(picture) {
  const message = byId("try-message");
  message.classList.remove("wrong");
  let answer;
  try {
    answer = await fetch("/api/predict", { method: "POST", body: picture });
  } catch {
    answer = null;
  }
  if (!answer?.ok) {
    const { detail } = (await answer?.json().catch(() => null)) ?? {};
    message.textContent = detail ?? "the server cannot be reached";
    message.classList.add("wrong");
    return;
  }
  const { image, probabilities, labels } = await answer.json();
  byId("seen-image").src = image;
  byId("seen").hidden = false;
  const best = probabilities.indexOf(Math.max(...probabilities));
  message.textContent = `The net says: ${labels[best]}.`;
  byId("bars").replaceChildren(...probabilities.map((probability, i) => {
    const item = document.createElement("li");
    const meter = Object.assign(document.createElement("meter"), { value: probability });
    meter.setAttribute("aria-label", labels[i]);
    const name = Object.assign(document.createElement("span"), { textContent: labels[i] });
    const number = Object.assign(document.createElement("span"), {
      textContent: `${(100 * probability).toFixed(1)} %` });
    item.append(name, meter, number);
    item.classList.toggle("first", i === best);
    return item;
  }));
}
