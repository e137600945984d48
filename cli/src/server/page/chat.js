// The chat that is shown: asking, stopping, asking again.

let current = null;
// Answers that are coming, by their chats.
const running = new Map();
const box = $("messages");

const parentOf = (chat, node) => chat.nodes.find(({ id }) => id === node.parent) ?? null;

const isSend = (event) => event.key === "Enter" && !event.shiftKey && !event.isComposing;

const isAtBottom = () => box.scrollHeight - box.scrollTop - box.clientHeight < 48;

function toBottom() {
  box.scrollTop = box.scrollHeight;
}

function showChat(chat) {
  current = chat;
  memory.set("chat", chat.id);
  const form = $("composer");
  for (const name of ["system", ...SETTINGS]) form.elements[name].value = chat.settings[name] ?? "";
  drawThread();
  toBottom();
}

// Draws the messages that are chosen; those that are there already stay.
function drawThread() {
  const drawn = new Map(Array.from(box.children, (element) => [element.node, element]));
  const nodes = thread(current);
  const fresh = nodes.map((node) => {
    const element = drawn.get(node);
    const isAlike = element && element.siblings === childrenOf(current, node.parent).length;
    return isAlike ? element : Object.assign(drawMessage(current, node), { siblings: childrenOf(current, node.parent).length });
  });
  if (!nodes.length) fresh.push(welcome());
  box.replaceChildren(...fresh);
  const isRunning = running.has(current.id);
  $("send").hidden = isRunning;
  $("stop").hidden = !isRunning;
  $("chat-title").textContent = current.title;
  drawChats();
}

function welcome() {
  return el("div", { className: "welcome" }, el("h1", {}, "What would you like to know?"), el("p", { className: "hint" }, "The answer comes from the model on this server, and stays in this browser. Each has a receipt, by which another machine makes the same answer, bit for bit."));
}

// Shows another message in the place of this one.
function goTo(chat, node) {
  choose(chat, node);
  drawThread();
  const shown = Array.from(box.children).find((element) => element.node === node);
  shown?.scrollIntoView({ block: "nearest" });
  shown?.querySelector(".branches button:not(:disabled)")?.focus();
}

function send(chat, parent, text) {
  if (!chats.has(chat.id)) chats.set(chat.id, chat);
  answerTo(chat, addMessage(chat, parent, { role: "user", text }));
  $("question").focus();
}

function answerAgain(chat, node) {
  if (!running.has(chat.id)) answerTo(chat, parentOf(chat, node));
  $("question").focus();
}

async function answerTo(chat, question) {
  const settings = { ...chat.settings };
  const node = addMessage(chat, question, { role: "assistant", text: "", state: "open", settings });
  const controller = new AbortController();
  running.set(chat.id, controller);
  if (chat === current) {
    drawThread();
    toBottom();
  }
  const hear = () => {
    keep(chat);
    redraw(node);
  };
  try {
    await stream(bodyFor(threadTo(chat, question), settings), node, { signal: controller.signal, hear });
    node.state = node.finish === "length" ? "length" : "done";
    announce(`The answer is complete: ${counted(node.usage?.completion_tokens ?? 0, "token")}`);
  } catch (error) {
    node.state = isStopped(error) ? "stopped" : "failed";
    if (node.state === "failed") node.trouble = error.words ?? String(error);
    announce(node.trouble ?? "Stopped");
  }
  node.progress = null;
  running.delete(chat.id);
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
  running.get(current.id)?.abort();
}

// What the fields say; those that are empty say nothing.
function settingsIn(form) {
  const settings = { system: form.elements.system.value };
  for (const name of SETTINGS) {
    const field = form.elements[name];
    if (field.value !== "" && field.checkValidity()) settings[name] = field.valueAsNumber;
  }
  return settingsOf(settings);
}

function showSettings(isShown) {
  $("settings").hidden = !isShown;
  $("show-settings").ariaExpanded = String(isShown);
  if (isShown) $("settings").querySelector("textarea").focus();
}

// The field is as high as its text, up to a point that the style sets.
function fit(field) {
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight + 2}px`;
}

function startChat() {
  const [form, question] = [$("composer"), $("question")];
  question.value = memory.get("draft") ?? "";
  question.oninput = () => {
    fit(question);
    memory.set("draft", question.value);
  };
  question.onkeydown = (event) => {
    if (isSend(event)) {
      event.preventDefault();
      form.requestSubmit();
    } else if (event.key === "ArrowUp" && !question.value && !running.has(current.id)) {
      const last = Array.from(box.children).findLast((element) => element.node?.role === "user");
      if (last) editMessage(current, last);
      event.preventDefault();
    }
  };
  form.noValidate = true;
  form.onsubmit = (event) => {
    event.preventDefault();
    const text = question.value.trim();
    const wrong = Array.from(form.elements).find((field) => !field.checkValidity());
    if (wrong) {
      showSettings(true);
      wrong.reportValidity();
    } else if (text && !running.has(current.id)) {
      question.value = "";
      question.oninput();
      showSettings(false);
      send(current, thread(current).at(-1) ?? null, text);
    }
  };
  $("settings").oninput = () => {
    current.settings = settingsIn(form);
    memory.set("settings", JSON.stringify(current.settings));
    if (chats.has(current.id)) keep(current);
  };
  $("reset-settings").onclick = () => {
    for (const name of ["system", ...SETTINGS]) form.elements[name].value = "";
    $("settings").oninput();
  };
  $("show-settings").onclick = () => showSettings($("settings").hidden);
  $("stop").onclick = stop;
  fit(question);
}
