"use strict";
// All that the page does besides being read. Without this script every button here stays hidden.
document.documentElement.classList.add("script");
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Before printing: open what is folded.
addEventListener("beforeprint", () => {
  for (const part of all("details:not([open])")) {
    part.open = true;
    part.dataset.folded = "";
  }
});
addEventListener("afterprint", () => {
  for (const part of all("details[data-folded]")) part.open = false;
});

// Let a part of the page be clicked, and be used by keyboard, like a button.
const button = (part, act) => {
  part.tabIndex = 0;
  part.setAttribute("role", "button");
  part.addEventListener("click", act);
  part.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    act();
  });
};

// One method stands out everywhere: the one pointed at, else the one last clicked in a legend.
const methods = all("[data-method]");
const note = document.querySelector(".pinned");
let pinned = null;
let lit = null;
const light = (method) => {
  const wanted = method ?? pinned;
  if (wanted === lit) return;
  lit = wanted;
  document.body.classList.toggle("pointing", lit !== null);
  for (const part of methods) part.classList.toggle("lit", part.dataset.method === lit);
};
const methodOf = (target) => target.closest?.("[data-method]")?.dataset.method ?? null;
const pin = (method) => {
  pinned = method === pinned ? null : method;
  for (const part of all(".pick")) part.setAttribute("aria-pressed", methodOf(part) === pinned);
  note.hidden = pinned === null;
  note.querySelector("b").textContent = pinned ?? "";
  light(pinned);
};
for (const part of all(".pick")) {
  button(part, () => pin(methodOf(part)));
  part.setAttribute("aria-pressed", false);
}
note.querySelector("button").addEventListener("click", () => pin(pinned));
for (const kind of ["pointerover", "focusin"]) {
  document.addEventListener(kind, (event) => light(methodOf(event.target)));
}
document.addEventListener("focusout", () => light(null));
document.documentElement.addEventListener("pointerleave", () => light(null));

// A click on a column's head sorts: best first, worst first, as it was. A method's rows are one
// tbody, so the paper's row stays beneath ours. What has no number comes last.
const key = (body, place) => {
  const cell = body.rows[0].cells[place];
  return "value" in cell.dataset ? parseFloat(cell.dataset.value) : cell.textContent.trim();
};
const compare = (a, b, sign) => {
  if (typeof a === "string") return sign * a.localeCompare(b, "en", { numeric: true });
  return isNaN(a) || isNaN(b) ? isNaN(a) - isNaN(b) : sign * (a - b);
};
const sort = (table, start, head, place) => {
  const keys = new Map(start.map((body) => [body, key(body, place)]));
  const words = typeof key(start[0], place) === "string";
  const ways = ["descending", "ascending", "none"];
  if (words || "lower" in head.dataset) ways.unshift(...ways.splice(1, 1));
  const way = ways[(ways.indexOf(head.getAttribute("aria-sort") ?? "none") + 1) % 3];
  for (const other of all("thead th", table)) other.removeAttribute("aria-sort");
  if (way !== "none") head.setAttribute("aria-sort", way);
  const sign = way === "ascending" ? 1 : -1;
  const order = [...start];
  if (way !== "none") order.sort((a, b) => compare(keys.get(a), keys.get(b), sign));
  table.append(...order);
};
for (const table of all("table")) {
  const start = [...table.tBodies];
  if (start.length < 2) continue;
  all("thead th", table).forEach((head, place) => {
    const name = document.createElement("button");
    name.type = "button";
    name.append(...head.childNodes);
    name.addEventListener("click", () => sort(table, start, head, place));
    head.append(name);
  });
}

// Copy a table's text; where a browser keeps the clipboard from a page, by a selected field.
const copy = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    return copied;
  }
};
for (const part of all("[data-copy]")) {
  const name = part.textContent;
  part.addEventListener("click", async () => {
    part.textContent = (await copy(part.dataset.copy)) ? "Copied" : "The browser forbids copying";
    part.focus();
    setTimeout(() => (part.textContent = name), 1500);
  });
}

// Two images of one strip lie over each other, the left one as far as the line reaches.
const viewer = document.querySelector(".viewer");
const look = (name) => viewer.querySelector(`[name="${name}"]`);
const put = (side, strip) => {
  const figure = all("figure", strip)[look(side).value];
  const drawn = figure.querySelector("svg").cloneNode(true);
  drawn.removeAttribute("tabindex");
  drawn.setAttribute("role", "img");
  const first = drawn.querySelector("image");
  if (strip.dataset.outline && !drawn.querySelector(".truth")) {
    const outline = first.cloneNode();
    outline.setAttribute("class", "truth");
    outline.setAttribute("href", strip.dataset.outline);
    drawn.append(outline);
  }
  const words = document.createElement("p");
  words.append(...figure.querySelector("figcaption").cloneNode(true).childNodes);
  viewer.querySelector(`.${side}`).replaceChildren(drawn, words);
};
const cut = (percent) => {
  look("cut").value = percent;
  viewer.style.setProperty("--cut", `${look("cut").value}%`);
};
const open = (strip, clicked) => {
  const figures = all("figure", strip);
  viewer.querySelector("h3").textContent = strip.querySelector("h4").textContent;
  for (const side of ["left", "right"]) {
    const choices = figures.map((figure, place) => {
      const choice = new Option(figure.querySelector("b").textContent, place);
      choice.disabled = !figure.querySelector("svg");
      return choice;
    });
    look(side).replaceChildren(...choices);
    look(side).onchange = () => put(side, strip);
  }
  look("left").value = clicked === 1 ? 0 : 1;
  if (look("left").selectedOptions[0].disabled) look("left").value = clicked;
  look("right").value = clicked;
  put("left", strip);
  put("right", strip);
  const { width, height } = figures[clicked].querySelector("svg").viewBox.baseVal;
  viewer.style.setProperty("--shape", width / height);
  viewer.querySelector(".legend").replaceWith(strip.parentElement.querySelector(".legend").cloneNode(true));
  cut(50);
  viewer.showModal();
};
if (viewer) {
  const stage = viewer.querySelector(".stage");
  for (const strip of all(".example")) {
    all("figure", strip).forEach((figure, place) => {
      const drawn = figure.querySelector("svg");
      if (drawn) button(drawn, () => open(strip, place));
    });
  }
  for (const name of ["truth", "prediction"]) {
    const hide = () => stage.classList.toggle(`no-${name}`, !look(name).checked);
    look(name).addEventListener("change", hide);
    hide(); // a browser may keep what was chosen before the page was loaded again
  }
  look("cut").addEventListener("input", () => cut(look("cut").value));
  const drag = (event) => {
    const { left, width } = stage.getBoundingClientRect();
    if (event.buttons) cut((100 * (event.clientX - left)) / width);
  };
  stage.addEventListener("pointerdown", drag);
  stage.addEventListener("pointermove", drag);
  look("close").addEventListener("click", () => viewer.close());
}
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && pinned !== null && !viewer?.open) pin(pinned);
});
