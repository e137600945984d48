// Elements, numbers, and what the browser does for us. Texts become text nodes, never markup.

const $ = (id) => document.getElementById(id);

// An element with these properties and children.
function el(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

function button(label, onclick, properties) {
  return el("button", { type: "button", className: "quiet", onclick, ...properties }, label);
}

const number = (value) => value.toLocaleString("en");

const counted = (n, what) => `${number(n)} ${what}${n === 1 ? "" : "s"}`;

function duration(seconds) {
  if (seconds < 100) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 6000 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

// Told to those who listen to the page instead of looking at it.
function announce(text) {
  $("announcer").textContent = text;
}

// Shows a sentence where there is a place for it, or hides the place.
function tell(place, text) {
  place.hidden = !text;
  place.textContent = text ?? "";
}

// A name that no other thing has.
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function save(name, content, type = "application/json") {
  const blob = content instanceof Blob ? content : new Blob([content], { type });
  const link = el("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
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
  setTimeout(() => (button.textContent = label), 1500);
}

// What is remembered between visits, where the browser lets us.
const memory = {
  get(name) {
    try {
      return localStorage.getItem(`gatefold-${name}`);
    } catch {
      return null;
    }
  },
  set(name, value) {
    try {
      if (value === null) localStorage.removeItem(`gatefold-${name}`);
      else localStorage.setItem(`gatefold-${name}`, value);
    } catch {
      // It is forgotten then.
    }
  },
};
