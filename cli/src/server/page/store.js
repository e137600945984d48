// Chats, and where they are kept: in the browser's database, beyond reloads and restarts.
//
// A chat is a tree: each message has a parent, which stands before it, and the chosen child of each
// leads to what is shown. Nothing that was said is ever overwritten.

const FORMAT = "gatefold-chats";
const SETTINGS = ["temperature", "top_p", "top_k", "min_p", "max_tokens", "seed"];
const chats = new Map();
let database = null;

const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

// Reads what is there. Where the browser keeps nothing, chats live as long as the page.
async function openStore() {
  try {
    const opening = indexedDB.open("gatefold", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("chats", { keyPath: "id" });
    database = await done(opening);
    for (const value of await done(records("readonly").getAll())) {
      const chat = chatOf(value);
      if (chat) chats.set(chat.id, chat);
    }
  } catch {
    database = null;
  }
  return database !== null;
}

const records = (mode) => database.transaction("chats", mode).objectStore("chats");

const unkept = new Set();
let keeping = 0;

// Keeps a chat soon: an answer that grows is kept several times a second.
function keep(chat) {
  unkept.add(chat);
  keeping ||= setTimeout(keepNow, 250);
}

function keepNow() {
  clearTimeout(keeping);
  keeping = 0;
  for (const chat of unkept) if (database && chats.has(chat.id)) records("readwrite").put(chat);
  unkept.clear();
}

function forget(chat) {
  chats.delete(chat.id);
  if (database) records("readwrite").delete(chat.id);
}

function newChat(settings) {
  const now = Date.now();
  return { id: newId(), title: "", created: now, changed: now, settings, nodes: [], chosen: {} };
}

// Adds a message behind another, and chooses it.
function addMessage(chat, parent, message) {
  const node = { id: newId(), parent: parent?.id ?? null, created: Date.now(), ...message };
  chat.nodes.push(node);
  choose(chat, node);
  if (!chat.title && node.role === "user") chat.title = node.text.trim().split("\n")[0].slice(0, 80);
  return node;
}

function choose(chat, node) {
  chat.chosen[node.parent] = node.id;
  chat.changed = Date.now();
  keep(chat);
}

const childrenOf = (chat, id) => chat.nodes.filter((node) => node.parent === id);

// The messages that are shown: from the first to the last, by what is chosen, else what came last.
function thread(chat) {
  const next = new Map();
  for (const node of chat.nodes) {
    if (next.get(node.parent)?.id !== chat.chosen[node.parent]) next.set(node.parent, node);
  }
  const nodes = [];
  for (let node = next.get(null); node; node = next.get(node.id)) nodes.push(node);
  return nodes;
}

// Those up to a message.
function threadTo(chat, node) {
  const nodes = [];
  const byId = new Map(chat.nodes.map((node) => [node.id, node]));
  for (let at = node; at; at = byId.get(at.parent)) nodes.unshift(at);
  return nodes;
}

// What is asked of the server for an answer: what was said before it, under these settings.
function bodyFor(before, settings) {
  const messages = before.filter(({ text }) => text).map(({ role, text }) => ({ role, content: text }));
  if (settings.system) messages.unshift({ role: "system", content: settings.system });
  const chosen = SETTINGS.filter((name) => settings[name] !== undefined);
  return { messages, ...Object.fromEntries(chosen.map((name) => [name, settings[name]])) };
}

function exportChats() {
  return JSON.stringify({ format: FORMAT, version: 1, chats: [...chats.values()] }, null, 1);
}

// Takes chats from a file, and says how many. One that is here already stays, unless it was changed
// there since.
function importChats(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Trouble("the file is not JSON", "Choose one that was made with Export all.");
  }
  if (value?.format !== FORMAT || !Array.isArray(value.chats)) {
    throw new Trouble(`the file has no chats; expected "format": "${FORMAT}"`, "Choose one that was made with Export all.");
  }
  const found = value.chats.map(chatOf).filter((chat) => chat);
  const newer = found.filter((chat) => !(chats.get(chat.id)?.changed >= chat.changed));
  for (const chat of newer) {
    chats.set(chat.id, chat);
    keep(chat);
  }
  return newer.length;
}

// A chat from outside, with what is known of it alone; none if it is none.
function chatOf(value) {
  if (typeof value?.id !== "string" || !Array.isArray(value.nodes)) return null;
  const now = Date.now();
  const chat = { id: value.id, title: String(value.title ?? ""), created: Number(value.created) || now, changed: Number(value.changed) || now, settings: settingsOf(value.settings), nodes: [], chosen: {} };
  const known = new Set([null]);
  for (const node of value.nodes) {
    const isNode = typeof node?.id === "string" && typeof node.text === "string" && ["user", "assistant"].includes(node.role);
    // Parents stand before their children, so that nothing is its own.
    if (!isNode || known.has(node.id) || !known.has(node.parent ?? null)) continue;
    known.add(node.id);
    chat.nodes.push(nodeOf(node));
  }
  for (const [parent, child] of Object.entries(value.chosen ?? {})) {
    if (known.has(child)) chat.chosen[parent] = child;
  }
  return chat;
}

function nodeOf(node) {
  const { id, role, text } = node;
  const common = { id, parent: node.parent ?? null, role, text, created: Number(node.created) || 0 };
  if (role === "user") return common;
  const string = (value) => (typeof value === "string" ? value : undefined);
  const number = (value) => (Number.isFinite(value) ? value : undefined);
  const { usage, receipt, trouble } = node;
  return {
    ...common,
    // An answer that was still coming when the page went away.
    state: node.state === "open" ? "cut" : string(node.state) ?? "done",
    settings: settingsOf(node.settings),
    model: string(node.model),
    fingerprint: string(node.fingerprint),
    rate: number(node.rate),
    seconds: number(node.seconds),
    usage: number(usage?.completion_tokens) === undefined ? undefined : { prompt_tokens: number(usage.prompt_tokens), completion_tokens: usage.completion_tokens },
    receipt: string(receipt?.logits_hash) && number(receipt.seed) !== undefined ? { seed: receipt.seed, logits_hash: receipt.logits_hash } : undefined,
    trouble: string(trouble),
  };
}

// Settings, with what is known of them alone.
function settingsOf(value) {
  const settings = {};
  if (typeof value?.system === "string" && value.system.trim()) settings.system = value.system;
  for (const name of SETTINGS) if (Number.isFinite(value?.[name])) settings[name] = value[name];
  return settings;
}
