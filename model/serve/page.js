"use strict";
const form = document.getElementById("row");
const said = document.getElementById("said");
const refused = document.getElementById("refused");
const found = document.getElementById("found");
const finds = "finds" in form.dataset;
const button = form.querySelector("button[type=submit]");
let latest = 0;

const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const number = value => {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) return String(value);
  return size >= 1e6 || (size > 0 && size < 1e-3) ? value.toExponential(2) : value.toPrecision(4);
};
const signed = value => (value > 0 ? "+" : value < 0 ? "\u2212" : "") + number(Math.abs(value));
const cosine = value => value.toFixed(4).replace("-", "\u2212");
const shown = value => Array.isArray(value)
  ? "[" + value.map(shown).join(", ") + "]"
  : typeof value === "number" ? number(value) : String(value);

function row() {
  const values = {};
  for (const field of form.querySelectorAll("[name]")) {
    const text = field.value;
    if (text.trim() === "") continue;
    const separator = field.dataset.separator;
    values[field.name] = separator === undefined
      ? text
      : text.split(separator).map(part => part.trim()).filter(part => part !== "");
  }
  return values;
}

function asked() {
  if (!finds) return {row: row(), label: document.getElementById("label")?.value};
  const count = document.getElementById("count").value.trim();
  const names = document.getElementById("exclude").value.split("\n").map(name => name.trim());
  return {
    row: row(),
    exclude: names.filter(name => name !== ""),
    // What is no number goes as it is, for the server to say so.
    count: count === "" ? undefined : /^-?\d+$/.test(count) ? Number(count) : count,
  };
}

function drawWhy(moved, widest, text) {
  const bar = make("span", {className: moved >= 0 ? "up" : "down"});
  bar.style.width = `${50 * Math.abs(moved) / widest}%`;
  const drawn = make("div", {className: "bar"}, bar);
  drawn.setAttribute("aria-hidden", "true");
  return make("li", {}, make("span", {textContent: `${text} ${moved > 0 ? "+" : ""}${cosine(moved)}`}), drawn);
}

function drawFound(answer) {
  const moves = answer.candidates.map(candidate => ({
    whole: answer.features.map(feature => [feature.name + (feature.missing ? " (missing)" : ""), candidate.score - candidate.without[feature.name]]),
    values: Object.entries(candidate.without_value).flatMap(([name, scores]) =>
      scores.map((score, place) => [`${name}: ${answer.values[name][place]}`, candidate.score - score])
        .sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, 3)),
  }));
  const widest = Math.max(...moves.flatMap(move => [...move.whole, ...move.values]).map(entry => Math.abs(entry[1])), 1e-12);
  const rows = answer.candidates.map((candidate, place) => {
    const parts = [...moves[place].whole, ...moves[place].values].map(([text, moved]) => drawWhy(moved, widest, text));
    return make("tr", {},
      make("td", {textContent: String(place + 1)}),
      make("th", {scope: "row", textContent: candidate.name}),
      make("td", {textContent: cosine(candidate.score)}),
      make("td", {}, make("ul", {className: "why"}, ...parts)));
  });
  document.querySelector("#listed tbody").replaceChildren(...rows);
  document.getElementById("not-known").textContent = answer.not_known.length
    ? `Not to be found, though no candidate is called so: ${answer.not_known.join(", ")}` : "";
}

function drawPrediction(answer) {
  const place = document.getElementById("prediction");
  const parts = [];
  if (answer.score === null) {
    parts.push(make("p", {className: "score", textContent: shown(answer.predictions.texts ?? answer.predictions.predictions)}));
  } else {
    parts.push(make("p", {className: "score", textContent: number(answer.score)}));
  }
  parts.push(make("p", {className: "score-of", textContent: answer.score_of}));
  if (answer.score !== null && /^the probability/.test(answer.score_of)) {
    const filled = make("span");
    filled.style.width = `${100 * answer.score}%`;
    const meter = make("div", {className: "meter"}, filled);
    meter.setAttribute("aria-hidden", "true");
    parts.push(meter);
  }
  const outputs = Object.entries(answer.predictions);
  if (outputs.length > 1 || outputs[0][1].length > 1) {
    const text = outputs.map(([name, value]) => `${name}: ${shown(value)}`).join("; ");
    parts.push(make("p", {className: "about numbers", textContent: text}));
  }
  place.replaceChildren(...parts);
}

function drawMoved(answer) {
  document.getElementById("moving").hidden = answer.score === null;
  const entries = answer.features.filter(feature => feature.change !== null)
    .sort((a, b) => Math.abs(b.change) - Math.abs(a.change));
  const widest = Math.max(...entries.map(feature => Math.abs(feature.change)), 1e-12);
  const rows = entries.map(feature => {
    const moved = -feature.change;
    const bar = make("span", {className: moved >= 0 ? "up" : "down"});
    bar.style.width = `${50 * Math.abs(moved) / widest}%`;
    const name = [feature.name, ...feature.together_with].join(" + ");
    const head = make("th", {scope: "row", textContent: name + (feature.missing ? " (missing)" : "")});
    return make("tr", {}, head,
      make("td", {textContent: number(feature.score_without)}),
      make("td", {textContent: signed(moved)}),
      make("td", {}, make("div", {className: "bar"}, bar)));
  });
  document.querySelector("#moved tbody").replaceChildren(...rows);
}

function drawStep(step) {
  const item = make("li", {className: step.id === null ? "cut" : step.kind === "vocabulary" ? "" : "other"});
  item.append(make("span", {className: "token", textContent: step.token ?? step.meaning}));
  const meaning = step.meaning === step.token || step.token === null ? "" : ` ${step.meaning}`;
  item.append(make("span", {className: "id", textContent: step.id === null ? step.meaning : `ID ${step.id}${meaning}`}));
  return item;
}

function drawFeature(feature) {
  const about = [feature.type, feature.embedding === null ? "" : `embedding ${feature.embedding}`, feature.encoder ?? ""];
  const box = make("div", {className: `feature ${feature.type}`},
    make("h3", {textContent: feature.name}),
    make("p", {className: "about", textContent: about.filter(Boolean).join(", ") + (feature.missing ? "; missing in this row" : "")}));
  if (feature.steps !== null && feature.steps.length) {
    box.append(make("ol", {className: "tokens"}, ...feature.steps.map(drawStep)));
  }
  for (const [entry, value] of Object.entries(feature.seen)) {
    box.append(make("p", {className: "numbers", textContent: `The model saw${entry === feature.name ? "" : ` ${entry}`}: ${shown(value)}`}));
  }
  return box;
}

form.addEventListener("submit", async event => {
  event.preventDefault();
  const turn = ++latest;
  refused.textContent = "";
  said.textContent = finds ? "Finding\u2026" : "Predicting\u2026";
  said.className = "";
  button.setAttribute("aria-disabled", "true");
  try {
    const response = await fetch(`explain${location.search}`, {
      method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(asked()),
    });
    const answer = await response.json();
    if (turn !== latest) return;
    if (!response.ok) throw new Error(answer.error);
    document.getElementById("version").textContent = answer.version;
    if (finds) drawFound(answer);
    else {
      drawPrediction(answer);
      drawMoved(answer);
    }
    document.getElementById("features").replaceChildren(...answer.features.map(drawFeature));
    found.hidden = false;
    said.textContent = finds ? `Found ${answer.candidates.length}${answer.candidates.length ? `, ${answer.candidates[0].name} the nearest` : ""}.`
      : answer.score === null ? "Predicted." : `Predicted ${number(answer.score)}, ${answer.score_of}.`;
    // For who does not see the heading that says the same.
    said.className = "hidden";
    document.getElementById("found-title").focus();
  } catch (error) {
    if (turn !== latest) return;
    said.textContent = "";
    found.hidden = true;
    refused.textContent = error instanceof TypeError || error instanceof SyntaxError
      ? "The server did not answer; is it still running?" : error.message;
  } finally {
    if (turn === latest) button.removeAttribute("aria-disabled");
  }
});

form.addEventListener("reset", () => {
  latest++;
  found.hidden = true;
  said.textContent = refused.textContent = "";
  button.removeAttribute("aria-disabled");
  form.querySelector("input, textarea").focus();
});

document.getElementById("example").addEventListener("click", () => {
  latest++;
  found.hidden = true;
  refused.textContent = "";
  for (const field of form.querySelectorAll("[name]")) field.value = field.dataset.example;
  said.className = "";
  said.textContent = finds ? "Filled in with an example query; Find sends it." : "Filled in with an example row; Predict sends it.";
  button.removeAttribute("aria-disabled");
  button.focus();
});

form.addEventListener("keydown", event => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
