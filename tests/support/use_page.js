// What a reader does, run behind the page's script, whose names it sees; `told` is what is seen.
const heads = (table) => all("thead th", table);
const column = (table, place) => [...table.tBodies].map((b) => b.rows[0].cells[place].innerText);
const press = (part, key) =>
  part.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const visible = (part) => part.getClientRects().length > 0;
const litIn = (selector) => [...new Set(all(selector + ".lit").map((e) => e.dataset.method))];
const told = {};

// Sorting, by mouse: a number best first, then worst first, then as it was; words by the keyboard.
const [table] = all("table");
const start = column(table, 0);
const ap = heads(table).findIndex((head) => head.classList.contains("headline"));
const sorted = () => [heads(table)[ap].getAttribute("aria-sort"), column(table, ap)];
told.sorts = [1, 2, 3].map(() => (heads(table)[ap].querySelector("button").click(), sorted()));
told.unsorted = column(table, 0).join() === start.join();
const scoring = all("table")[2];
const lower = heads(scoring).findIndex((head) => "lower" in head.dataset);
heads(scoring)[lower].querySelector("button").click();
told.lower = [heads(scoring)[lower].getAttribute("aria-sort"), column(scoring, lower)];
told.focusable = heads(table).every((head) => head.querySelector("button").tabIndex === 0);

// Highlighting: by pointing, and by a click or a key that lasts until Escape.
const items = all(".legend li[data-method]");
const over = (part) => part.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
over(items[3]);
told.pointed = [litIn("tbody"), litIn("svg path"), litIn("figure"), litIn("li")];
over(document.body);
told.away = litIn("");
press(items[2].querySelector(".pick"), "Enter");
over(document.body);
told.pinned = [litIn(""), document.querySelector(".pinned").innerText];
press(document.body, "Escape");
told.cleared = [litIn(""), visible(document.querySelector(".pinned"))];

// Copying, with a clipboard and without.
const copied = [];
const clipboard = (writeText) =>
  Object.defineProperty(navigator, "clipboard", { value: { writeText }, configurable: true });
const copies = all("[data-copy]");
clipboard(async (text) => copied.push(text));
copies[0].click();
clipboard(async () => { throw new Error("forbidden"); });
document.execCommand = (name) => copied.push(name, document.activeElement.value) > 0;
copies[1].click();

// The viewer, opened by the keyboard.
const strips = all(".example");
const box = document.querySelector(".viewer");
const seen = (side) => [...box.querySelectorAll(`.${side} .truth, .${side} .prediction`)]
  .filter((part) => getComputedStyle(part).display !== "none").length;
const choose = (name, value) => {
  look(name)[typeof value === "boolean" ? "checked" : "value"] = value;
  for (const kind of ["input", "change"]) look(name).dispatchEvent(new Event(kind));
};
const layers = () => [seen("left"), seen("right")];
const view = (strip, place) => {
  press(all("figure svg", strip)[place], "Enter");
  const found = { open: box.open, both: layers() };
  found.names = box.querySelector(".stage").innerText;
  choose("truth", false);
  found.predictions = layers();
  choose("prediction", false);
  found.none = layers();
  choose("truth", true);
  found.truth = layers();
  choose("prediction", true);
  choose("left", 0);
  found.other = box.querySelector(".left").innerText;
  choose("cut", 25);
  found.cut = getComputedStyle(box.querySelector(".left svg")).clipPath;
  const stage = box.querySelector(".stage");
  const { left: edge, width } = stage.getBoundingClientRect();
  found.dragged = [1, 0].map((buttons) => {
    const clientX = edge + (buttons ? 0.6 : 0.1) * width;
    stage.dispatchEvent(new PointerEvent("pointermove", { clientX, buttons, bubbles: true }));
    return Math.round(look("cut").value);
  });
  look("close").click();
  found.closed = !box.open;
  return found;
};
told.boxes = view(strips[0], 5);
told.masks = view(strips[strips.length - 1], 6);
const spare = all(".strip .spare");
told.hidden = spare.length > 0 && !spare.some(visible);
told.buttons = all(".script-only").filter((part) => !part.hidden).every(visible);
setTimeout(() => {
  told.copied = copied;
  document.body.dataset.told = JSON.stringify(told);
}, 100);
