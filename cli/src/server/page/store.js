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
  prefer(chat, node);
  if (!chat.title && node.role === "user") chat.title = node.text.trim().split("\n")[0].slice(0, 80);
  return node;
}

function prefer(chat, node) {
  chat.chosen[node.parent] = node.id;
  chat.changed = Date.now();
  keep(chat);
}

const parentOf = (chat, node) => chat.nodes.find(({ id }) => id === node.parent);

const childrenOf = (chat, id) => chat.nodes.filter((node) => node.parent === id);

// The messages that are shown: from the first to the last, by what is chosen, else what came last.
function thread(chat) {
  const next = new Map();
  for (const node of chat.nodes) {
    const { parent } = node;
    if (!next.has(parent) || next.get(parent).id !== chat.chosen[parent]) next.set(parent, node);
  }
  const nodes = [];
  for (let node = next.get(null); node; node = next.get(node.id)) nodes.push(node);
  return nodes;
}

// Those up to a message.
function threadTo(chat, node) {
  const nodes = [];
  for (let at = node; at; at = parentOf(chat, at)) nodes.unshift(at);
  return nodes;
}

// What is asked of the server for an answer: what was said before it, under these settings.
function bodyFor(before, settings) {
  const messages = before.filter(({ text }) => text).map(({ role, text }) => ({ role, content: text }));
  if (settings.system) messages.unshift({ role: "system", content: settings.system });
  const chosen = SETTINGS.filter((name) => settings[name] !== undefined);
  return { messages, ...Object.fromEntries(chosen.map((name) => [name, settings[name]])) };
}

const exported = (chats) => JSON.stringify({ format: FORMAT, version: 1, chats: [...chats] }, null, 1);

// Takes chats from a file, and says how many. One that is here already stays, unless it was changed
// there since.
function importChats(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {}
  if (value?.format !== FORMAT || !Array.isArray(value.chats)) {
    throw new Trouble("there are no chats in the file", "Choose one that was made with Export all.");
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
  const chat = { ...newChat(settingsOf(value.settings)), ...pick(value, { id: "string", title: "string", created: "number", changed: "number" }) };
  const known = new Set([null]);
  for (const node of value.nodes) {
    const { id, text } = pick(node, { id: "string", text: "string" });
    const isNode = id && text !== undefined && ["user", "assistant"].includes(node.role);
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

// Of an object, the values of these names that are of the type that is expected.
function pick(value, types) {
  const found = Object.entries(types).filter(([name, type]) => typeof value?.[name] === type);
  return Object.fromEntries(found.map(([name]) => [name, value[name]]));
}

function nodeOf(node) {
  const made = { ...pick(node, { id: "string", role: "string", text: "string", created: "number" }), parent: node.parent ?? null };
  if (made.role === "user") return made;
  Object.assign(made, pick(node, { state: "string", model: "string", fingerprint: "string", rate: "number", trouble: "string" }));
  // An answer that was still coming when the page went away.
  if (made.state === "open") made.state = "cut";
  made.settings = settingsOf(node.settings);
  const usage = pick(node.usage, { prompt_tokens: "number", completion_tokens: "number" });
  const receipt = pick(node.receipt, { seed: "number", logits_hash: "string" });
  if ("completion_tokens" in usage) made.usage = usage;
  if ("seed" in receipt && "logits_hash" in receipt) made.receipt = receipt;
  return made;
}

// Settings, with what is known of them alone.
function settingsOf(value) {
  const settings = {};
  if (typeof value?.system === "string" && value.system.trim()) settings.system = value.system;
  for (const name of SETTINGS) if (Number.isFinite(value?.[name])) settings[name] = value[name];
  return settings;
}
