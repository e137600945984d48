// The page as a whole: views, colours, keys, the line at its foot.

const VIEWS = { chat: $.viewChat, summarize: $.viewSummarize, batches: $.viewBatches, experts: $.viewExperts };
const THEMES = { auto: "◐", light: "☀", dark: "☾" };
const GLANCE = 2000;

function showView() {
  const name = Object.keys(VIEWS).find((name) => location.hash === `#${name}`) ?? "chat";
  for (const view in VIEWS) VIEWS[view].hidden = view !== name;
  for (const link of document.querySelectorAll("nav a")) link.ariaCurrent = link.hash === `#${name}` ? "page" : null;
  if (name === "chat") {
    fit($.question);
    toBottom();
    $.question.focus();
  }
  if (name === "batches") showBatches();
  if (name === "experts") lookAtServer();
}

function setTheme(theme) {
  const name = theme in THEMES ? theme : "auto";
  document.documentElement.dataset.theme = name;
  const title = `Colours: ${name === "auto" ? "as the system has them" : name}`;
  Object.assign($.theme, { textContent: THEMES[name], title, ariaLabel: title });
  memory.set("theme", name);
}

let model = null;

// Who answers here, and how busy it is.
async function lookAtServer() {
  try {
    model ??= (await askJson("v1/models", { isQuiet: !$.showKey.hidden })).data[0];
    const page = await counters();
    const figure = (name) => number(counterIn(page, name));
    $.model.textContent = `${model.id}, context of ${counted(model.max_model_len, "token")}`;
    $.load.textContent = `${figure("requests_processing")} answering, ${figure("requests_deferred")} waiting`;
    drawLoads(page);
  } catch (error) {
    model = null;
    // A key is asked for once; then it is there to be pressed.
    $.showKey.hidden &&= error.status !== 401;
    $.model.textContent = wordsOf(error);
    $.load.textContent = "";
  }
}

async function watchServer() {
  for (;;) {
    if (!document.hidden) await lookAtServer();
    await pause(GLANCE);
  }
}

function escape() {
  if (!$.settings.hidden) {
    showSettings(false);
    $.question.focus();
  } else if ($.sidebar.classList.contains("open")) {
    showSidebar(false);
  } else if (!$.viewSummarize.hidden) {
    work?.abort();
  } else if (!$.viewChat.hidden) {
    stop();
  }
}

const WITH_ALT = {
  KeyN: () => {
    location.hash = "chat";
    beginChat();
  },
  KeyR: () => {
    const last = thread(current).at(-1);
    if (last?.role === "assistant") answerAgain(current, last);
  },
  KeyS: () => showSettings($.settings.hidden),
  Digit1: () => (location.hash = "chat"),
  Digit2: () => (location.hash = "summarize"),
  Digit3: () => (location.hash = "batches"),
  Digit4: () => (location.hash = "experts"),
};

const ALONE = {
  "/": () => $.question.focus(),
  "?": () => $.keys.showModal(),
};

function pressed(event) {
  if (document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey) return;
  const act = event.key === "Escape" ? escape : event.altKey ? WITH_ALT[event.code] : !event.target.matches("input, textarea, select") && ALONE[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

function startDialogs() {
  for (const close of document.querySelectorAll(".close")) close.onclick = () => close.closest("dialog").close();
  $.help.onclick = () => $.keys.showModal();
  $.keyForget.onclick = () => {
    keepKey(null, false);
    $.key.close();
  };
  $.showKey.onclick = async () => {
    await askForKey();
    lookAtServer();
  };
  $.showKey.hidden = !apiKey();
}

setTheme(memory.get("theme"));
$.theme.onclick = () => {
  const names = Object.keys(THEMES);
  setTheme(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
};
startDialogs();
startChat();
startSummaries();
startBatches();
$.loadsOf.onchange = lookAtServer;
await startChats();
addEventListener("hashchange", showView);
addEventListener("keydown", pressed);
showView();
watchServer();
