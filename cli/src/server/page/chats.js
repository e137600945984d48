// The list of chats.

function drawChats() {
  const sorted = [...chats.values()].sort((a, b) => b.changed - a.changed);
  $("chats").replaceChildren(...sorted.map((chat) => {
    const title = chat.title || "Untitled";
    const show = button(title, () => openChat(chat), { className: "title", title });
    if (chat === current) show.ariaCurrent = "true";
    return el("li", {}, show, button("×", () => deleteChat(chat), { ariaLabel: `Delete ${title}`, title: "Delete" }));
  }));
  $("export").disabled = !chats.size;
}

function openChat(chat) {
  showChat(chat);
  showSidebar(false);
  $("question").focus();
}

function beginChat() {
  openChat(newChat(lastSettings()));
}

// What the chat before was asked with.
function lastSettings() {
  try {
    return settingsOf(JSON.parse(memory.get("settings")));
  } catch {
    return {};
  }
}

function deleteChat(chat) {
  if (!confirm(`Delete “${chat.title || "Untitled"}”? It is kept nowhere else.`)) return;
  running.get(chat.id)?.abort();
  forget(chat);
  if (chat === current) beginChat();
  else drawChats();
}

// On narrow screens the list lies over the chat.
function showSidebar(isShown) {
  $("sidebar").classList.toggle("open", isShown);
  $("show-chats").ariaExpanded = String(isShown);
  if (isShown) $("new-chat").focus();
}

async function startChats() {
  const isKept = await openStore();
  if (!isKept) announce("This browser keeps no chats beyond this visit");
  $("new-chat").onclick = beginChat;
  $("show-chats").onclick = () => showSidebar(!$("sidebar").classList.contains("open"));
  $("export").onclick = () => save("gatefold-chats.json", exportChats());
  $("import").onclick = () => $("import-file").click();
  $("import-file").onchange = async ({ target }) => {
    const [file] = target.files;
    target.value = "";
    if (!file) return;
    try {
      const n = importChats(await file.text());
      alert(n ? `${counted(n, "chat")} imported.` : "There is nothing in the file that is not here already.");
      if (chats.has(current.id)) showChat(chats.get(current.id));
      else drawChats();
    } catch (error) {
      alert(error.words ?? String(error));
    }
  };
  showChat(chats.get(memory.get("chat")) ?? newChat(lastSettings()));
  // What was said in another window is here too when one comes back.
  addEventListener("pagehide", keepNow);
}
