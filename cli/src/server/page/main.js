// The page as a whole: views, colours, keys, the line at its foot.

const VIEWS = ["chat", "summarize", "batches"];
const THEMES = { auto: "◐", light: "☀", dark: "☾" };
const GLANCE = 2000;

function showView() {
  const name = VIEWS.find((name) => location.hash === `#${name}`) ?? VIEWS[0];
  for (const view of VIEWS) $(`view-${view}`).hidden = view !== name;
  for (const link of document.querySelectorAll("nav a")) {
    link.ariaCurrent = link.hash === `#${name}` ? "page" : null;
  }
  if (name === "chat") {
    toBottom();
    $("question").focus();
  }
  if (name === "batches") showBatches();
}

function setTheme(theme) {
  const name = theme in THEMES ? theme : "auto";
  document.documentElement.dataset.theme = name;
  const what = name === "auto" ? "as the system has them" : name;
  Object.assign($("theme"), { textContent: THEMES[name], title: `Colours: ${what}`, ariaLabel: `Colours: ${what}` });
  memory.set("theme", name);
}

let model = null;

// Who answers here, and how busy it is.
async function lookAtServer() {
  try {
    model ??= (await askJson("v1/models", { isQuiet: !$("show-key").hidden })).data[0];
    const page = await (await ask("metrics", { isQuiet: true })).text();
    const figure = (name) => Number(new RegExp(`^gatefold_${name} (\\d+)`, "m").exec(page)?.[1] ?? 0);
    $("model").textContent = `${model.id}, context of ${counted(model.max_model_len, "token")}`;
    $("load").textContent = `${number(figure("requests_processing"))} answering, ${number(figure("requests_deferred"))} waiting`;
  } catch (error) {
    model = null;
    // A key is asked for once; then it is there to be pressed.
    $("show-key").hidden &&= error.status !== 401;
    $("model").textContent = error.words ?? String(error);
    $("load").textContent = "";
  }
}

async function watchServer() {
  for (;;) {
    if (!document.hidden) await lookAtServer();
    await new Promise((resolve) => setTimeout(resolve, GLANCE));
  }
}

const isTyping = ({ target }) => target.matches("input, textarea, select");

function escape() {
  if (!$("settings").hidden) {
    showSettings(false);
    $("question").focus();
  } else if ($("sidebar").classList.contains("open")) {
    showSidebar(false);
  } else if (!$("view-summarize").hidden) {
    work?.abort();
  } else {
    stop();
  }
}

// The answer before or after the last that is shown.
function sibling(step) {
  const last = thread(current).at(-1);
  if (!last || running.has(current.id)) return;
  const siblings = childrenOf(current, last.parent);
  const other = siblings[siblings.indexOf(last) + step];
  if (other) goTo(current, other);
}

const WITH_ALT = {
  KeyN: () => { location.hash = "chat"; beginChat(); },
  KeyR: () => { const last = thread(current).at(-1); if (last?.role === "assistant") answerAgain(current, last); },
  KeyS: () => showSettings($("settings").hidden),
  ArrowLeft: () => sibling(-1),
  ArrowRight: () => sibling(1),
  Digit1: () => (location.hash = "chat"),
  Digit2: () => (location.hash = "summarize"),
  Digit3: () => (location.hash = "batches"),
};

function pressed(event) {
  const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey;
  let act = null;
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") act = escape;
  else if (event.altKey && !event.ctrlKey && !event.metaKey) act = WITH_ALT[event.code];
  else if (isPlain && !isTyping(event) && event.key === "/") act = () => $("question").focus();
  else if (isPlain && !isTyping(event) && event.key === "?") act = () => $("keys").showModal();
  if (!act) return;
  event.preventDefault();
  act();
}

function startDialogs() {
  for (const close of document.querySelectorAll("dialog .close")) {
    close.onclick = () => close.closest("dialog").close("");
  }
  $("help").onclick = () => $("keys").showModal();
  $("key").querySelector("form").onsubmit = () => ($("key").returnValue = "use");
  $("key-save").value = "use";
  $("key-forget").onclick = () => {
    keepKey(null, false);
    $("key").close("");
  };
  $("show-key").onclick = async () => {
    await askForKey("This server answers those who have a key.");
    lookAtServer();
  };
  $("show-key").hidden = !apiKey();
}

setTheme(memory.get("theme"));
$("theme").onclick = () => {
  const names = Object.keys(THEMES);
  setTheme(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
};
startDialogs();
startChat();
startSummaries();
startBatches();
await startChats();
addEventListener("hashchange", showView);
addEventListener("keydown", pressed);
showView();
document.documentElement.dataset.ready = "";
watchServer();
