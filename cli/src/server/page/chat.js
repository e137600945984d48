// The chat that is shown: asking, stopping, asking again.

let current = null;
// Answers that are coming, by their chats.
const running = new Map();
const box = $.messages;

const isSend = (event) => event.key === "Enter" && !event.shiftKey && !event.isComposing;

const isAtBottom = () => box.scrollHeight - box.scrollTop - box.clientHeight < 48;

function toBottom() {
  box.scrollTop = box.scrollHeight;
}

function showChat(chat) {
  current = chat;
  memory.set("chat", chat.id);
  fillSettings();
  drawThread();
  toBottom();
}

// Draws the messages that are chosen; those that are there already stay.
function drawThread() {
  const drawn = new Map([...box.children].map((element) => [element.node, element]));
  const nodes = thread(current);
  const fresh = nodes.map((node) => {
    const element = drawn.get(node);
    return element?.siblings === childrenOf(current, node.parent).length ? element : drawMessage(current, node);
  });
  if (!nodes.length) fresh.push(welcome());
  fresh.forEach((element, at) => box.children[at] === element || box.insertBefore(element, box.children[at] ?? null));
  while (box.children.length > fresh.length) box.lastChild.remove();
  const isRunning = running.has(current);
  $.send.hidden = isRunning;
  $.stop.hidden = !isRunning;
  $.chatTitle.textContent = current.title;
  drawChats();
}

function welcome() {
  return el("div", { className: "welcome" }, el("h1", {}, "What would you like to know?"), el("p", { className: "hint" }, "Answers come from this server's model and stay in this browser. Each has a receipt, by which another machine makes the same, bit for bit."));
}

// Shows another message in the place of this one.
function goTo(chat, node) {
  prefer(chat, node);
  drawThread();
  const shown = [...box.children].find((element) => element.node === node);
  shown?.querySelector(".branches button:not(:disabled)")?.focus();
}

function send(chat, parent, text) {
  if (!chats.has(chat.id)) chats.set(chat.id, chat);
  answerTo(chat, addMessage(chat, parent, { role: "user", text }));
  $.question.focus();
}

function answerAgain(chat, node) {
  if (!running.has(chat)) answerTo(chat, parentOf(chat, node));
  $.question.focus();
}

async function answerTo(chat, question) {
  const settings = { ...chat.settings };
  const node = addMessage(chat, question, { role: "assistant", text: "", state: "open", settings });
  const controller = new AbortController();
  running.set(chat, controller);
  if (chat === current) {
    drawThread();
    toBottom();
  }
  const hear = () => {
    chat.changed = Date.now();
    keep(chat);
    redraw(node);
  };
  try {
    await watchLoads(() => stream(bodyFor(threadTo(chat, question), settings), node, { signal: controller.signal, hear }));
    node.state = node.finish === "length" ? "length" : "done";
    announce(`The answer is complete: ${counted(node.usage?.completion_tokens ?? 0, "token")}`);
  } catch (error) {
    node.state = isStopped(error) ? "stopped" : "failed";
    if (node.state === "failed") node.trouble = wordsOf(error);
    announce(node.trouble ?? "Stopped");
  }
  node.progress = null;
  running.delete(chat);
  keep(chat);
  redraw(node);
  if (chat === current) drawThread();
}

const stale = new Set();

// Draws a message anew with the next picture, and follows it if its end was in sight.
function redraw(node) {
  if (!stale.size) requestAnimationFrame(drawStale);
  stale.add(node);
}

function drawStale() {
  const follows = isAtBottom();
  for (const element of box.children) if (stale.has(element.node)) element.update();
  stale.clear();
  if (follows) toBottom();
}

function stop() {
  running.get(current)?.abort();
}

// What the fields say; those that are empty, or wrong, say nothing.
function readSettings() {
  const settings = {};
  for (const field of $.settings.querySelectorAll("[name]")) {
    settings[field.name] = field.type !== "number" ? field.value : field.checkValidity() ? field.valueAsNumber : NaN;
  }
  current.settings = settingsOf(settings);
  if (chats.has(current.id)) keep(current);
}

function fillSettings() {
  for (const field of $.settings.querySelectorAll("[name]")) field.value = current.settings[field.name] ?? "";
}

function showSettings(isShown) {
  $.settings.hidden = !isShown;
  $.showSettings.ariaExpanded = String(isShown);
  if (isShown) $.settings.querySelector("textarea").focus();
}

// The field is as high as its text, up to a point that the style sets.
function fit(field) {
  field.style.height = "";
  if (field.scrollHeight) field.style.height = `${field.scrollHeight + 2}px`;
}

function startChat() {
  const [form, question] = [$.composer, $.question];
  question.value = memory.get("draft") ?? "";
  question.oninput = () => {
    fit(question);
    memory.set("draft", question.value);
  };
  question.onkeydown = (event) => {
    if (isSend(event)) {
      event.preventDefault();
      form.requestSubmit();
    } else if (event.key === "ArrowUp" && !question.value && !running.has(current)) {
      const last = [...box.children].findLast((element) => element.node?.role === "user");
      if (last) editMessage(current, last);
      event.preventDefault();
    }
  };
  form.noValidate = true;
  form.onsubmit = (event) => {
    event.preventDefault();
    const text = question.value.trim();
    const wrong = [...form.elements].find((field) => !field.checkValidity());
    if (wrong) {
      showSettings(true);
      wrong.reportValidity();
    } else if (text && !running.has(current)) {
      question.value = "";
      question.oninput();
      showSettings(false);
      send(current, thread(current).at(-1), text);
    }
  };
  $.settings.oninput = readSettings;
  $.resetSettings.onclick = () => {
    current.settings = {};
    fillSettings();
    readSettings();
  };
  $.showSettings.onclick = () => showSettings($.settings.hidden);
  $.stop.onclick = stop;
}
