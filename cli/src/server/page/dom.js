// Elements, numbers, and what the browser does for us. Texts become text nodes, never markup.

// The page's own elements, by their ids.
const $ = new Proxy({}, { get: (_, id) => document.getElementById(id) });

// An element with these properties and children.
function el(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

function button(label, onclick, properties) {
  return el("button", { type: "button", onclick, ...properties }, label);
}

// What went wrong, in words.
const wordsOf = (error) => error.words ?? String(error);

// A cell of a table whose head is not seen on narrow screens.
function cell(name, properties, ...children) {
  const made = el("td", properties, ...children);
  made.dataset.name = name;
  return made;
}

const number = (value) => value.toLocaleString("en");

const counted = (n, what) => `${number(n)} ${what}${n === 1 ? "" : "s"}`;

function duration(seconds) {
  return seconds < 100 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));

// Told to those who listen to the page instead of looking at it.
function announce(text) {
  $.announcer.textContent = text;
}

// Shows a sentence where there is a place for it, or hides the place.
function tell(place, text) {
  place.hidden = !text;
  place.textContent = text ?? "";
}

// A name that no other thing has.
const newId = () => crypto.getRandomValues(new Uint32Array(3)).join("-");

// Hands a text or a blob over as a file.
function save(name, content) {
  const link = el("a", { href: URL.createObjectURL(new Blob([content])), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// Lets files be chosen, and takes them.
function choose(properties, take) {
  const input = el("input", { type: "file", ...properties, onchange: () => take(...input.files) });
  input.click();
}

// Copies, and says so on the button that was pressed.
async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Over plain HTTP from another machine there is no clipboard but this one.
    const field = el("textarea", { value: text, className: "unseen" });
    (button.closest("dialog") ?? document.body).append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    button.focus();
  }
  const label = button.textContent;
  if (label === "Copied") return;
  button.textContent = "Copied";
  announce("Copied");
  await pause(1500);
  button.textContent = label;
}

function copyButton(text) {
  const press = button("Copy", () => copy(text, press));
  return press;
}

// What is remembered by name, where the browser lets us; else it is forgotten.
const storage = (place) => ({
  get(name) {
    try {
      return globalThis[place].getItem(`gatefold-${name}`);
    } catch {
      return null;
    }
  },
  set(name, value) {
    try {
      if (value === null) globalThis[place].removeItem(`gatefold-${name}`);
      else globalThis[place].setItem(`gatefold-${name}`, value);
    } catch {}
  },
});

// Between visits, and in this one.
const [memory, visit] = ["localStorage", "sessionStorage"].map(storage);
